/** f64 oracle of clip_range; the formulas are in clip_range.wgsl. */
interface Shape {
  num_rollouts: number;
  epsilon_high_min: number;
  epsilon_high_max: number;
}

type Buffers = Record<'clip_high' | 'feature_entropy' | 'range' | 'entropy' | 'feature_mask' | 'row_start', Float64Array>;

export function clip_range(b: Buffers, { num_rollouts, epsilon_high_min, epsilon_high_max }: Shape): void {
  const mean = (values: number[]) => values.reduce((s, v) => s + v, 0) / Math.max(values.length, 1);
  for (let r = 0; r < num_rollouts; r++) {
    const all: number[] = [];
    const features: number[] = [];
    for (let i = b.row_start[r]; i < b.row_start[r + 1]; i++) {
      all.push(b.entropy[i]);
      if (b.feature_mask[i] !== 0) features.push(b.entropy[i]);
    }
    b.feature_entropy[r] = mean(features.length > 0 ? features : all);
  }
  const h = b.feature_entropy.subarray(0, num_rollouts);
  b.range[0] = Math.min(...h);
  b.range[1] = Math.max(...h);
  const width = b.range[1] - b.range[0];
  for (let r = 0; r < num_rollouts; r++) {
    const share = width < 1e-6 ? 0 : (h[r] - b.range[0]) / width;
    b.clip_high[r] = epsilon_high_min + (epsilon_high_max - epsilon_high_min) * share;
  }
}
