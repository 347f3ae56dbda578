alias elem = f32;
//!use common/wide.wgsl
// Forward and dx of rmsnorm.wgsl with a thread per row, 16 columns at a time; cols is a multiple of 16.

const WG: u32 = 64u;

struct FwdParams { rows: u32, cols: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<mat4x4<elem>>;
@group(0) @binding(3) var<storage, read> weight: array<mat4x4<elem>>;
@group(0) @binding(4) var<uniform> p: FwdParams;

@compute @workgroup_size(WG)
fn rmsnorm_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p.rows) { return; }
  let count = p.cols / 16u;
  let first = row * count;
  var squares = vec4f();
  for (var i = 0u; i < count; i++) {
    let v = mat4x4f(x[first + i]);
    squares += sum16(mul16(v, v));
  }
  let r = 1.0 / sqrt(sum4(squares) / f32(p.cols) + p.eps);
  rstd_out[row] = r;
  for (var i = 0u; i < count; i++) { y[first + i] = mat4x4<elem>(mul16(mat4x4f(x[first + i]) * r, mat4x4f(weight[i]))); }
}

struct DxParams { rows: u32, cols: u32, accumulate: u32 }

@group(0) @binding(0) var<storage, read_write> dx: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read> dy: array<mat4x4<elem>>;
@group(0) @binding(2) var<storage, read> x_saved: array<mat4x4<elem>>;
@group(0) @binding(3) var<storage, read> weight_saved: array<mat4x4<elem>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<uniform> p_dx: DxParams;

/** r (dy weight - x k). */
fn dx16(first: u32, i: u32, r: f32, k: f32) -> mat4x4f {
  let scaled = mul16(mat4x4f(dy[first + i]), mat4x4f(weight_saved[i]));
  return (scaled - mat4x4f(x_saved[first + i]) * k) * r;
}

@compute @workgroup_size(WG)
fn rmsnorm_bwd_dx(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p_dx.rows) { return; }
  let count = p_dx.cols / 16u;
  let first = row * count;
  var sums = vec4f();
  for (var i = 0u; i < count; i++) {
    sums += sum16(mul16(mul16(mat4x4f(dy[first + i]), mat4x4f(weight_saved[i])), mat4x4f(x_saved[first + i])));
  }
  let r = rstd[row];
  let k = sum4(sums) / f32(p_dx.cols) * r * r;
  if (p_dx.accumulate == 0u) {
    for (var i = 0u; i < count; i++) { dx[first + i] = mat4x4<elem>(dx16(first, i, r, k)); }
    return;
  }
  for (var i = 0u; i < count; i++) { dx[first + i] = mat4x4<elem>(mat4x4f(dx[first + i]) + dx16(first, i, r, k)); }
}
