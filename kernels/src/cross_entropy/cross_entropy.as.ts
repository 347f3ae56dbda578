// Weighted cross-entropy with its gradient in place of the logits, and the loss alone; formulas in cross_entropy.wgsl.
// Rows lo..hi belong to the calling thread. exp is taken once per element: the second pass only scales what the first stored.
import { TLS, log1 } from '../common/simd.as';
import { row_max, row_sums } from '../common/row_softmax.as';

export function cross_entropy(
  losses: usize, logits: usize, targets: usize, weights: usize, rows: i32, vocab: i32, lo: i32, hi: i32,
): void {
  const vec = vocab & ~3;
  for (let r = lo; r < hi; r++) {
    const x = logits + ((<usize>r * vocab) << 2);
    const at = (<usize>r) << 2;
    const w = load<f32>(weights + at);
    if (w == 0) {
      store<f32>(losses + at, 0);
      memory.fill(x, 0, (<usize>vocab) << 2);
      continue;
    }
    const target = x + ((<usize>load<u32>(targets + at)) << 2);
    const m = row_max(x, vocab);
    const d = load<f32>(target) - m;
    row_sums(TLS, x, x, vocab, m, 1.0);
    const l = load<f32>(TLS);
    store<f32>(losses + at, -w * (d - log1(l)));
    const scale = w / l;
    const scale4 = f32x4.splat(scale);
    for (let c = 0; c < vec; c += 4) {
      const o = x + ((<usize>c) << 2);
      v128.store(o, f32x4.mul(v128.load(o), scale4));
    }
    for (let c = vec; c < vocab; c++) {
      const o = x + ((<usize>c) << 2);
      store<f32>(o, load<f32>(o) * scale);
    }
    store<f32>(target, load<f32>(target) - w);
  }
}

export function cross_entropy_fwd(
  losses: usize, logits: usize, targets: usize, weights: usize, rows: i32, vocab: i32, lo: i32, hi: i32,
): void {
  for (let r = lo; r < hi; r++) {
    const x = logits + ((<usize>r * vocab) << 2);
    const at = (<usize>r) << 2;
    const w = load<f32>(weights + at);
    if (w == 0) {
      store<f32>(losses + at, 0);
      continue;
    }
    const m = row_max(x, vocab);
    row_sums(TLS, 0, x, vocab, m, 1.0);
    const d = load<f32>(x + ((<usize>load<u32>(targets + at)) << 2)) - m;
    store<f32>(losses + at, -w * (d - log1(load<f32>(TLS))));
  }
}
