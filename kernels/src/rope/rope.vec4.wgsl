alias elem = f32;
// rope.wgsl with four pairs per thread, for hardware, pair by pair the same; head_dim is a multiple of 8.

const WG: u32 = 64u;

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
