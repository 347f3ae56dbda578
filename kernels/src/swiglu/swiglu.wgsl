alias elem = f32;
//!use common/swiglu_gradients.wgsl
// SwiGLU (arXiv 2002.05202) over n elements, s = sigmoid(gate) = 1 / (1 + exp(-gate)):
//   y = gate s up;   dup = dy gate s;   dgate = dy up s (1 + gate (1 - s))
// swiglu_fused_*: gate and up of a row lie one after the other, gate_up (rows, 2 cols), y (rows, cols).
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
  let d = gradients(f32(dy[i]), f32(gate_saved[i]), f32(up_saved[i]));
  dgate[i] = elem(d.x);
  dup[i] = elem(d.y);
}

struct FusedParams { rows: u32, cols: u32 }

@group(0) @binding(1) var<storage, read> gate_up: array<elem>;
@group(0) @binding(2) var<uniform> pf: FusedParams;

@compute @workgroup_size(WG)
fn swiglu_fused_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pf.rows * pf.cols) { return; }
  let g = i / pf.cols * pf.cols + i;
  y[i] = elem(silu(f32(gate_up[g])) * f32(gate_up[g + pf.cols]));
}

@group(0) @binding(0) var<storage, read_write> dgate_up: array<elem>;
@group(0) @binding(1) var<storage, read> dy_fused: array<elem>;
@group(0) @binding(2) var<storage, read> gate_up_saved: array<elem>;
@group(0) @binding(3) var<uniform> pfb: FusedParams;

@compute @workgroup_size(WG)
fn swiglu_fused_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pfb.rows * pfb.cols) { return; }
  let g = i / pfb.cols * pfb.cols + i;
  let d = gradients(f32(dy_fused[i]), f32(gate_up_saved[g]), f32(gate_up_saved[g + pfb.cols]));
  dgate_up[g] = elem(d.x);
  dgate_up[g + pfb.cols] = elem(d.y);
}
