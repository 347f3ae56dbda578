alias elem = f32;
//!use common/matmul_io.wgsl
// Small register tiles: one thread per 4 x 4 outputs, no workgroup memory. 64 threads stand `down` high and 64 / down wide, so a
// workgroup covers 8 x 128 (down 2), 16 x 64, 32 x 32 or 64 x 16 (down 16): few idle lanes for few rows, few columns, small matrices.
// Sums front to back, as matmul.wgsl.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;

override form: u32 = 0u;
/** Threads, one above the other. */
override down: u32 = 8u;

@compute @workgroup_size(64)
fn matmul_small(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let wide = 64u / down;
  let across = (p.n + 4u * wide - 1u) / (4u * wide);
  let high = (p.m + 4u * down - 1u) / (4u * down);
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * high * p.batch) { return; }
  let z = index / across / high;
  let i0 = (index / across % high) * 4u * down + t / wide;
  let j0 = (index % across) * 4u * wide + t % wide;
  let next_a = k_step_a(form);
  let next_b = k_step_b(form);
  var a0 = row_start(form, z, i0);
  var a1 = row_start(form, z, i0 + down);
  var a2 = row_start(form, z, i0 + 2u * down);
  var a3 = row_start(form, z, i0 + 3u * down);
  var b0 = column_start(form, z, j0);
  var b1 = column_start(form, z, j0 + wide);
  var b2 = column_start(form, z, j0 + 2u * wide);
  var b3 = column_start(form, z, j0 + 3u * wide);
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var l = 0u; l < p.k; l++) {
    let y = vec4f(f32(b[b0]), f32(b[b1]), f32(b[b2]), f32(b[b3]));
    s0 += f32(a[a0]) * y; a0 += next_a;
    s1 += f32(a[a1]) * y; a1 += next_a;
    s2 += f32(a[a2]) * y; a2 += next_a;
    s3 += f32(a[a3]) * y; a3 += next_a;
    b0 += next_b; b1 += next_b; b2 += next_b; b3 += next_b;
  }
  var sums = array<vec4f, 4>(s0, s1, s2, s3);
  for (var e = 0u; e < 16u; e++) { put(z, i0 + e / 4u * down, j0 + e % 4u * wide, sums[e / 4u][e % 4u]); }
  for (var e = 0u; e < epilogues(16u); e++) { finish(z, i0 + e / 4u * down, j0 + e % 4u * wide); }
}
