enable subgroups;
alias elem = f32;
//!use common/matmul_io.wgsl
// Quad broadcast: 32 x 4 outputs per thread; the four threads of a quad load eight rows of op(a) each and hand them round, so 12 loads
// serve 128 multiply-adds where a thread on its own needs 36. All 16 threads of a workgroup share the 32 rows and stand side by side,
// 64 columns, so it does not matter which threads form a quad, nor how large a subgroup is. Sums front to back.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;

override form: u32 = 0u;

const ROWS: u32 = 32u;
const WIDE: u32 = 16u;

/** Rows x, y, z, w of op(a) times the columns. */
fn outer(v: f32, y: vec4f) -> mat4x4f {
  return mat4x4f(quadBroadcast(v, 0u) * y, quadBroadcast(v, 1u) * y, quadBroadcast(v, 2u) * y, quadBroadcast(v, 3u) * y);
}

@compute @workgroup_size(16)
fn matmul_quad(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32,
) {
  let across = (p.n + 4u * WIDE - 1u) / (4u * WIDE);
  let down = (p.m + ROWS - 1u) / ROWS;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch) { return; }
  let z = index / across / down;
  let i0 = (index / across % down) * ROWS;
  let j0 = (index % across) * 4u * WIDE + t;
  let next_a = k_step_a(form);
  let next_b = k_step_b(form);
  var a0 = row_start(form, z, i0 + lane % 4u);
  var a1 = row_start(form, z, i0 + 4u + lane % 4u);
  var a2 = row_start(form, z, i0 + 8u + lane % 4u);
  var a3 = row_start(form, z, i0 + 12u + lane % 4u);
  var a4 = row_start(form, z, i0 + 16u + lane % 4u);
  var a5 = row_start(form, z, i0 + 20u + lane % 4u);
  var a6 = row_start(form, z, i0 + 24u + lane % 4u);
  var a7 = row_start(form, z, i0 + 28u + lane % 4u);
  var b0 = column_start(form, z, j0);
  var b1 = column_start(form, z, j0 + WIDE);
  var b2 = column_start(form, z, j0 + 2u * WIDE);
  var b3 = column_start(form, z, j0 + 3u * WIDE);
  var s0 = mat4x4f(); var s1 = mat4x4f(); var s2 = mat4x4f(); var s3 = mat4x4f();
  var s4 = mat4x4f(); var s5 = mat4x4f(); var s6 = mat4x4f(); var s7 = mat4x4f();
  for (var l = 0u; l < p.k; l++) {
    let y = vec4f(f32(b[b0]), f32(b[b1]), f32(b[b2]), f32(b[b3]));
    s0 += outer(f32(a[a0]), y); a0 += next_a;
    s1 += outer(f32(a[a1]), y); a1 += next_a;
    s2 += outer(f32(a[a2]), y); a2 += next_a;
    s3 += outer(f32(a[a3]), y); a3 += next_a;
    s4 += outer(f32(a[a4]), y); a4 += next_a;
    s5 += outer(f32(a[a5]), y); a5 += next_a;
    s6 += outer(f32(a[a6]), y); a6 += next_a;
    s7 += outer(f32(a[a7]), y); a7 += next_a;
    b0 += next_b; b1 += next_b; b2 += next_b; b3 += next_b;
  }
  var sums = array<mat4x4f, 8>(s0, s1, s2, s3, s4, s5, s6, s7);
  for (var e = 0u; e < 128u; e++) { put(z, i0 + e / 4u, j0 + e % 4u * WIDE, sums[e / 16u][e / 4u % 4u][e % 4u]); }
}
