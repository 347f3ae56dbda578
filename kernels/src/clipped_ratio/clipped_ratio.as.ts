// Clipped-ratio policy loss, gradient and statistics; formulas in clipped_ratio.wgsl.
// Blocks of 256 tokens lo..hi belong to the calling thread; four tokens at a time.
import { exp4, hmax4, hsum4 } from '../common/simd.as';

const BLOCK: i32 = 256;
const BOUND: f32 = 20.0;

// Elements i .. i + 3 of x, those from n on replaced by 0.
// @ts-ignore: decorator
@inline
function load4(x: usize, i: i32, n: i32): v128 {
  const at = x + ((<usize>i) << 2);
  if (i + 4 <= n) return v128.load(at);
  let v = v128.load32_zero(at);
  if (i + 1 < n) v = v128.load_lane<f32>(at, v, 1, 4);
  if (i + 2 < n) v = v128.load_lane<f32>(at, v, 2, 8);
  return v;
}

// @ts-ignore: decorator
@inline
function store4(x: usize, i: i32, n: i32, v: v128): void {
  const at = x + ((<usize>i) << 2);
  if (i + 4 <= n) {
    v128.store(at, v);
    return;
  }
  v128.store_lane<f32>(at, v, 0);
  if (i + 1 < n) v128.store_lane<f32>(at, v, 1, 4);
  if (i + 2 < n) v128.store_lane<f32>(at, v, 2, 8);
}

// (advantage, eps_high) of token i's rollout in the low half; zeros for a token of weight 0, whose rollout may be anything.
// @ts-ignore: decorator
@inline
function pair(table: usize, rollout: usize, used: bool, i: i32): v128 {
  return used ? v128.load64_zero(table + ((<usize>load<u32>(rollout + ((<usize>i) << 2))) << 3)) : f32x4.splat(0);
}

// exp(q) - q - 1; by its series near 0, where the difference would cancel.
// @ts-ignore: decorator
@inline
function k3(q: v128): v128 {
  let p = f32x4.add(f32x4.mul(q, f32x4.splat(0.0013888889)), f32x4.splat(0.0083333338));
  p = f32x4.add(f32x4.mul(q, p), f32x4.splat(0.041666668));
  p = f32x4.add(f32x4.mul(q, p), f32x4.splat(0.16666667));
  p = f32x4.add(f32x4.mul(q, p), f32x4.splat(0.5));
  const series = f32x4.mul(f32x4.mul(q, q), p);
  const direct = f32x4.sub(f32x4.sub(exp4(q), q), f32x4.splat(1));
  return v128.bitselect(series, direct, f32x4.lt(f32x4.abs(q), f32x4.splat(0.25)));
}

export function clipped_ratio(
  dlogprobs: usize, partials: usize, logprobs: usize, old_logprobs: usize, ref_logprobs: usize, rollout: usize, table: usize,
  weights: usize, n: i32, num_rollouts: i32, clip_low: f32, kl_beta: f32, lo: i32, hi: i32,
): void {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  const bound = f32x4.splat(BOUND);
  const lower = f32x4.splat(<f32>1.0 - clip_low);
  const beta = f32x4.splat(kl_beta);
  for (let b = lo; b < hi; b++) {
    let loss_sum = zero, kl_sum = zero, low_sum = zero, high_sum = zero, ratio_sum = zero, diff_sum = zero, count = zero, diff_max = zero;
    const end = min(n, (b + 1) * BLOCK);
    for (let i = b * BLOCK; i < end; i += 4) {
      const w = load4(weights, i, end);
      const used = f32x4.ne(w, zero);
      const p0 = pair(table, rollout, i32x4.extract_lane(used, 0) != 0, i);
      const p1 = pair(table, rollout, i32x4.extract_lane(used, 1) != 0, i + 1);
      const p2 = pair(table, rollout, i32x4.extract_lane(used, 2) != 0, i + 2);
      const p3 = pair(table, rollout, i32x4.extract_lane(used, 3) != 0, i + 3);
      const p01 = v128.shuffle<f32>(p0, p1, 0, 4, 1, 5);
      const p23 = v128.shuffle<f32>(p2, p3, 0, 4, 1, 5);
      const advantage = v128.shuffle<f32>(p01, p23, 0, 1, 4, 5);
      const upper = f32x4.add(v128.shuffle<f32>(p01, p23, 2, 3, 6, 7), one);
      const logp = v128.and(load4(logprobs, i, end), used);
      const diff = f32x4.sub(logp, v128.and(load4(old_logprobs, i, end), used));
      const ratio = exp4(f32x4.max(f32x4.min(diff, bound), f32x4.neg(bound)));
      const low = v128.and(f32x4.lt(ratio, lower), f32x4.lt(advantage, zero));
      const high = v128.and(f32x4.gt(ratio, upper), f32x4.gt(advantage, zero));
      const ra = f32x4.mul(ratio, advantage);
      const surr = f32x4.min(ra, f32x4.mul(f32x4.min(f32x4.max(ratio, lower), upper), advantage));
      const q = f32x4.sub(v128.and(load4(ref_logprobs, i, end), used), logp);
      const kl = k3(f32x4.min(q, bound));
      const size = f32x4.abs(diff);
      const flat = v128.or(v128.or(low, high), f32x4.gt(size, bound));
      const kl_grad = v128.andnot(f32x4.mul(beta, f32x4.add(kl, q)), f32x4.gt(q, bound));
      // w is 0 for unused tokens and all their inputs were replaced by 0, so the product is exactly 0.
      store4(dlogprobs, i, end, f32x4.sub(zero, f32x4.mul(w, f32x4.add(v128.andnot(ra, flat), kl_grad))));
      loss_sum = f32x4.add(loss_sum, f32x4.mul(w, f32x4.sub(f32x4.mul(beta, kl), surr)));
      kl_sum = f32x4.add(kl_sum, kl);
      low_sum = f32x4.add(low_sum, v128.and(low, one));
      high_sum = f32x4.add(high_sum, v128.and(high, one));
      ratio_sum = f32x4.add(ratio_sum, v128.and(ratio, used));
      diff_sum = f32x4.add(diff_sum, size);
      count = f32x4.add(count, v128.and(used, one));
      diff_max = f32x4.max(diff_max, size);
    }
    const out = partials + ((<usize>b) << 5);
    store<f32>(out, hsum4(loss_sum));
    store<f32>(out, hsum4(kl_sum), 4);
    store<f32>(out, hsum4(low_sum), 8);
    store<f32>(out, hsum4(high_sum), 12);
    store<f32>(out, hsum4(ratio_sum), 16);
    store<f32>(out, hsum4(diff_sum), 20);
    store<f32>(out, hsum4(count), 24);
    store<f32>(out, hmax4(diff_max), 28);
  }
}

// One item: the whole reduction, columns 0-3 and 4-7 side by side.
export function clipped_ratio_reduce(stats: usize, partials: usize, blocks: i32, lo: i32, hi: i32): void {
  let first = f32x4.splat(0);
  let second = f32x4.splat(0);
  let top = f32x4.splat(0);
  for (let b = 0; b < blocks; b++) {
    const at = partials + ((<usize>b) << 5);
    const v = v128.load(at, 16);
    first = f32x4.add(first, v128.load(at));
    second = f32x4.add(second, v);
    top = f32x4.max(top, v);
  }
  v128.store(stats, first);
  v128.store(stats, v128.shuffle<f32>(second, top, 0, 1, 2, 7), 16);
}
