// Dropout; formula in dropout.wgsl. Work items are groups of WIDTH elements, so that any split starts on a vector.
import { threefry1, threefry4, uniform01, uniform01x4 } from '../common/threefry.as';

const WIDTH: i32 = 64;

export function dropout_fwd(y: usize, x: usize, n: i32, rate: f32, seed: i32, stream: i32, accumulate: i32, lo: i32, hi: i32): void {
  const add = accumulate != 0;
  const scale: f32 = <f32>1.0 / (<f32>1.0 - rate);
  const scale4 = f32x4.splat(scale);
  const rate4 = f32x4.splat(rate);
  const zero = i32x4.splat(0);
  const end = min(n, hi * WIDTH);
  let i = lo * WIDTH;
  for (; i + 4 <= end; i += 4) {
    const at = (<usize>i) << 2;
    const u = uniform01x4(threefry4(seed, stream, i32x4.add(i32x4.splat(i), i32x4(0, 1, 2, 3)), zero));
    const v = v128.and(f32x4.mul(v128.load(x + at), scale4), f32x4.ge(u, rate4));
    v128.store(y + at, add ? f32x4.add(v128.load(y + at), v) : v);
  }
  for (; i < end; i++) {
    const at = (<usize>i) << 2;
    const keep = uniform01(threefry1(seed, stream, i, 0)) >= rate;
    const v: f32 = keep ? load<f32>(x + at) * scale : 0;
    store<f32>(y + at, add ? load<f32>(y + at) + v : v);
  }
}
