// Gate; formulas in gate.wgsl. A work item is a block of BLOCK elements; the last 1..3 elements of n go through the same four-lane
// arithmetic, one at a time.
import { sigmoid4 } from '../common/simd.as';

/** The same number stands in gate.ts. */
const BLOCK: i32 = 1024;

export function gate_fwd(y: usize, g: usize, x: usize, z: usize, n: i32, lo: i32, hi: i32): void {
  const end = min(hi * BLOCK, n);
  const vec = end & ~3;
  for (let i = lo * BLOCK; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    const s = sigmoid4(v128.load(z + o));
    v128.store(g + o, s);
    v128.store(y + o, f32x4.mul(v128.load(x + o), s));
  }
  for (let i = max(vec, lo * BLOCK); i < end; i++) {
    const o = (<usize>i) << 2;
    const s = f32x4.extract_lane(sigmoid4(v128.load32_splat(z + o)), 0);
    store<f32>(g + o, s);
    store<f32>(y + o, load<f32>(x + o) * s);
  }
}

export function gate_bwd(dx: usize, dz: usize, dy: usize, x: usize, g: usize, n: i32, lo: i32, hi: i32): void {
  const one = f32x4.splat(1);
  const end = min(hi * BLOCK, n);
  const vec = end & ~3;
  for (let i = lo * BLOCK; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    const s = v128.load(g + o);
    const d = f32x4.mul(v128.load(dy + o), s);
    v128.store(dx + o, d);
    v128.store(dz + o, f32x4.mul(f32x4.mul(d, v128.load(x + o)), f32x4.sub(one, s)));
  }
  for (let i = max(vec, lo * BLOCK); i < end; i++) {
    const o = (<usize>i) << 2;
    const s = load<f32>(g + o);
    const d: f32 = load<f32>(dy + o) * s;
    store<f32>(dx + o, d);
    store<f32>(dz + o, d * load<f32>(x + o) * (1 - s));
  }
}
