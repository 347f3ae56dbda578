// RMSNorm over the last dim; formulas in rmsnorm.wgsl. Forward and dx: a work item is a row. dweight: a work item is 16 columns,
// one cache line of every row, in 4 registers.
import { fma4, hsum4, TLS, TLS_BYTES } from '../common/simd.as';

const COLS: i32 = 16;

/** 1 / sqrt(sum / cols + eps) of one row, stored at `rstd`, and its outputs. */
function norm_row(y: usize, rstd: usize, x: usize, weight: usize, cols: i32, eps: f32, sum: f32): void {
  const r: f32 = 1.0 / sqrt<f32>(sum / <f32>cols + eps);
  store<f32>(rstd, r);
  const r4 = f32x4.splat(r);
  const vec = cols & ~15;
  for (let c = 0; c < vec; c += 16) {
    const o = (<usize>c) << 2;
    v128.store(y + o, f32x4.mul(f32x4.mul(v128.load(x + o), r4), v128.load(weight + o)));
    v128.store(y + o, f32x4.mul(f32x4.mul(v128.load(x + o, 16), r4), v128.load(weight + o, 16)), 16);
    v128.store(y + o, f32x4.mul(f32x4.mul(v128.load(x + o, 32), r4), v128.load(weight + o, 32)), 32);
    v128.store(y + o, f32x4.mul(f32x4.mul(v128.load(x + o, 48), r4), v128.load(weight + o, 48)), 48);
  }
  for (let c = vec; c < cols; c++) {
    const o = (<usize>c) << 2;
    store<f32>(y + o, load<f32>(x + o) * r * load<f32>(weight + o));
  }
}

/** s + the squares of the columns that no vector holds. */
// @ts-ignore: decorator
@inline
function add_tail(v: v128, x: usize, cols: i32): f32 {
  let s = hsum4(v);
  for (let c = cols & ~3; c < cols; c++) {
    const a = load<f32>(x + ((<usize>c) << 2));
    s += a * a;
  }
  return s;
}

/** Bytes of x beyond which it comes from memory, where one row at a time is faster than several. */
const STREAM: usize = 4 << 20;

function squares(x: usize, cols: i32): f32 {
  let s = f32x4.splat(0);
  for (let c = 0; c < (cols & ~3); c += 4) {
    const a = v128.load(x + ((<usize>c) << 2));
    s = fma4(a, a, s);
  }
  return add_tail(s, x, cols);
}

/**
 * The outputs of a row beside the squares of the next: each row is read once from memory, as far ahead as a row is long, and waits for its outputs in
 * scratch: reading the row itself again, behind the streams of the next row and of the outputs, took longer than all else (LOG.md). The same bits.
 */
function stream(y: usize, rstd: usize, x: usize, weight: usize, cols: i32, eps: f32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  const vec = (<usize>(cols & ~15)) << 2;
  const kept = TLS;
  const last = hi - 1;
  memory.copy(kept, x + <usize>lo * row, row);
  let sum = squares(kept, cols);
  for (let n = lo; n < last; n++) {
    const x1 = x + <usize>(n + 1) * row;
    const y0 = y + <usize>n * row;
    const r: f32 = 1.0 / sqrt<f32>(sum / <f32>cols + eps);
    store<f32>(rstd + ((<usize>n) << 2), r);
    const r4 = f32x4.splat(r);
    let s = f32x4.splat(0);
    let o: usize = 0;
    for (; o < vec; o += 64) {
      const a0 = v128.load(x1 + o);
      const a1 = v128.load(x1 + o, 16);
      const a2 = v128.load(x1 + o, 32);
      const a3 = v128.load(x1 + o, 48);
      const b0 = v128.load(kept + o);
      const b1 = v128.load(kept + o, 16);
      const b2 = v128.load(kept + o, 32);
      const b3 = v128.load(kept + o, 48);
      s = fma4(a0, a0, s);
      s = fma4(a1, a1, s);
      s = fma4(a2, a2, s);
      s = fma4(a3, a3, s);
      v128.store(kept + o, a0);
      v128.store(kept + o, a1, 16);
      v128.store(kept + o, a2, 32);
      v128.store(kept + o, a3, 48);
      v128.store(y0 + o, f32x4.mul(f32x4.mul(b0, r4), v128.load(weight + o)));
      v128.store(y0 + o, f32x4.mul(f32x4.mul(b1, r4), v128.load(weight + o, 16)), 16);
      v128.store(y0 + o, f32x4.mul(f32x4.mul(b2, r4), v128.load(weight + o, 32)), 32);
      v128.store(y0 + o, f32x4.mul(f32x4.mul(b3, r4), v128.load(weight + o, 48)), 48);
    }
    for (; o < (row & ~15); o += 16) {
      const a = v128.load(x1 + o);
      s = fma4(a, a, s);
      v128.store(y0 + o, f32x4.mul(f32x4.mul(v128.load(kept + o), r4), v128.load(weight + o)));
      v128.store(kept + o, a);
    }
    for (; o < row; o += 4) {
      store<f32>(y0 + o, load<f32>(kept + o) * r * load<f32>(weight + o));
      store<f32>(kept + o, load<f32>(x1 + o));
    }
    sum = add_tail(s, x1, cols);
  }
  norm_row(y + <usize>last * row, rstd + ((<usize>last) << 2), kept, weight, cols, eps, sum);
}

