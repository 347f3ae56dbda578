alias elem = f32;
//!use common/wide.wgsl
// softmax.wgsl with a thread per row, 16 columns at a time; cols is a multiple of 16. Forward: maximum and sum come out of one pass, online,
// with one rescaling for each 16 columns, so x is read twice and not three times.

const WG: u32 = 64u;

struct Params { rows: u32, cols: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read> x: array<mat4x4<elem>>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn softmax_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= p.rows) { return; }
  let first = row * (p.cols / 16u);
  let end = first + p.cols / 16u;
  var a = wide_empty();
  for (var i = first; i < end; i++) { a = wide_push(a, mat4x4f(x[i])); }
  let inv = 1.0 / sum4(a.l);
  for (var i = first; i < end; i++) { y[i] = mat4x4<elem>(exp16(less16(mat4x4f(x[i]), a.m)) * inv); }
}

@group(0) @binding(0) var<storage, read_write> dx: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read> dy: array<mat4x4<elem>>;
@group(0) @binding(2) var<storage, read> y_saved: array<mat4x4<elem>>;
@group(0) @binding(3) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn softmax_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = (wid.x + wid.y * nwg.x) * WG + t;
  if (row >= pb.rows) { return; }
  let first = row * (pb.cols / 16u);
  let end = first + pb.cols / 16u;
  var sums = vec4f();
  for (var i = first; i < end; i++) { sums += sum16(mul16(mat4x4f(dy[i]), mat4x4f(y_saved[i]))); }
  let d = sum4(sums);
  for (var i = first; i < end; i++) { dx[i] = mat4x4<elem>(mul16(mat4x4f(y_saved[i]), less16(mat4x4f(dy[i]), d))); }
}
