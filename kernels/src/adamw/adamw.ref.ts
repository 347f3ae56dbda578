/** f64 oracle of adamw; the formulas are in adamw.wgsl. */
export function grad_norm_partial({ partials, grad }: Record<'partials' | 'grad', Float64Array>, { n }: { n: number }): void {
  for (let start = 0; start < n; start += 4096) {
    partials[start / 4096] = grad.subarray(start, Math.min(start + 4096, n)).reduce((s, g) => s + g * g, 0);
  }
}

export function grad_norm_finish(
  { norm, partials }: Record<'norm' | 'partials', Float64Array>,
  { count, max_norm }: { count: number; max_norm: number },
): void {
  norm[0] = Math.sqrt(partials.subarray(0, count).reduce((s, v) => s + v, 0));
  if (!Number.isFinite(norm[0])) norm[1] = 0;
  else norm[1] = max_norm > 0 ? Math.min(1, max_norm / (norm[0] + 1e-6)) : 1;
}

interface Step {
  n: number;
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weight_decay: number;
  bias_correction1: number;
  bias_correction2: number;
}

export function adamw(
  { param, m, v, grad, decay, norm }: Record<'param' | 'm' | 'v' | 'grad' | 'decay' | 'norm', Float64Array>,
  { n, lr, beta1, beta2, eps, weight_decay, bias_correction1, bias_correction2 }: Step,
): void {
  if (!Number.isFinite(norm[0])) return;
  for (let i = 0; i < n; i++) {
    const g = grad[i] * norm[1];
    param[i] -= lr * weight_decay * decay[Math.floor(i / 64)] * param[i];
    m[i] = beta1 * m[i] + (1 - beta1) * g;
    v[i] = beta2 * v[i] + (1 - beta2) * g * g;
    param[i] -= (lr * (m[i] / bias_correction1)) / (Math.sqrt(v[i] / bias_correction2) + eps);
  }
}
