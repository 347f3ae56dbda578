/** f64 oracle of cross_entropy; the formulas are in cross_entropy.wgsl. */
interface Shape {
  rows: number;
  vocab: number;
}

type Buffers = Record<'losses' | 'logits' | 'targets' | 'weights', Float64Array>;

function logSoftmax(row: Float64Array): Float64Array {
  let m = Number.NEGATIVE_INFINITY;
  for (const x of row) m = Math.max(m, x);
  let l = 0;
  for (const x of row) l += Math.exp(x - m);
  return row.map((x) => x - m - Math.log(l));
}

export function cross_entropy_fwd({ losses, logits, targets, weights }: Buffers, { rows, vocab }: Shape): void {
  for (let i = 0; i < rows; i++) {
    const logp = logSoftmax(logits.subarray(i * vocab, (i + 1) * vocab));
    losses[i] = weights[i] === 0 ? 0 : -weights[i] * logp[targets[i]];
  }
}

export function cross_entropy(b: Buffers, p: Shape): void {
  cross_entropy_fwd(b, p);
  for (let i = 0; i < p.rows; i++) {
    const row = b.logits.subarray(i * p.vocab, (i + 1) * p.vocab);
    const logp = logSoftmax(row);
    for (let c = 0; c < p.vocab; c++) {
      row[c] = b.weights[i] === 0 ? 0 : b.weights[i] * (Math.exp(logp[c]) - (c === b.targets[i] ? 1 : 0));
    }
  }
}
