// Log-probability, entropy and log-sum-exp per row of logits, and the gradient in place; formulas in lm_head.wgsl.
// Rows lo..hi belong to the calling thread. The row is read from memory once: the second pass finds it in cache.
import { TLS, exp1, exp4, log1 } from '../common/simd.as';
import { row_max, row_sums } from '../common/row_softmax.as';

export function lm_head_logprob(
  logprobs: usize, entropy: usize, lse: usize, logits: usize, targets: usize,
  rows: i32, vocab: i32, inv_temperature: f32, lo: i32, hi: i32,
): void {
  for (let r = lo; r < hi; r++) {
    const x = logits + ((<usize>r * vocab) << 2);
    const at = (<usize>r) << 2;
    const m = row_max(x, vocab);
    row_sums(TLS, 0, x, vocab, m, inv_temperature);
    const l = load<f32>(TLS);
    const s = load<f32>(TLS, 4);
    const log_l = log1(l);
    const chosen = load<f32>(x + ((<usize>load<u32>(targets + at)) << 2));
    store<f32>(logprobs + at, (chosen - m) * inv_temperature - log_l);
    store<f32>(entropy + at, log_l - s / l);
    store<f32>(lse + at, m * inv_temperature + log_l);
  }
}

export function lm_head_dlogits(
  logits: usize, targets: usize, lse: usize, dlogprobs: usize,
  rows: i32, vocab: i32, inv_temperature: f32, lo: i32, hi: i32,
): void {
  const vec = vocab & ~3;
  const pairs = vocab & ~7;
  const scale4 = f32x4.splat(inv_temperature);
  for (let r = lo; r < hi; r++) {
    const x = logits + ((<usize>r * vocab) << 2);
    const at = (<usize>r) << 2;
    const g = load<f32>(dlogprobs + at) * inv_temperature;
    if (g == 0) {
      memory.fill(x, 0, (<usize>vocab) << 2);
      continue;
    }
    const l = load<f32>(lse + at);
    const l4 = f32x4.splat(l);
    const g4 = f32x4.splat(-g);
    const target = x + ((<usize>load<u32>(targets + at)) << 2);
    const chosen = load<f32>(target);
    for (let c = 0; c < pairs; c += 8) {
      const o = x + ((<usize>c) << 2);
      const a = f32x4.mul(g4, exp4(f32x4.sub(f32x4.mul(v128.load(o), scale4), l4)));
      const b = f32x4.mul(g4, exp4(f32x4.sub(f32x4.mul(v128.load(o, 16), scale4), l4)));
      v128.store(o, a);
      v128.store(o, b, 16);
    }
    for (let c = pairs; c < vec; c += 4) {
      const o = x + ((<usize>c) << 2);
      v128.store(o, f32x4.mul(g4, exp4(f32x4.sub(f32x4.mul(v128.load(o), scale4), l4))));
    }
    for (let c = vec; c < vocab; c++) {
      const o = x + ((<usize>c) << 2);
      store<f32>(o, -g * exp1(load<f32>(o) * inv_temperature - l));
    }
    store<f32>(target, g * (<f32>1.0 - exp1(chosen * inv_temperature - l)));
  }
}
