// Entropy-aware upper clip; formulas in clip_range.wgsl. First phase: rollouts lo..hi belong to the calling thread. Second: one item.
import { hmax4, hsum4 } from '../common/simd.as';

const NARROWEST: f32 = 1e-6;

export function clip_range_entropy(
  clip_high: usize, feature_entropy: usize, range: usize, entropy: usize, feature_mask: usize, row_start: usize,
  num_rollouts: i32, n: i32, epsilon_high_min: f32, epsilon_high_max: f32, lo: i32, hi: i32,
): void {
  for (let r = lo; r < hi; r++) {
    const start = load<u32>(row_start + ((<usize>r) << 2));
    const end = load<u32>(row_start + ((<usize>r) << 2), 4);
    const vec = start + ((end - start) & ~3);
    let all4 = f32x4.splat(0);
    let features4 = f32x4.splat(0);
    let count4 = i32x4.splat(0);
    for (let i = start; i < vec; i += 4) {
      const o = (<usize>i) << 2;
      const h = v128.load(entropy + o);
      const masked = i32x4.ne(v128.load(feature_mask + o), i32x4.splat(0));
      all4 = f32x4.add(all4, h);
      features4 = f32x4.add(features4, v128.and(h, masked));
      count4 = i32x4.sub(count4, masked);
    }
    let all = hsum4(all4);
    let features = hsum4(features4);
    let count = i32x4.extract_lane(count4, 0) + i32x4.extract_lane(count4, 1) + i32x4.extract_lane(count4, 2) + i32x4.extract_lane(count4, 3);
    for (let i = vec; i < end; i++) {
      const o = (<usize>i) << 2;
      const h = load<f32>(entropy + o);
      all += h;
      if (load<u32>(feature_mask + o)) {
        features += h;
        count++;
      }
    }
    const mean: f32 = count > 0 ? features / <f32>count : all / <f32>max<u32>(end - start, 1);
    store<f32>(feature_entropy + ((<usize>r) << 2), mean);
  }
}

export function clip_range_finish(
  clip_high: usize, feature_entropy: usize, range: usize, entropy: usize, feature_mask: usize, row_start: usize,
  num_rollouts: i32, n: i32, epsilon_high_min: f32, epsilon_high_max: f32, lo: i32, hi: i32,
): void {
  const vec = num_rollouts & ~3;
  let lowest4 = f32x4.splat(f32.MAX_VALUE);
  let highest4 = f32x4.splat(-f32.MAX_VALUE);
  for (let r = 0; r < vec; r += 4) {
    const h = v128.load(feature_entropy + ((<usize>r) << 2));
    lowest4 = f32x4.min(lowest4, h);
    highest4 = f32x4.max(highest4, h);
  }
  let lowest = -hmax4(f32x4.neg(lowest4));
  let highest = hmax4(highest4);
  for (let r = vec; r < num_rollouts; r++) {
    const h = load<f32>(feature_entropy + ((<usize>r) << 2));
    lowest = min(lowest, h);
    highest = max(highest, h);
  }
  const width = highest - lowest;
  const slope: f32 = width < NARROWEST ? 0 : (epsilon_high_max - epsilon_high_min) / width;
  for (let r = 0; r < num_rollouts; r++) {
    const o = (<usize>r) << 2;
    store<f32>(clip_high + o, epsilon_high_min + slope * (load<f32>(feature_entropy + o) - lowest));
  }
  store<f32>(range, lowest);
  store<f32>(range, highest, 4);
}
