// One row of a softmax: its maximum and the sums under it, in f32. Twin of row_softmax.wgsl.
import { TLS, exp1, exp1_le0, exp4, exp4_le0, hmax4, hsum4 } from './simd.as';

/** Columns summed by themselves before they join the row's sum, so that a 152k-wide row is summed as exactly as a 2k-wide one. */
const BLOCK: i32 = 2048;
/** exp(-200) is 0 in f32: the floor keeps exp(d) d at 0 where d would be minus infinity. */
const FLOOR: f32 = -200.0;

// pmax is one instruction where max, which must order NaN and -0, is eight: a NaN is passed over here and found by row_sums.
export function row_max(x: usize, cols: i32): f32 {
  const vec = cols & ~15;
  let m0 = f32x4.splat(-f32.MAX_VALUE);
  let m1 = m0;
  let m2 = m0;
  let m3 = m0;
  for (let c = 0; c < vec; c += 16) {
    const o = x + ((<usize>c) << 2);
    m0 = f32x4.pmax(m0, v128.load(o));
    m1 = f32x4.pmax(m1, v128.load(o, 16));
    m2 = f32x4.pmax(m2, v128.load(o, 32));
    m3 = f32x4.pmax(m3, v128.load(o, 48));
  }
  let m = hmax4(f32x4.pmax(f32x4.pmax(m0, m1), f32x4.pmax(m2, m3)));
  for (let c = vec; c < cols; c++) {
    const v = load<f32>(x + ((<usize>c) << 2));
    if (v > m) m = v;
  }
  return m;
}

/**
 * Returns l = sum exp(x - m), m the row's maximum, and stores exp(x - m) at `e` if `keep`; e may be x itself. Two chains per turn hide
 * each other's latency. `next`: a row of as many columns that is wanted soon; one load per turn brings it into cache while the
 * processor is busy with exp. What was loaded ends in scratch, or the compiler would leave the loads out.
 */
// @ts-ignore: decorator
@inline
function exp_sum(e: usize, x: usize, cols: i32, m: f32, keep: bool, next: usize): f32 {
  const m4 = f32x4.splat(m);
  let touched: u32 = 0;
  let l: f32 = 0;
  for (let from = 0; from < cols; from += BLOCK) {
    const to = min(from + BLOCK, cols);
    const vec = from + ((to - from) & ~7);
    let l0 = f32x4.splat(0);
    let l1 = f32x4.splat(0);
    for (let c = from; c < vec; c += 8) {
      const o = (<usize>c) << 2;
      touched |= load<u32>(next + o);
      const e0 = exp4_le0(f32x4.sub(v128.load(x + o), m4));
      const e1 = exp4_le0(f32x4.sub(v128.load(x + o, 16), m4));
      if (keep) {
        v128.store(e + o, e0);
        v128.store(e + o, e1, 16);
      }
      l0 = f32x4.add(l0, e0);
      l1 = f32x4.add(l1, e1);
    }
    let lb = hsum4(f32x4.add(l0, l1));
    for (let c = vec; c < to; c++) {
      const o = (<usize>c) << 2;
      const ed = exp1_le0(load<f32>(x + o) - m);
      if (keep) store<f32>(e + o, ed);
      lb += ed;
    }
    l += lb;
  }
  store<u32>(TLS, touched);
  return l;
}

export function row_exp(e: usize, x: usize, cols: i32, m: f32, next: usize): f32 {
  return exp_sum(e, x, cols, m, true, next);
}

export function row_exp_sum(x: usize, cols: i32, m: f32, next: usize): f32 {
  return exp_sum(0, x, cols, m, false, next);
}

/** x *= s */
export function row_scale(x: usize, cols: i32, s: f32): void {
  const vec = cols & ~15;
  const s4 = f32x4.splat(s);
  for (let c = 0; c < vec; c += 16) {
    const o = x + ((<usize>c) << 2);
    v128.store(o, f32x4.mul(v128.load(o), s4));
    v128.store(o, f32x4.mul(v128.load(o, 16), s4), 16);
    v128.store(o, f32x4.mul(v128.load(o, 32), s4), 32);
    v128.store(o, f32x4.mul(v128.load(o, 48), s4), 48);
  }
  for (let c = vec; c < cols; c++) {
    const o = x + ((<usize>c) << 2);
    store<f32>(o, load<f32>(o) * s);
  }
}

/**
 * d = (x - m) scale, m the row's maximum. Stores l = sum exp(d) and s = sum exp(d) d as two f32 at `out`, and exp(d) at `e`
 * unless e is 0; e may be x itself. Then log-sum-exp = m scale + ln l, and the entropy in nats = ln l - s / l.
 */
export function row_sums(out: usize, e: usize, x: usize, cols: i32, m: f32, scale: f32): void {
  const m4 = f32x4.splat(m);
  const scale4 = f32x4.splat(scale);
  const floor4 = f32x4.splat(FLOOR);
  let l: f32 = 0;
  let s: f32 = 0;
  for (let from = 0; from < cols; from += BLOCK) {
    const to = min(from + BLOCK, cols);
    const vec = from + ((to - from) & ~3);
    const pairs = from + ((to - from) & ~7);
    let lv = f32x4.splat(0);
    let sv = f32x4.splat(0);
    for (let c = from; c < pairs; c += 8) {
      const o = (<usize>c) << 2;
      const d0 = f32x4.pmax(f32x4.mul(f32x4.sub(v128.load(x + o), m4), scale4), floor4);
      const d1 = f32x4.pmax(f32x4.mul(f32x4.sub(v128.load(x + o, 16), m4), scale4), floor4);
      const e0 = exp4(d0);
      const e1 = exp4(d1);
      if (e) {
        v128.store(e + o, e0);
        v128.store(e + o, e1, 16);
      }
      lv = f32x4.add(f32x4.add(lv, e0), e1);
      sv = f32x4.add(f32x4.add(sv, f32x4.mul(e0, d0)), f32x4.mul(e1, d1));
    }
    for (let c = pairs; c < vec; c += 4) {
      const o = (<usize>c) << 2;
      const d = f32x4.pmax(f32x4.mul(f32x4.sub(v128.load(x + o), m4), scale4), floor4);
      const ed = exp4(d);
      if (e) v128.store(e + o, ed);
      lv = f32x4.add(lv, ed);
      sv = f32x4.add(sv, f32x4.mul(ed, d));
    }
    let lb = hsum4(lv);
    let sb = hsum4(sv);
    for (let c = vec; c < to; c++) {
      const o = (<usize>c) << 2;
      const d = max((load<f32>(x + o) - m) * scale, FLOOR);
      const ed = exp1(d);
      if (e) store<f32>(e + o, ed);
      lb += ed;
      sb += ed * d;
    }
    l += lb;
    s += sb;
  }
  store<f32>(out, l);
  store<f32>(out, s, 4);
}
