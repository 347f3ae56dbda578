alias elem = f32;
//!use common/wide.wgsl
//!use common/finite.wgsl
// adamw.wgsl with more than one element per load. The update: four per thread, n a multiple of 4, the same formulas in the same order. The partial
// sums, for adapters that compute on the CPU: a thread per chunk and no barrier, n a multiple of 16.

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

@compute @workgroup_size(WIDE)
fn adamw(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WIDE + t;
  if (4u * i >= p.n || !finite(norm[0])) { return; }
  let g = vec4f(grad[i]) * norm[1];
  let m_new = p.beta1 * m[i] + (1.0 - p.beta1) * g;
  let v_new = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
  m[i] = m_new;
  v[i] = v_new;
  let kept = vec4f(param[i]) * (1.0 - p.lr * p.weight_decay * decay[i / 16u]);
  param[i] = vec4<elem>(kept - p.lr * (m_new / p.bias_correction1) / (sqrt(v_new / p.bias_correction2) + p.eps));
}
