alias elem = f32;
// Rotary position embedding (arXiv 2104.09864), rotate-half pairing of Llama and Qwen: x, y (tokens, heads, head_dim), D = head_dim,
// d < D/2, cos_sin (max_pos, D) = [cos_0 .. cos_{D/2-1}, sin_0 .. sin_{D/2-1}], row positions[token]:
//   y[d]       = x[d] cos_d - sign x[d + D/2] sin_d
//   y[d + D/2] = x[d + D/2] cos_d + sign x[d] sin_d
// sign = 1 rotates; sign = -1 rotates back and is the backward (the transpose). A position >= max_pos gives zeros.
// One thread per pair.

const WG: u32 = 64u;

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
    let a = f32(x[at]);
    let b = f32(x[at + half]);
    rotated = vec2f(a * co - b * si, b * co + a * si);
  }
  y[at] = elem(rotated.x);
  y[at + half] = elem(rotated.y);
}
