alias elem = f32;
//!use common/block_reduce.wgsl
//!use common/finite.wgsl
// AdamW with clipping by global norm, over all parameters as one flat list of n (Loshchilov & Hutter 2019; as torch.optim.AdamW and
// torch.nn.utils.clip_grad_norm_). norm (2): [|grad|, coef], coef = min(1, max_norm / (|grad| + 1e-6)), or 1 when max_norm <= 0:
//   g = coef grad;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   param = param (1 - lr weight_decay decay[i / 64]) - lr (m / bias_correction1) / (sqrt(v / bias_correction2) + eps)
// decay: one factor for each 64 elements (0 for norms and biases). bias_correction = 1 - beta^step.
// A norm that is not finite skips the step: param, m and v stay as they are, and coef is 0.

/** Threads that make a sum, and that update. */
const WG: u32 = 64u;
const WIDE: u32 = 256u;
const CHUNK: u32 = 4096u;

struct PartialParams { n: u32 }

@group(0) @binding(0) var<storage, read_write> partials: array<f32>;
@group(0) @binding(1) var<storage, read> grad_only: array<elem>;
@group(0) @binding(2) var<uniform> pp: PartialParams;

// partials (ceil(n / 4096)): sum of grad^2 over each 4096 elements, one workgroup each.
@compute @workgroup_size(WG)
fn grad_norm_partial(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let chunk = wid.x + wid.y * nwg.x;
  let start = chunk * CHUNK;
  if (start >= pp.n) { return; }
  var s = 0.0;
  for (var i = start + t; i < min(start + CHUNK, pp.n); i += WG) {
    let g = f32(grad_only[i]);
    s += g * g;
  }
  s = block_sum(s, t);
  if (t == 0u) { partials[chunk] = s; }
}

struct FinishParams { count: u32, max_norm: f32 }

@group(0) @binding(0) var<storage, read_write> norm_out: array<f32>;
@group(0) @binding(1) var<storage, read> partials_in: array<f32>;
@group(0) @binding(2) var<uniform> pf: FinishParams;

@compute @workgroup_size(WG)
fn grad_norm_finish(@builtin(local_invocation_index) t: u32) {
  var s = 0.0;
  for (var i = t; i < pf.count; i += WG) { s += partials_in[i]; }
  s = block_sum(s, t);
  if (t != 0u) { return; }
  var norm = s;
  var coef = 0.0;
  if (finite(s)) {
    norm = sqrt(s);
    coef = select(1.0, min(1.0, pf.max_norm / (norm + 1e-6)), pf.max_norm > 0.0);
  }
  norm_out[0] = norm;
  norm_out[1] = coef;
}

struct Params {
  n: u32, lr: f32, beta1: f32, beta2: f32, eps: f32, weight_decay: f32, bias_correction1: f32, bias_correction2: f32,
}

@group(0) @binding(0) var<storage, read_write> param: array<elem>;
@group(0) @binding(1) var<storage, read_write> m: array<f32>;
@group(0) @binding(2) var<storage, read_write> v: array<f32>;
@group(0) @binding(3) var<storage, read> grad: array<elem>;
@group(0) @binding(4) var<storage, read> decay: array<f32>;
@group(0) @binding(5) var<storage, read> norm: array<f32>;
@group(0) @binding(6) var<uniform> p: Params;

// One element per thread.
@compute @workgroup_size(WIDE)
fn adamw(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (wid.x + wid.y * nwg.x) * WIDE + t;
  if (i >= p.n || !finite(norm[0])) { return; }
  let g = f32(grad[i]) * norm[1];
  let m_new = p.beta1 * m[i] + (1.0 - p.beta1) * g;
  let v_new = p.beta2 * v[i] + (1.0 - p.beta2) * g * g;
  m[i] = m_new;
  v[i] = v_new;
  let kept = f32(param[i]) * (1.0 - p.lr * p.weight_decay * decay[i / 64u]);
  param[i] = elem(kept - p.lr * (m_new / p.bias_correction1) / (sqrt(v_new / p.bias_correction2) + p.eps));
}
