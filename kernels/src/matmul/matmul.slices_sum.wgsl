alias elem = f32;
//!use common/matmul_io.wgsl
// Second pass of split-K: adds the `slices` sums of each output, `parts` (slices, batch, M, N), in order.

@group(0) @binding(6) var<storage, read_write> parts: array<f32>;

override slices: u32 = 8u;

@compute @workgroup_size(64)
fn matmul_slices_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let each = p.batch * p.m * p.n;
  let at = (wid.x + wid.y * nwg.x) * 64u + t;
  if (at >= each) { return; }
  var sum = 0.0;
  for (var s = 0u; s < slices; s++) { sum += parts[s * each + at]; }
  put(at / (p.m * p.n), at / p.n % p.m, at % p.n, sum);
  finish(at / (p.m * p.n), at / p.n % p.m, at % p.n);
}
