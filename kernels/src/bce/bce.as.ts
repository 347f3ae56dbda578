// Binary cross-entropy from logits; formula in bce.wgsl. One work item per element: n is a batch of patients.
import { exp1, log1 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

export function bce_logits(
  losses: usize, dlogits: usize, probabilities: usize, logits: usize, labels: usize, weights: usize,
  n: i32, lo: i32, hi: i32,
): void {
  for (let i = lo; i < hi; i++) {
    const z = load<f32>(at(logits, i)), y = load<f32>(at(labels, i)), w = load<f32>(at(weights, i));
    const e = exp1(-abs(z));
    const s: f32 = (z >= 0 ? <f32>1 : e) / (1 + e);
    store<f32>(at(losses, i), w * (max(z, <f32>0) - z * y + log1(1 + e)));
    store<f32>(at(dlogits, i), w * (s - y));
    store<f32>(at(probabilities, i), s);
  }
}
