alias elem = f32;
//!use common/held_rows.wgsl
//!use common/wide.wgsl
// Forward and dx of rmsnorm.wgsl for hardware: `lanes` threads hold a row in registers, up to eight vec4 each, lanes apart, so that neighbours load
// neighbours, all loads are on their way at once and each number is read once. cols: a multiple of 4, at most 32 lanes.
// Loads past the end of a row take its last vec4; sums leave it out.

struct FwdParams { rows: u32, cols: u32, eps: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> rstd_out: array<f32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> weight: array<vec4<elem>>;
@group(0) @binding(4) var<uniform> p: FwdParams;

fn load_weight(n: u32, at: u32) -> vec4f { return vec4f(weight[min(at, n - 1u)]); }

fn block_of_weight(n: u32, at: u32) -> mat4x4f {
  return mat4x4f(load_weight(n, at), load_weight(n, at + lanes), load_weight(n, at + 2u * lanes), load_weight(n, at + 3u * lanes));
}

@compute @workgroup_size(WG)
fn rmsnorm_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let n = p.cols / 4u;
  let first = min(row, p.rows - 1u) * n;
  let more = lane + 4u * lanes;
  let two = n > 4u * lanes; // the same for all
  let a = block_of_x(first, n, lane);
  let wa = block_of_weight(n, lane);
  var b = mat4x4f();
  var wb = mat4x4f();
  var squares = sum16(within4(mul16(a, a), lane, n));
  if (two) {
    b = block_of_x(first, n, more);
    wb = block_of_weight(n, more);
    squares += sum16(within4(mul16(b, b), more, n));
  }
  let r = 1.0 / sqrt(row_sum(sum4(squares), t) / f32(p.cols) + p.eps);
  if (row >= p.rows) { return; }
  if (lane == 0u) { rstd_out[row] = r; }
  store_y(first, n, lane, mul16(a * r, wa));
  if (two) { store_y(first, n, more, mul16(b * r, wb)); }
}

struct DxParams { rows: u32, cols: u32, accumulate: u32 }

@group(0) @binding(0) var<storage, read_write> dx: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> x_saved: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> weight_saved: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
@group(0) @binding(5) var<uniform> p_dx: DxParams;

/** dy weight. */
fn load_scaled(first: u32, n: u32, at: u32) -> vec4f {
  let c = min(at, n - 1u);
  return vec4f(dy[first + c]) * vec4f(weight_saved[c]);
}
fn load_saved(first: u32, n: u32, at: u32) -> vec4f { return vec4f(x_saved[first + min(at, n - 1u)]); }

fn block_of_scaled(first: u32, n: u32, at: u32) -> mat4x4f {
  return mat4x4f(
    load_scaled(first, n, at), load_scaled(first, n, at + lanes),
    load_scaled(first, n, at + 2u * lanes), load_scaled(first, n, at + 3u * lanes),
  );
}

/** What dx holds; nothing past `end`, which others write. */
fn load_dx(first: u32, end: u32, at: u32) -> vec4f {
  if (at < end) { return vec4f(dx[first + at]); }
  return vec4f();
}

fn block_of_dx(first: u32, end: u32, at: u32) -> mat4x4f {
  return mat4x4f(
    load_dx(first, end, at), load_dx(first, end, at + lanes), load_dx(first, end, at + 2u * lanes), load_dx(first, end, at + 3u * lanes),
  );
}

@compute @workgroup_size(WG)
fn rmsnorm_bwd_dx(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let n = p_dx.cols / 4u;
  let there = min(row, p_dx.rows - 1u);
  let first = there * n;
  let more = lane + 4u * lanes;
  let two = n > 4u * lanes; // the same for all
  let r = rstd[there];
  let da = block_of_scaled(first, n, lane);
  let xa = block_of_saved(first, n, lane);
  var db = mat4x4f();
  var xb = mat4x4f();
  var before_a = mat4x4f();
  var before_b = mat4x4f();
  let add = p_dx.accumulate != 0u;
  if (add) {
    let end = select(0u, n, row < p_dx.rows);
    before_a = block_of_dx(first, end, lane);
    before_b = block_of_dx(first, end, more);
  }
  var products = sum16(within4(mul16(da, xa), lane, n));
  if (two) {
    db = block_of_scaled(first, n, more);
    xb = block_of_saved(first, n, more);
    products += sum16(within4(mul16(db, xb), more, n));
  }
  let k = row_sum(sum4(products), t) / f32(p_dx.cols) * r * r;
  if (row >= p_dx.rows) { return; }
  var a = (da - xa * k) * r;
  var b = (db - xb * k) * r;
  if (add) {
    a += before_a;
    b += before_b;
  }
  store_dx(first, n, lane, a);
  if (two) { store_dx(first, n, more, b); }
}
