alias elem = f32;
//!use common/matmul_io.wgsl
// NT with at most 4 rows, K read four numbers at a time (variants.ts sees to it that all rows start at multiples of four).
// 4 columns per workgroup; 16 threads share the K of a column, 64 numbers a step, and their sums are added in fixed order.

@group(0) @binding(1) var<storage, read> a: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> b: array<vec4<elem>>;

/** Of thread t: its share of the column t / 16, by row. */
var<workgroup> parts: array<vec4f, 64>;

@compute @workgroup_size(64)
fn matmul_gemv(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (p.n + 3u) / 4u;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * p.batch) { return; } // the same for the whole workgroup
  let z = index / across;
  let left = (index % across) * 4u;
  let steps = p.k / 4u;
  let from_a = z * p.stride_a / 4u;
  let from_b = column_start(NT, z, left + t / 16u) / 4u;
  var acc = vec4f();
  for (var l = t % 16u; l < steps; l += 16u) {
    let v = vec4f(b[from_b + l]);
    acc.x += dot(vec4f(a[from_a + l]), v);
    if (p.m > 1u) { acc.y += dot(vec4f(a[from_a + steps + l]), v); }
    if (p.m > 2u) { acc.z += dot(vec4f(a[from_a + 2u * steps + l]), v); }
    if (p.m > 3u) { acc.w += dot(vec4f(a[from_a + 3u * steps + l]), v); }
  }
  parts[t] = acc;
  workgroupBarrier();
  if (t >= 16u) { return; }
  var sum = 0.0;
  for (var s = 0u; s < 16u; s++) { sum += parts[16u * (t % 4u) + s][t / 4u]; }
  put(z, t / 4u, left + t % 4u, sum);
  finish(z, t / 4u, left + t % 4u);
}
