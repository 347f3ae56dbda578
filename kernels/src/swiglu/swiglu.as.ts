// SwiGLU; formulas in swiglu.wgsl. A work item is a block of BLOCK elements, or a row of the fused form; the last 1..3 elements go through the same
// four-lane arithmetic, one at a time.
import { sigmoid4, silu4 } from '../common/simd.as';

/** The same number stands in swiglu.ts. */
const BLOCK: i32 = 1024;

// Two vectors a turn: exp is one long chain, and a second one fills its gaps.

function forward(y: usize, gate: usize, up: usize, n: i32): void {
  const vec = n & ~3;
  const pairs = n & ~7;
  for (let i = 0; i < pairs; i += 8) {
    const o = (<usize>i) << 2;
    const a = f32x4.mul(silu4(v128.load(gate + o)), v128.load(up + o));
    const b = f32x4.mul(silu4(v128.load(gate + o, 16)), v128.load(up + o, 16));
    v128.store(y + o, a);
    v128.store(y + o, b, 16);
  }
  for (let i = pairs; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    v128.store(y + o, f32x4.mul(silu4(v128.load(gate + o)), v128.load(up + o)));
  }
  for (let i = vec; i < n; i++) {
    const o = (<usize>i) << 2;
    store<f32>(y + o, f32x4.extract_lane(silu4(v128.load32_splat(gate + o)), 0) * load<f32>(up + o));
  }
}

function backward(dgate: usize, dup: usize, dy: usize, gate: usize, up: usize, n: i32): void {
  const one = f32x4.splat(1);
  const vec = n & ~3;
  const pairs = n & ~7;
  for (let i = 0; i < pairs; i += 8) {
    const o = (<usize>i) << 2;
    const g0 = v128.load(gate + o);
    const g1 = v128.load(gate + o, 16);
    const s0 = sigmoid4(g0);
    const s1 = sigmoid4(g1);
    const d0 = f32x4.mul(v128.load(dy + o), s0);
    const d1 = f32x4.mul(v128.load(dy + o, 16), s1);
    const gate0 = f32x4.mul(f32x4.mul(d0, v128.load(up + o)), f32x4.add(one, f32x4.mul(g0, f32x4.sub(one, s0))));
    const gate1 = f32x4.mul(f32x4.mul(d1, v128.load(up + o, 16)), f32x4.add(one, f32x4.mul(g1, f32x4.sub(one, s1))));
    v128.store(dgate + o, gate0);
    v128.store(dgate + o, gate1, 16);
    v128.store(dup + o, f32x4.mul(d0, g0));
    v128.store(dup + o, f32x4.mul(d1, g1), 16);
  }
  for (let i = pairs; i < vec; i += 4) {
    const o = (<usize>i) << 2;
    const g = v128.load(gate + o);
    const s = sigmoid4(g);
    const ds = f32x4.mul(v128.load(dy + o), s);
    const slope = f32x4.add(one, f32x4.mul(g, f32x4.sub(one, s)));
    v128.store(dgate + o, f32x4.mul(f32x4.mul(ds, v128.load(up + o)), slope));
    v128.store(dup + o, f32x4.mul(ds, g));
  }
  for (let i = vec; i < n; i++) {
    const o = (<usize>i) << 2;
    const g = load<f32>(gate + o);
    const s = f32x4.extract_lane(sigmoid4(f32x4.splat(g)), 0);
    const ds: f32 = load<f32>(dy + o) * s;
    store<f32>(dgate + o, ds * load<f32>(up + o) * (1 + g * (1 - s)));
    store<f32>(dup + o, ds * g);
  }
}

export function swiglu_fwd(y: usize, gate: usize, up: usize, n: i32, lo: i32, hi: i32): void {
  const o = (<usize>(lo * BLOCK)) << 2;
  forward(y + o, gate + o, up + o, min(hi * BLOCK, n) - lo * BLOCK);
}

export function swiglu_bwd(dgate: usize, dup: usize, dy: usize, gate: usize, up: usize, n: i32, lo: i32, hi: i32): void {
  const o = (<usize>(lo * BLOCK)) << 2;
  backward(dgate + o, dup + o, dy + o, gate + o, up + o, min(hi * BLOCK, n) - lo * BLOCK);
}

export function swiglu_fused_fwd(y: usize, gate_up: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const half = (<usize>cols) << 2;
  for (let n = <usize>lo; n < <usize>hi; n++) {
    const gate = gate_up + 2 * n * half;
    forward(y + n * half, gate, gate + half, cols);
  }
}

export function swiglu_fused_bwd(dgate_up: usize, dy: usize, gate_up: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const half = (<usize>cols) << 2;
  for (let n = <usize>lo; n < <usize>hi; n++) {
    const o = 2 * n * half;
    backward(dgate_up + o, dgate_up + o + half, dy + n * half, gate_up + o, gate_up + o + half, cols);
  }
}
