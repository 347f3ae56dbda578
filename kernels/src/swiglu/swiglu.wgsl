alias elem = f32;
//!use common/sigmoid.wgsl
// SwiGLU (arXiv 2002.05202) over n elements, s = sigmoid(gate) = 1 / (1 + exp(-gate)):
//   y = gate s up;   dup = dy gate s;   dgate = dy up s (1 + gate (1 - s))
// One thread per element.

const WG: u32 = 256u;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> gate: array<elem>;
@group(0) @binding(2) var<storage, read> up: array<elem>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn swiglu_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= p.n) { return; }
  y[i] = elem(silu(f32(gate[i])) * f32(up[i]));
}

@group(0) @binding(0) var<storage, read_write> dgate: array<elem>;
@group(0) @binding(1) var<storage, read_write> dup: array<elem>;
@group(0) @binding(2) var<storage, read> dy: array<elem>;
@group(0) @binding(3) var<storage, read> gate_saved: array<elem>;
@group(0) @binding(4) var<storage, read> up_saved: array<elem>;
@group(0) @binding(5) var<uniform> pb: Params;

@compute @workgroup_size(WG)
fn swiglu_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pb.n) { return; }
  let g = f32(gate_saved[i]);
  let s = sigmoid(g);
  let d = f32(dy[i]);
  dgate[i] = elem(d * f32(up_saved[i]) * s * (1.0 + g * (1.0 - s)));
  dup[i] = elem(d * g * s);
}
