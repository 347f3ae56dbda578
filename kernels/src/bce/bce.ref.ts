/** f64 oracle of binary cross-entropy from logits; formula in bce.wgsl. */
type Buffers = Record<string, Float64Array>;

export function bce_logits({ losses, dlogits, probabilities, logits, labels, weights }: Buffers, { n }: { n: number }): void {
  for (let i = 0; i < n; i++) {
    const z = logits[i];
    const s = 1 / (1 + Math.exp(-z));
    losses[i] = weights[i] * (Math.max(z, 0) - z * labels[i] + Math.log1p(Math.exp(-Math.abs(z))));
    dlogits[i] = weights[i] * (s - labels[i]);
    probabilities[i] = s;
  }
}
