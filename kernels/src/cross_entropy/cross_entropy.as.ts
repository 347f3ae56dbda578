// Weighted cross-entropy with its gradient in place of the logits, and the loss alone; formulas in cross_entropy.wgsl.
// Rows lo..hi belong to the calling thread. exp is taken once per element: the second pass only scales what the first stored.
import { log1 } from '../common/simd.as';
import { row_exp, row_exp_sum, row_max, row_scale } from '../common/row_softmax.as';

export function cross_entropy(
  losses: usize, logits: usize, targets: usize, weights: usize, rows: i32, vocab: i32, lo: i32, hi: i32,
): void {
  const row = (<usize>vocab) << 2;
  for (let r = lo; r < hi; r++) {
    const x = logits + <usize>r * row;
    const at = (<usize>r) << 2;
    const w = load<f32>(weights + at);
    if (w == 0) {
      store<f32>(losses + at, 0);
      memory.fill(x, 0, row);
      continue;
    }
    const target = x + ((<usize>load<u32>(targets + at)) << 2);
    const m = row_max(x, vocab);
    const d = load<f32>(target) - m;
    const l = row_exp(x, x, vocab, m, r + 1 < hi ? x + row : x);
    store<f32>(losses + at, -w * (d - log1(l)));
    row_scale(x, vocab, w / l);
    store<f32>(target, load<f32>(target) - w);
  }
}

export function cross_entropy_fwd(
  losses: usize, logits: usize, targets: usize, weights: usize, rows: i32, vocab: i32, lo: i32, hi: i32,
): void {
  const row = (<usize>vocab) << 2;
  for (let r = lo; r < hi; r++) {
    const x = logits + <usize>r * row;
    const at = (<usize>r) << 2;
    const w = load<f32>(weights + at);
    if (w == 0) {
      store<f32>(losses + at, 0);
      continue;
    }
    const m = row_max(x, vocab);
    const l = row_exp_sum(x, vocab, m, r + 1 < hi ? x + row : x);
    const d = load<f32>(x + ((<usize>load<u32>(targets + at)) << 2)) - m;
    store<f32>(losses + at, -w * (d - log1(l)));
  }
}
