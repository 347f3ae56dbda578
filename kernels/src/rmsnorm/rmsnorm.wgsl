alias elem = f32;
//!use common/block_reduce.wgsl
// RMSNorm over the last dim of (rows, cols), weight (cols), rstd (rows):
//   rstd[n] = 1 / sqrt(mean_c x[n,c]^2 + eps),  y[n,c] = x[n,c] rstd[n] weight[c]                    (arXiv 1910.07467)
//   dx[n,c] = rstd[n] (dy[n,c] weight[c] - x[n,c] rstd[n]^2 mean_c(dy weight x)), added to what dx holds where accumulate is 1
//   dweight[c] += sum_n dy[n,c] x[n,c] rstd[n]
// Forward and dx: row_lanes threads per row; lane i owns columns i, i + lanes, ... dweight: one workgroup of COLS x row_lanes_dw threads per
// COLS columns; lane l sums rows l, l + row_lanes_dw, ..., the lanes' sums are added in order: no atomics, the same bits every time.

const WG: u32 = 64u;
const COLS: u32 = 16u;
override row_lanes_dw: u32 = 16u;

struct FwdParams { rows: u32, cols: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<elem>;
@group(0) @binding(3) var<storage, read> weight: array<elem>;
@group(0) @binding(4) var<uniform> p: FwdParams;

@compute @workgroup_size(WG)
fn rmsnorm_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(p.cols);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, p.cols, row < p.rows);
  let base = row * p.cols;
  var ss = 0.0;
  for (var c = lane; c < cols; c += lanes) {
    let v = f32(x[base + c]);
    ss += v * v;
  }
  ss = lane_sum(ss, t, lanes);
  let r = 1.0 / sqrt(ss / f32(p.cols) + p.eps);
  if (lane == 0u && cols > 0u) { rstd_out[row] = r; }
  for (var c = lane; c < cols; c += lanes) { y[base + c] = elem(f32(x[base + c]) * r * f32(weight[c])); }
}

struct DxParams { rows: u32, cols: u32, accumulate: u32 }

@group(0) @binding(0) var<storage, read_write> dx: array<elem>;
@group(0) @binding(1) var<storage, read> dy: array<elem>;
@group(0) @binding(2) var<storage, read> x_saved: array<elem>;
@group(0) @binding(3) var<storage, read> weight_saved: array<elem>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<uniform> p_dx: DxParams;

/** r (dy weight - x k). */
fn dx_at(base: u32, c: u32, r: f32, k: f32) -> f32 {
  return r * (f32(dy[base + c]) * f32(weight_saved[c]) - f32(x_saved[base + c]) * k);
}

@compute @workgroup_size(WG)
fn rmsnorm_bwd_dx(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let lanes = row_lanes(p_dx.cols);
  let row = (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes;
  let lane = t % lanes;
  // Rows beyond the last keep up with the barriers, and touch nothing.
  let cols = select(0u, p_dx.cols, row < p_dx.rows);
  let base = row * p_dx.cols;
  var d = 0.0;
  for (var c = lane; c < cols; c += lanes) { d += f32(dy[base + c]) * f32(weight_saved[c]) * f32(x_saved[base + c]); }
  d = lane_sum(d, t, lanes);
  if (cols == 0u) { return; }
  let r = rstd[row];
  let k = d / f32(p_dx.cols) * r * r;
  if (p_dx.accumulate == 0u) {
    for (var c = lane; c < cols; c += lanes) { dx[base + c] = elem(dx_at(base, c, r, k)); }
    return;
  }
  for (var c = lane; c < cols; c += lanes) { dx[base + c] = elem(f32(dx[base + c]) + dx_at(base, c, r, k)); }
}

struct DweightParams { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> dweight: array<f32>;
@group(0) @binding(3) var<storage, read> rstd_rows: array<f32>;
@group(0) @binding(4) var<uniform> p_dw: DweightParams;

var<workgroup> lane_sums: array<f32, COLS * row_lanes_dw>;

@compute @workgroup_size(COLS, row_lanes_dw)
fn rmsnorm_bwd_dweight(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_id) id: vec3u) {
  let c = (wid.x + wid.y * nwg.x) * COLS + id.x;
  var sum = 0.0;
  if (c < p_dw.cols) {
    for (var n = id.y; n < p_dw.rows; n += row_lanes_dw) {
      sum += f32(dy[n * p_dw.cols + c]) * f32(x_saved[n * p_dw.cols + c]) * rstd_rows[n];
    }
  }
  if (row_lanes_dw > 1u) {
    lane_sums[id.y * COLS + id.x] = sum;
    workgroupBarrier();
    sum = 0.0;
    for (var l = 0u; l < row_lanes_dw; l++) { sum += lane_sums[l * COLS + id.x]; }
  }
  if (id.y == 0u && c < p_dw.cols) { dweight[c] += sum; }
}
