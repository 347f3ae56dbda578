/** f64 oracle of dropout; the formula is in dropout.wgsl. */
import { threefry2x32, uniform01 } from '../common/threefry.ref.ts';

interface Shape {
  n: number;
  rate: number;
  seed: number;
  stream: number;
  accumulate: number;
}

export function dropout_fwd({ y, x }: { y: Float64Array; x: Float64Array }, { n, rate, seed, stream, accumulate }: Shape): void {
  // The kernels get the rate as f32: an element on the edge must fall the same way.
  const threshold = Math.fround(rate);
  for (let i = 0; i < n; i++) {
    const u = uniform01(threefry2x32(seed, stream, i, 0)[0]);
    const v = u >= threshold ? x[i] / (1 - threshold) : 0;
    y[i] = accumulate ? y[i] + v : v;
  }
}
