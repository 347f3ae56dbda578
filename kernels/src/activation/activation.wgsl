alias elem = f32;
// tanh_fwd: y = tanh x; tanh_bwd: dx = dy (1 - y^2).  relu_fwd: y = max(x, 0); relu_bwd: dx = dy where y > 0, else 0.
// All (n); one thread per element. The saved tensor is y for both.

const WG: u32 = 64u;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn tanh_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  // WGSL lets tanh overflow for large arguments; beyond 10 it is 1 to the last bit.
  y[i] = elem(tanh(clamp(f32(x[i]), -10.0, 10.0)));
}

@compute @workgroup_size(WG)
fn relu_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  y[i] = max(x[i], elem(0.0));
}

@group(0) @binding(0) var<storage, read_write> dx: array<elem>;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> y_saved: array<elem>;
@group(0) @binding(3) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn tanh_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pb.n) { return; }
  dx[i] = elem(f32(dy[i]) * (1.0 - f32(y_saved[i]) * f32(y_saved[i])));
}

@compute @workgroup_size(WG)
fn relu_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pb.n) { return; }
  dx[i] = select(elem(0.0), dy[i], y_saved[i] > elem(0.0));
}
