alias elem = f32;
//!use common/threefry.wgsl
// Dropout: y[i] = x[i] / (1 - rate) where uniform01(threefry((seed, stream), (i, 0)).0) >= rate, else 0; added to y[i] where accumulate is 1.
// The mask is never stored: the backward pass is the same kernel on dy with the same seed and stream.
// One thread per element.

const WG: u32 = 256u;

struct Params { n: u32, rate: f32, seed: u32, stream: u32, accumulate: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> x: array<elem>;
@group(0) @binding(2) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn dropout_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  let u = uniform01(threefry2x32(vec2u(p.seed, p.stream), vec2u(i, 0u)).x);
  var v = select(0.0, f32(x[i]) * (1.0 / (1.0 - p.rate)), u >= p.rate);
  if (p.accumulate != 0u) { v += f32(y[i]); }
  y[i] = elem(v);
}
