alias elem = f32;
//!use common/rope_place.wgsl
// Rotary position embedding (arXiv 2104.09864), rotate-half pairing of Llama and Qwen: x, y (tokens, heads, head_dim), D = head_dim,
// d < D/2, cos_sin (max_pos, D) = [cos_0 .. cos_{D/2-1}, sin_0 .. sin_{D/2-1}], row positions[token]:
//   y[d]       = x[d] cos_d - sign x[d + D/2] sin_d
//   y[d + D/2] = x[d + D/2] cos_d + sign x[d] sin_d
// sign = 1 rotates; sign = -1 rotates back and is the backward (the transpose). A position >= max_pos gives zeros.
// rope_qkv_fwd takes a fused projection (tokens, heads + 2 kv_heads, head_dim) apart: q and k turned, v as it is. rope_qkv_bwd is its transpose.
// One thread per pair.

const WG: u32 = 64u;
/** Numbers to a load: common/rope_place.wgsl. */
const STEP: u32 = 1u;

struct Params { tokens: u32, heads: u32, head_dim: u32, max_pos: u32, sign: f32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read> cos_sin: array<f32>;
@group(0) @binding(4) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn rope_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = p.head_dim / 2u;
  let pair = (wid.x + wid.y * nwg.x) * WG + t;
  if (pair >= p.tokens * p.heads * half) { return; }
  let d = pair % half;
  let head = pair / half;
  let at = head * p.head_dim + d;
  let position = positions[head / p.heads];
  var rotated = vec2f();
  if (position < p.max_pos) {
    let co = cos_sin[position * p.head_dim + d];
    let si = p.sign * cos_sin[position * p.head_dim + half + d];
    rotated = turned(vec2f(f32(x[at]), f32(x[at + half])), co, si);
  }
  y[at] = elem(rotated.x);
  y[at + half] = elem(rotated.y);
}

fn turned(x: vec2f, co: f32, si: f32) -> vec2f { return vec2f(x.x * co - x.y * si, x.y * co + x.x * si); }

@group(0) @binding(0) var<storage, read_write> q: array<elem>;
@group(0) @binding(1) var<storage, read_write> k: array<elem>;
@group(0) @binding(2) var<storage, read_write> v: array<elem>;
@group(0) @binding(3) var<storage, read> qkv: array<elem>;
@group(0) @binding(5) var<storage, read> cos_sin_qkv: array<f32>;

/** A pair of q or k, turned by its angle or back; zeros beyond the table. */
fn turned_at(x: vec2f, at: vec3u, sign: f32) -> vec2f {
  let position = positions_qkv[at.x];
  if (position >= f.max_pos) { return vec2f(); }
  let row = position * head_loads() + at.z;
  return turned(x, cos_sin_qkv[row], sign * cos_sin_qkv[row + half_loads()]);
}

@compute @workgroup_size(WG)
fn rope_qkv_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = half_loads();
  let pair = (wid.x + wid.y * nwg.x) * WG + t;
  let at = place_of(pair);
  if (at.x >= f.tokens) { return; }
  let source = in_fused(pair, at);
  let part = in_part(at);
  let x = vec2f(f32(qkv[source]), f32(qkv[source + half]));
  if (at.y >= f.heads + f.kv_heads) {
    v[part] = elem(x.x);
    v[part + half] = elem(x.y);
    return;
  }
  let y = turned_at(x, at, 1.0);
  if (at.y < f.heads) {
    q[part] = elem(y.x);
    q[part + half] = elem(y.y);
  } else {
    k[part] = elem(y.x);
    k[part + half] = elem(y.y);
  }
}

@group(0) @binding(0) var<storage, read_write> dqkv: array<elem>;
@group(0) @binding(1) var<storage, read> dq: array<elem>;
@group(0) @binding(2) var<storage, read> dk: array<elem>;
@group(0) @binding(3) var<storage, read> dv: array<elem>;

@compute @workgroup_size(WG)
fn rope_qkv_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let half = half_loads();
  let pair = (wid.x + wid.y * nwg.x) * WG + t;
  let at = place_of(pair);
  if (at.x >= f.tokens) { return; }
  let part = in_part(at);
  var dx = vec2f();
  if (at.y >= f.heads + f.kv_heads) {
    dx = vec2f(f32(dv[part]), f32(dv[part + half]));
  } else {
    var dy = vec2f();
    if (at.y < f.heads) {
      dy = vec2f(f32(dq[part]), f32(dq[part + half]));
    } else {
      dy = vec2f(f32(dk[part]), f32(dk[part + half]));
    }
    dx = turned_at(dy, at, -1.0);
  }
  let whole = in_fused(pair, at);
  dqkv[whole] = elem(dx.x);
  dqkv[whole + half] = elem(dx.y);
}
