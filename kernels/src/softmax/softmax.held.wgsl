alias elem = f32;
//!use common/held_rows.wgsl
//!use common/wide.wgsl
// softmax.wgsl for hardware: `lanes` threads hold a row in registers, up to eight vec4 each, lanes apart, so that neighbours load neighbours, all
// loads are on their way at once and each number is read once. cols: a multiple of 4, at most 32 lanes.
// Loads past the end of a row take its last vec4, which the maximum has seen anyway; sums leave it out.

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn softmax_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let n = p.cols / 4u;
  let first = min(row, p.rows - 1u) * n;
  let more = lane + 4u * lanes;
  let two = n > 4u * lanes; // the same for all
  var a = block_of_x(first, n, lane);
  var b = mat4x4f();
  var m = max16(a);
  if (two) {
    b = block_of_x(first, n, more);
    m = max(m, max16(b));
  }
  m = row_max(m, t);
  a = within4(exp16(less16(a, m)), lane, n);
  var l = sum16(a);
  if (two) {
    b = within4(exp16(less16(b, m)), more, n);
    l += sum16(b);
  }
  let inv = 1.0 / row_sum(sum4(l), t);
  if (row >= p.rows) { return; }
  store_y(first, n, lane, a * inv);
  if (two) { store_y(first, n, more, b * inv); }
}

@group(0) @binding(0) var<storage, read_write> dx: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> y_saved: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> pb: Params;

fn load_dy(first: u32, n: u32, at: u32) -> vec4f { return vec4f(dy[first + min(at, n - 1u)]); }
fn load_saved(first: u32, n: u32, at: u32) -> vec4f { return vec4f(y_saved[first + min(at, n - 1u)]); }

fn block_of_dy(first: u32, n: u32, at: u32) -> mat4x4f {
  return mat4x4f(
    load_dy(first, n, at), load_dy(first, n, at + lanes), load_dy(first, n, at + 2u * lanes), load_dy(first, n, at + 3u * lanes),
  );
}

@compute @workgroup_size(WG)
fn softmax_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let n = pb.cols / 4u;
  let first = min(row, pb.rows - 1u) * n;
  let more = lane + 4u * lanes;
  let two = n > 4u * lanes; // the same for all
  let da = block_of_dy(first, n, lane);
  let ya = block_of_saved(first, n, lane);
  var db = mat4x4f();
  var yb = mat4x4f();
  var products = sum16(within4(mul16(da, ya), lane, n));
  if (two) {
    db = block_of_dy(first, n, more);
    yb = block_of_saved(first, n, more);
    products += sum16(within4(mul16(db, yb), more, n));
  }
  let d = row_sum(sum4(products), t);
  if (row >= pb.rows) { return; }
  store_dx(first, n, lane, mul16(ya, less16(da, d)));
  if (two) { store_dx(first, n, more, mul16(yb, less16(db, d))); }
}
