alias elem = f32;
//!use common/rope_place.wgsl
// rope.wgsl with four pairs per thread, for hardware, pair by pair the same; head_dim is a multiple of 8.

const WG: u32 = 64u;
/** Numbers to a load: common/rope_place.wgsl. */
const STEP: u32 = 4u;

struct Params { tokens: u32, heads: u32, head_dim: u32, max_pos: u32, sign: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> x: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> cos_sin: array<vec4f>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn rope_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = p.head_dim / 8u;
  let four = (wid.x + wid.y * nwg.x) * WG + t;
  if (four >= p.tokens * p.heads * half) { return; }
  let d = four % half;
  let head = four / half;
  let at = head * 2u * half + d;
  let position = positions[head / p.heads];
  // Beside the position, not after it.
  let a = vec4f(x[at]);
  let b = vec4f(x[at + half]);
  if (position >= p.max_pos) {
    y[at] = vec4<elem>();
    y[at + half] = vec4<elem>();
    return;
  }
  let co = cos_sin[position * 2u * half + d];
  let si = p.sign * cos_sin[position * 2u * half + half + d];
  y[at] = vec4<elem>(a * co - b * si);
  y[at + half] = vec4<elem>(b * co + a * si);
}

@group(0) @binding(0) var<storage, read_write> q: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> k: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> qkv: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> cos_sin_qkv: array<vec4f>;

/** Halves of four pairs, turned by their angles or back; zeros beyond the table. */
fn turned_at(a: vec4f, b: vec4f, at: vec3u, sign: f32) -> mat2x4f {
  let position = positions_qkv[at.x];
  if (position >= f.max_pos) { return mat2x4f(); }
  let row = position * head_loads() + at.z;
  let co = cos_sin_qkv[row];
  let si = sign * cos_sin_qkv[row + half_loads()];
  return mat2x4f(a * co - b * si, b * co + a * si);
}

@compute @workgroup_size(WG)
fn rope_qkv_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = half_loads();
  let four = (wid.x + wid.y * nwg.x) * WG + t;
  let at = place_of(four);
  if (at.x >= f.tokens) { return; }
  let source = in_fused(four, at);
  let part = in_part(at);
  let a = vec4f(qkv[source]);
  let b = vec4f(qkv[source + half]);
  if (at.y >= f.heads + f.kv_heads) {
    v[part] = vec4<elem>(a);
    v[part + half] = vec4<elem>(b);
    return;
  }
  let y = turned_at(a, b, at, 1.0);
  if (at.y < f.heads) {
    q[part] = vec4<elem>(y[0]);
    q[part + half] = vec4<elem>(y[1]);
  } else {
    k[part] = vec4<elem>(y[0]);
    k[part + half] = vec4<elem>(y[1]);
  }
}

@group(0) @binding(0) var<storage, read_write> dqkv: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dq: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> dk: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> dv: array<vec4<elem>>;

@compute @workgroup_size(WG)
fn rope_qkv_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = half_loads();
  let four = (wid.x + wid.y * nwg.x) * WG + t;
  let at = place_of(four);
  if (at.x >= f.tokens) { return; }
  let whole = in_fused(four, at);
  let part = in_part(at);
  if (at.y >= f.heads + f.kv_heads) {
    dqkv[whole] = dv[part];
    dqkv[whole + half] = dv[part + half];
    return;
  }
  var a = vec4f();
  var b = vec4f();
  if (at.y < f.heads) {
    a = vec4f(dq[part]);
    b = vec4f(dq[part + half]);
  } else {
    a = vec4f(dk[part]);
    b = vec4f(dk[part + half]);
  }
  let dx = turned_at(a, b, at, -1.0);
  dqkv[whole] = vec4<elem>(dx[0]);
  dqkv[whole + half] = vec4<elem>(dx[1]);
}