/** Four rows at a time: one row's sum is one chain of additions, which leaves the core waiting. A row's bits do not depend on its company. */
export function rmsnorm_fwd(y: usize, rstd: usize, x: usize, weight: usize, rows: i32, cols: i32, eps: f32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  if (<usize>rows * row > STREAM && row <= <usize>TLS_BYTES && lo < hi) {
    stream(y, rstd, x, weight, cols, eps, lo, hi);
    return;
  }
  const vec = cols & ~3;
  let n = lo;
  for (; n + 4 <= hi; n += 4) {
    const x0 = x + <usize>n * row, x1 = x0 + row, x2 = x1 + row, x3 = x2 + row;
    const y0 = y + <usize>n * row;
    const r = rstd + ((<usize>n) << 2);
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
    for (let c = 0; c < vec; c += 4) {
      const o = (<usize>c) << 2;
      const a = v128.load(x0 + o);
      s0 = fma4(a, a, s0);
      const b = v128.load(x1 + o);
      s1 = fma4(b, b, s1);
      const d = v128.load(x2 + o);
      s2 = fma4(d, d, s2);
      const e = v128.load(x3 + o);
      s3 = fma4(e, e, s3);
    }
    norm_row(y0, r, x0, weight, cols, eps, add_tail(s0, x0, cols));
    norm_row(y0 + row, r + 4, x1, weight, cols, eps, add_tail(s1, x1, cols));
    norm_row(y0 + 2 * row, r + 8, x2, weight, cols, eps, add_tail(s2, x2, cols));
    norm_row(y0 + 3 * row, r + 12, x3, weight, cols, eps, add_tail(s3, x3, cols));
  }
  for (; n < hi; n++) {
    const x0 = x + <usize>n * row;
    norm_row(y + <usize>n * row, rstd + ((<usize>n) << 2), x0, weight, cols, eps, squares(x0, cols));
  }
}

/** r (dy weight - x k) of four columns. */
// @ts-ignore: decorator
@inline
function dx4(dy: v128, weight: v128, x: v128, r: v128, k: v128): v128 {
  return f32x4.mul(r, f32x4.sub(f32x4.mul(dy, weight), f32x4.mul(x, k)));
}

/** dx of one row, assigned or added; `v`: its sums of dy weight x, four columns apart. */
function dx_row(dx: usize, dy: usize, x: usize, weight: usize, rstd: usize, cols: i32, add: bool, v: v128): void {
  const vec = (<usize>(cols & ~3)) << 2;
  const wide = (<usize>(cols & ~15)) << 2;
  const row = (<usize>cols) << 2;
  let d = hsum4(v);
  for (let o = vec; o < row; o += 4) d += load<f32>(dy + o) * load<f32>(weight + o) * load<f32>(x + o);
  const r = load<f32>(rstd);
  const k: f32 = d / <f32>cols * r * r;
  const r4 = f32x4.splat(r);
  const k4 = f32x4.splat(k);
  let o: usize = 0;
  for (; o < wide; o += 64) {
    const g = dy + o, w = weight + o, u = x + o, to = dx + o;
    let a = dx4(v128.load(g), v128.load(w), v128.load(u), r4, k4);
    let b = dx4(v128.load(g, 16), v128.load(w, 16), v128.load(u, 16), r4, k4);
    let e = dx4(v128.load(g, 32), v128.load(w, 32), v128.load(u, 32), r4, k4);
    let f = dx4(v128.load(g, 48), v128.load(w, 48), v128.load(u, 48), r4, k4);
    if (add) {
      a = f32x4.add(v128.load(to), a);
      b = f32x4.add(v128.load(to, 16), b);
      e = f32x4.add(v128.load(to, 32), e);
      f = f32x4.add(v128.load(to, 48), f);
    }
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, e, 32);
    v128.store(to, f, 48);
  }
  for (; o < vec; o += 16) {
    const a = dx4(v128.load(dy + o), v128.load(weight + o), v128.load(x + o), r4, k4);
    v128.store(dx + o, add ? f32x4.add(v128.load(dx + o), a) : a);
  }
  for (; o < row; o += 4) {
    const a: f32 = r * (load<f32>(dy + o) * load<f32>(weight + o) - load<f32>(x + o) * k);
    store<f32>(dx + o, add ? load<f32>(dx + o) + a : a);
  }
}

