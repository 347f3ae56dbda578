alias elem = f32;
//!use common/block_reduce.wgsl
// Softmax over the last dim of (rows, cols): y[n,c] = exp(x[n,c] - max_c x[n]) / sum_c exp(x[n,c] - max_c x[n]).
// Backward: dx[n,c] = y[n,c] (dy[n,c] - sum_c dy[n,c] y[n,c]).
// row_lanes threads per row; lane i owns columns i, i + lanes, ... Sums in f32.

const WG: u32 = 64u;
const LOWEST: f32 = -3.4028234e38;

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn softmax_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(p.cols);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, p.cols, row < p.rows);
  let base = row * p.cols;
  var m = LOWEST;
  for (var c = lane; c < cols; c += lanes) { m = max(m, f32(x[base + c])); }
  m = lane_max(m, t, lanes);
  var l = 0.0;
  for (var c = lane; c < cols; c += lanes) { l += exp(f32(x[base + c]) - m); }
  l = lane_sum(l, t, lanes);
  let inv = 1.0 / l;
  for (var c = lane; c < cols; c += lanes) { y[base + c] = elem(exp(f32(x[base + c]) - m) * inv); }
}

@group(0) @binding(0) var<storage, read_write> dx: array<elem>;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> y_saved: array<elem>;
@group(0) @binding(3) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn softmax_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(pb.cols);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, pb.cols, row < pb.rows);
  let base = row * pb.cols;
  var d = 0.0;
  for (var c = lane; c < cols; c += lanes) { d += f32(dy[base + c]) * f32(y_saved[base + c]); }
  d = lane_sum(d, t, lanes);
  for (var c = lane; c < cols; c += lanes) {
    dx[base + c] = elem(f32(y_saved[base + c]) * (f32(dy[base + c]) - d));
  }
}
