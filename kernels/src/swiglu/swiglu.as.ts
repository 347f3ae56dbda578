// SwiGLU; formulas in swiglu.wgsl. A work item is a block of BLOCK elements; the last 1..3 elements of n go through the same four-lane
// arithmetic, one at a time.
import { sigmoid4, silu4 } from '../common/simd.as';

/** The same number stands in swiglu.ts. */
const BLOCK: i32 = 1024;

export function swiglu_fwd(y: usize, gate: usize, up: usize, n: i32, lo: i32, hi: i32): void {
  const end = min(hi * BLOCK, n);
  const vec = end & ~3;
  for (let i = lo * BLOCK; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    v128.store(y + o, f32x4.mul(silu4(v128.load(gate + o)), v128.load(up + o)));
  }
  for (let i = max(vec, lo * BLOCK); i < end; i++) {
    const o = (<usize>i) << 2;
    store<f32>(y + o, f32x4.extract_lane(silu4(v128.load32_splat(gate + o)), 0) * load<f32>(up + o));
  }
}

export function swiglu_bwd(dgate: usize, dup: usize, dy: usize, gate: usize, up: usize, n: i32, lo: i32, hi: i32): void {
  const one = f32x4.splat(1);
  const end = min(hi * BLOCK, n);
  const vec = end & ~3;
  for (let i = lo * BLOCK; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    const g = v128.load(gate + o);
    const s = sigmoid4(g);
    const ds = f32x4.mul(v128.load(dy + o), s);
    const slope = f32x4.add(one, f32x4.mul(g, f32x4.sub(one, s)));
    v128.store(dgate + o, f32x4.mul(f32x4.mul(ds, v128.load(up + o)), slope));
    v128.store(dup + o, f32x4.mul(ds, g));
  }
  for (let i = max(vec, lo * BLOCK); i < end; i++) {
    const o = (<usize>i) << 2;
    const g = load<f32>(gate + o);
    const s = f32x4.extract_lane(sigmoid4(f32x4.splat(g)), 0);
    const ds: f32 = load<f32>(dy + o) * s;
    store<f32>(dgate + o, ds * load<f32>(up + o) * (1 + g * (1 - s)));
    store<f32>(dup + o, ds * g);
  }
}
