alias elem = f32;
// delta of attention.wgsl with 8 threads per (token, head) row: neighbours read neighbouring vec4. Each sums every eighth vec4; the row's
// first thread adds their sums up in order.

const LANES: u32 = 8u;
const WG: u32 = 64u;

struct Params { tokens: u32, heads: u32, head_dim: u32 }

@group(0) @binding(0) var<storage, read_write> stats: array<vec2f>;
@group(0) @binding(1) var<storage, read> dout: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> o: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> sums: array<f32, WG>;

@compute @workgroup_size(WG)
fn attention_bwd_delta(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let cols = p.head_dim / 4u;
  let r = (wid.x + wid.y * nwg.x) * (WG / LANES) + t / LANES;
  let there = r < p.tokens * p.heads;
  var sum = vec4f();
  if (there) {
    for (var c = r * cols + t % LANES; c < (r + 1u) * cols; c += LANES) { sum += vec4f(dout[c]) * vec4f(o[c]); }
  }
  sums[t] = (sum.x + sum.y) + (sum.z + sum.w);
  workgroupBarrier();
  if (!there || t % LANES != 0u) { return; }
  var delta = 0.0;
  for (var n = 0u; n < LANES; n++) { delta += sums[t + n]; }
  stats[r].y = delta;
}
