alias elem = f32;
//!use common/wide.wgsl
//!use common/finite.wgsl
// adamw.wgsl with more than one element per load. The update: four per thread, n a multiple of 4, or sixteen, n a multiple of 16, the same formulas in
// the same order. The partial sums, for adapters that compute on the CPU: a thread per chunk and no barrier, n a multiple of 16.

const WG: u32 = 64u;
const WIDE: u32 = 256u;
/** Matrices in 4096 elements. */
const CHUNK: u32 = 256u;

struct PartialParams { n: u32 }

@group(0) @binding(0) var<storage, read_write> partials: array<f32>;
@group(0) @binding(1) var<storage, read> grad_only: array<mat4x4<elem>>;
@group(0) @binding(2) var<uniform> pp: PartialParams;

@compute @workgroup_size(WG)
fn grad_norm_partial(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let chunk = (wid.x + wid.y * nwg.x) * WG + t;
  let end = min(chunk * CHUNK + CHUNK, pp.n / 16u);
  if (chunk * CHUNK >= end) { return; }
  var s = vec4f();
  for (var i = chunk * CHUNK; i < end; i++) {
    let g = mat4x4f(grad_only[i]);
    s += sum16(mul16(g, g));
  }
  partials[chunk] = sum4(s);
}

struct Params {
  n: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, bias_correction1: f32, bias_correction2: f32,
}

@group(0) @binding(0) var<storage, read_write> param: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> v: array<vec4f>;
@group(0) @binding(3) var<storage, read> grad: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> decay: array<f32>;
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

/** Of four elements. */
struct Moved { param: vec4f, m: vec4f, v: vec4f }

fn moved(param_old: vec4f, m_old: vec4f, v_old: vec4f, g: vec4f, decay_factor: f32) -> Moved {
  let m_new = p.beta1 * m_old + (1.0 - p.beta1) * g;
  let v_new = p.beta2 * v_old + (1.0 - p.beta2) * g * g;
  let kept = param_old * (1.0 - p.lr * p.weight_decay * decay_factor);
  return Moved(kept - p.lr * (m_new / p.bias_correction1) / (sqrt(v_new / p.bias_correction2) + p.eps), m_new, v_new);
}

@compute @workgroup_size(WIDE)
fn adamw(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WIDE + t;
  if (4u * i >= p.n || !finite(norm[0])) { return; }
  let next = moved(vec4f(param[i]), m[i], v[i], vec4f(grad[i]) * norm[1], decay[i / 16u]);
  m[i] = next.m;
  v[i] = next.v;
  param[i] = vec4<elem>(next.param);
}

@group(0) @binding(0) var<storage, read_write> param16: array<mat4x4<elem>>;
@group(0) @binding(1) var<storage, read_write> m16: array<mat4x4f>;
@group(0) @binding(2) var<storage, read_write> v16: array<mat4x4f>;
@group(0) @binding(3) var<storage, read> grad16: array<mat4x4<elem>>;

@compute @workgroup_size(WIDE)
fn adamw16(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WIDE + t;
  if (16u * i >= p.n || !finite(norm[0])) { return; }
  let g = mat4x4f(grad16[i]);
  let m_old = m16[i];
  let v_old = v16[i];
  let old = mat4x4f(param16[i]);
  let d = decay[i / 4u];
  let a = moved(old[0], m_old[0], v_old[0], g[0] * norm[1], d);
  let b = moved(old[1], m_old[1], v_old[1], g[1] * norm[1], d);
  let c = moved(old[2], m_old[2], v_old[2], g[2] * norm[1], d);
  let e = moved(old[3], m_old[3], v_old[3], g[3] * norm[1], d);
  m16[i] = mat4x4f(a.m, b.m, c.m, e.m);
  v16[i] = mat4x4f(a.v, b.v, c.v, e.v);
  param16[i] = mat4x4<elem>(mat4x4f(a.param, b.param, c.param, e.param));
}
