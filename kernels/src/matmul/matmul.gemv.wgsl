alias elem = f32;
//!use common/matmul_io.wgsl
// NN and TN with at most 4 rows, b read four columns at a time (variants.ts sees to it that its rows start at multiples of four).
// 16 columns per workgroup, four per thread; 16 threads share the K of a column, 16 rows of b a step, and their sums are added in
// fixed order.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<vec4<elem>>;

override form: u32 = 0u;

/** Of thread t: its share of the columns 4 (t % 4) + 0..3, by row. */
var<workgroup> parts: array<array<vec4f, 4>, 64>;

@compute @workgroup_size(64)
fn matmul_gemv(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (p.n + 15u) / 16u;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * p.batch) { return; } // the same for the whole workgroup
  let z = index / across;
  let left = (index % across) * 16u;
  let from_b = (z * p.stride_b + min(left + 4u * (t % 4u), p.n - 4u)) / 4u;
  let a0 = row_start(form, z, 0u);
  let a1 = row_start(form, z, 1u);
  let a2 = row_start(form, z, 2u);
  let a3 = row_start(form, z, 3u);
  let next_a = k_step_a(form);
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  for (var l = t / 4u; l < p.k; l += 16u) {
    let v = vec4f(b[from_b + l * (p.n / 4u)]);
    s0 += f32(a[a0 + l * next_a]) * v;
    if (p.m > 1u) { s1 += f32(a[a1 + l * next_a]) * v; }
    if (p.m > 2u) { s2 += f32(a[a2 + l * next_a]) * v; }
    if (p.m > 3u) { s3 += f32(a[a3 + l * next_a]) * v; }
  }
  parts[t] = array<vec4f, 4>(s0, s1, s2, s3);
  workgroupBarrier();
  let row = t / 16u;
  let column = t % 16u;
  var sum = 0.0;
  for (var s = 0u; s < 16u; s++) { sum += parts[4u * s + column / 4u][row][column % 4u]; }
  put(z, row, left + column, sum);
  finish(z, row, left + column);
}
