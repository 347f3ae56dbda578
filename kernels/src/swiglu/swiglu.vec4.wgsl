alias elem = f32;
//!use common/swiglu_gradients.wgsl
// swiglu.wgsl with four elements to a load, for hardware, element by element the same; n, or cols, is a multiple of 4.

const WG: u32 = 256u;

struct Params { n: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> gate: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> up: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn swiglu_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (4u * i >= p.n) { return; }
  y[i] = vec4<elem>(silu4(vec4f(gate[i])) * vec4f(up[i]));
}

fn silu4(g: vec4f) -> vec4f { return vec4f(silu(g.x), silu(g.y), silu(g.z), silu(g.w)); }

@group(0) @binding(0) var<storage, read_write> dgate: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> dup: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> gate_saved: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> up_saved: array<vec4<elem>>;
@group(0) @binding(5) var<uniform> pb: Params;

/** Of four elements, each of the two in a column. */
fn gradients4(d: vec4f, g: vec4f, u: vec4f) -> mat2x4f {
  let a = gradients(d.x, g.x, u.x);
  let b = gradients(d.y, g.y, u.y);
  let c = gradients(d.z, g.z, u.z);
  let e = gradients(d.w, g.w, u.w);
  return mat2x4f(a.x, b.x, c.x, e.x, a.y, b.y, c.y, e.y);
}

@compute @workgroup_size(WG)
fn swiglu_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (4u * i >= pb.n) { return; }
  let d = gradients4(vec4f(dy[i]), vec4f(gate_saved[i]), vec4f(up_saved[i]));
  dgate[i] = vec4<elem>(d[0]);
  dup[i] = vec4<elem>(d[1]);
}

struct FusedParams { rows: u32, cols: u32 }

@group(0) @binding(1) var<storage, read> gate_up: array<vec4<elem>>;
@group(0) @binding(2) var<uniform> pf: FusedParams;

@compute @workgroup_size(WG)
fn swiglu_fused_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let cols = pf.cols / 4u;
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pf.rows * cols) { return; }
  let g = i / cols * cols + i;
  y[i] = vec4<elem>(silu4(vec4f(gate_up[g])) * vec4f(gate_up[g + cols]));
}

@group(0) @binding(0) var<storage, read_write> dgate_up: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dy_fused: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> gate_up_saved: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> pfb: FusedParams;

@compute @workgroup_size(WG)
fn swiglu_fused_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let cols = pfb.cols / 4u;
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (i >= pfb.rows * cols) { return; }
  let g = i / cols * cols + i;
  let d = gradients4(vec4f(dy_fused[i]), vec4f(gate_up_saved[g]), vec4f(gate_up_saved[g + cols]));
  dgate_up[g] = vec4<elem>(d[0]);
  dgate_up[g + cols] = vec4<elem>(d[1]);
}