/** Two rows at a time, for the reason that forward has four; one where they come from memory, as three tensors do sooner than forward's two. */
export function rmsnorm_bwd_dx(dx: usize, dy: usize, x: usize, weight: usize, rstd: usize, rows: i32, cols: i32, accumulate: i32, lo: i32,
  hi: i32): void {
  const add = accumulate != 0;
  const row = (<usize>cols) << 2;
  const vec = (<usize>(cols & ~3)) << 2;
  const pairs = 3 * <usize>rows * row > 2 * STREAM ? lo : lo + ((hi - lo) & ~1);
  let n = lo;
  for (; n < pairs; n += 2) {
    const at = <usize>n * row;
    const g0 = dy + at, g1 = g0 + row;
    const x0 = x + at, x1 = x0 + row;
    const r = rstd + ((<usize>n) << 2);
    let s0 = f32x4.splat(0), s1 = f32x4.splat(0);
    for (let o: usize = 0; o < vec; o += 16) {
      const w = v128.load(weight + o);
      s0 = fma4(f32x4.mul(v128.load(g0 + o), w), v128.load(x0 + o), s0);
      s1 = fma4(f32x4.mul(v128.load(g1 + o), w), v128.load(x1 + o), s1);
    }
    dx_row(dx + at, g0, x0, weight, r, cols, add, s0);
    dx_row(dx + at + row, g1, x1, weight, r + 4, cols, add, s1);
  }
  for (; n < hi; n++) {
    const at = <usize>n * row;
    let s = f32x4.splat(0);
    for (let o: usize = 0; o < vec; o += 16) {
      s = fma4(f32x4.mul(v128.load(dy + at + o), v128.load(weight + o)), v128.load(x + at + o), s);
    }
    dx_row(dx + at, dy + at, x + at, weight, rstd + ((<usize>n) << 2), cols, add, s);
  }
}

export function rmsnorm_bwd_dweight(dweight: usize, dy: usize, x: usize, rstd: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  for (let item = lo; item < hi; item++) {
    const c0 = item * COLS;
    const at = (<usize>c0) << 2;
    if (c0 + COLS <= cols) {
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
      let g = dy + at;
      let v = x + at;
      for (let n = 0; n < rows; n++) {
        const r = v128.load32_splat(rstd + ((<usize>n) << 2));
        s0 = fma4(f32x4.mul(v128.load(g), v128.load(v)), r, s0);
        s1 = fma4(f32x4.mul(v128.load(g, 16), v128.load(v, 16)), r, s1);
        s2 = fma4(f32x4.mul(v128.load(g, 32), v128.load(v, 32)), r, s2);
        s3 = fma4(f32x4.mul(v128.load(g, 48), v128.load(v, 48)), r, s3);
        g += row;
        v += row;
      }
      const to = dweight + at;
      v128.store(to, f32x4.add(v128.load(to), s0));
      v128.store(to, f32x4.add(v128.load(to, 16), s1), 16);
      v128.store(to, f32x4.add(v128.load(to, 32), s2), 32);
      v128.store(to, f32x4.add(v128.load(to, 48), s3), 48);
      continue;
    }
    for (let c = c0; c < cols; c++) {
      const o = (<usize>c) << 2;
      let s: f32 = 0;
      for (let n = 0; n < rows; n++) {
        s += load<f32>(dy + <usize>n * row + o) * load<f32>(x + <usize>n * row + o) * load<f32>(rstd + ((<usize>n) << 2));
      }
      store<f32>(dweight + o, load<f32>(dweight + o) + s);
    }
  }
}
