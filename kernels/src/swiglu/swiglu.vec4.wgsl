alias elem = f32;
//!use common/sigmoid.wgsl
// swiglu.wgsl with four elements to a load, for hardware, element by element the same; n is a multiple of 4.

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
  let g = vec4f(gate[i]);
  let u = vec4f(up[i]);
  y[i] = vec4<elem>(vec4f(silu(g.x), silu(g.y), silu(g.z), silu(g.w)) * u);
}

@group(0) @binding(0) var<storage, read_write> dgate: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> dup: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> dy: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> gate_saved: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> up_saved: array<vec4<elem>>;
@group(0) @binding(5) var<uniform> pb: Params;

/** dgate, dup. */
fn gradients(d: f32, g: f32, u: f32) -> vec2f {
  let s = sigmoid(g);
  return vec2f(d * u * s * (1.0 + g * (1.0 - s)), d * g * s);
}

@compute @workgroup_size(WG)
fn swiglu_bwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WG + t;
  if (4u * i >= pb.n) { return; }
  let d = vec4f(dy[i]);
  let g = vec4f(gate_saved[i]);
  let u = vec4f(up_saved[i]);
  let a = gradients(d.x, g.x, u.x);
  let b = gradients(d.y, g.y, u.y);
  let c = gradients(d.z, g.z, u.z);
  let e = gradients(d.w, g.w, u.w);
  dgate[i] = vec4<elem>(vec4f(a.x, b.x, c.x, e.x));
  dup[i] = vec4<elem>(vec4f(a.y, b.y, c.y, e.y));
}
