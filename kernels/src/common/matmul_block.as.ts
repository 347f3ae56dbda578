// Inner block of the products: 6 rows of A x 8 columns of B in 12 registers, A by load32_splat. 8 accumulators would be as many as the
// latency of two multiply-adds a cycle needs, and leave none over; more than 12 spill (matmul/README.md). A panel of 12 rows of A lies in
// the thread's own scratch, B in panels of 8 columns, both KC deep: that of A (12 KiB) stays in the first cache with the one of B (8 KiB)
// at which two blocks are, while panels of B come by from the second.
import { fma4, TLS } from './simd.as';

/** Depth of a panel. */
export const KC: i32 = 256;

/** Rows of a panel of A, and of an inner block. */
export const WA: i32 = 12;
export const MR: i32 = 6;
/** Columns of a panel of B, and of an inner block. */
export const WB: i32 = 8;

/** A ragged 6 x 8 block goes here in TLS before its valid part is copied: behind the panel of A at TLS. */
const EDGE: usize = <usize>(WA * KC * 4);
/** Bytes of TLS that the panel of A and that block take. */
export const BLOCK_SCRATCH: usize = EDGE + <usize>(MR * WB * 4);

/** One panel of `width` (a multiple of 4) columns: dst[k - k0][0..width) = src[k][x0..) for src (k, ld); columns from `limit` on are zero. */
// @ts-ignore: decorator
@inline
export function pack_cols(dst: usize, src: usize, ld: i32, x0: i32, limit: i32, k0: i32, k1: i32, width: i32): void {
  let s = src + ((<usize>k0 * ld + x0) << 2);
  const step = (<usize>ld) << 2;
  if (x0 + width <= limit) {
    for (let k = k0; k < k1; k++) {
      for (let x = 0; x < width; x += 4) v128.store(dst + ((<usize>x) << 2), v128.load(s + ((<usize>x) << 2)));
      s += step;
      dst += (<usize>width) << 2;
    }
    return;
  }
  const live = limit - x0;
  for (let k = k0; k < k1; k++) {
    for (let x = 0; x < width; x++) store<f32>(dst + ((<usize>x) << 2), x < live ? load<f32>(s + ((<usize>x) << 2)) : 0);
    s += step;
    dst += (<usize>width) << 2;
  }
}

/** One panel of `width` (a multiple of 4) rows: dst[k - k0][x - x0] = src[x][k] for src (x, ld); rows at or beyond `limit` are zero. */
// @ts-ignore: decorator
@inline
export function pack_rows(dst: usize, src: usize, ld: i32, x0: i32, limit: i32, k0: i32, k1: i32, width: i32): void {
  const row = (<usize>ld) << 2;
  const next = (<usize>width) << 2;
  const top = src + ((<usize>x0 * ld + k0) << 2);
  const depth = k1 - k0;
  const vec = depth & ~3;
  for (let quad = 0; quad < width; quad += 4) {
    const live = limit - x0 - quad;
    const s0 = top + <usize>quad * row;
    const d0 = dst + ((<usize>quad) << 2);
    let k = 0;
    if (live >= 4) {
      for (; k < vec; k += 4) {
        const s = s0 + ((<usize>k) << 2);
        const a = v128.load(s);
        const b = v128.load(s + row);
        const c = v128.load(s + 2 * row);
        const d = v128.load(s + 3 * row);
        const ab0 = v128.shuffle<f32>(a, b, 0, 4, 1, 5);
        const ab1 = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
        const cd0 = v128.shuffle<f32>(c, d, 0, 4, 1, 5);
        const cd1 = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
        const to = d0 + <usize>k * next;
        v128.store(to, v128.shuffle<f64>(ab0, cd0, 0, 2));
        v128.store(to + next, v128.shuffle<f64>(ab0, cd0, 1, 3));
        v128.store(to + 2 * next, v128.shuffle<f64>(ab1, cd1, 0, 2));
        v128.store(to + 3 * next, v128.shuffle<f64>(ab1, cd1, 1, 3));
      }
    }
    for (; k < depth; k++) {
      for (let x = 0; x < 4; x++) {
        const value: f32 = x < live ? load<f32>(s0 + <usize>x * row + ((<usize>k) << 2)) : 0;
        store<f32>(d0 + <usize>k * next + ((<usize>x) << 2), value);
      }
    }
  }
}

/** 8 outputs of one row: c = alpha v [+ bias] [+ c]. */
// @ts-ignore: decorator
@inline
export function put(c: usize, v0: v128, v1: v128, alpha: v128, add: bool, bias: usize): void {
  let r0 = f32x4.mul(v0, alpha);
  let r1 = f32x4.mul(v1, alpha);
  if (bias) {
    r0 = f32x4.add(r0, v128.load(bias));
    r1 = f32x4.add(r1, v128.load(bias, 16));
  }
  if (add) {
    r0 = f32x4.add(r0, v128.load(c));
    r1 = f32x4.add(r1, v128.load(c, 16));
  }
  v128.store(c, r0);
  v128.store(c, r1, 16);
}

/** 4 outputs of one row. */
// @ts-ignore: decorator
@inline
export function put4(c: usize, v: v128, alpha: f32, add: bool, bias: usize): void {
  let r = f32x4.mul(v, f32x4.splat(alpha));
  if (bias) r = f32x4.add(r, v128.load(bias));
  if (add) r = f32x4.add(r, v128.load(c));
  v128.store(c, r);
}

/** One output: c = alpha v [+ bias] [+ c]. */
// @ts-ignore: decorator
@inline
export function put1(c: usize, v: f32, alpha: f32, add: bool, bias: usize): void {
  let r: f32 = v * alpha;
  if (bias) r += load<f32>(bias);
  if (add) r += load<f32>(c);
  store<f32>(c, r);
}

/** 6 x 8 outputs from packed panels of depth kc; only the first `rows` x `cols` of them are stored. */
export function block(a: usize, b: usize, kc: i32, c: usize, n: i32, rows: i32, cols: i32, alpha: f32, add: bool, bias: usize): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0);
  let c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0);
  let c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  const end = b + ((<usize>kc) << 5);
  // One k per turn, and each a where it is used: 12 sums, 2 of b and 1 of a are the 15 registers that V8 has.
  while (b < end) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    const a0 = v128.load32_splat(a);
    c00 = fma4(a0, b0, c00);
    c01 = fma4(a0, b1, c01);
    const a1 = v128.load32_splat(a, 4);
    c10 = fma4(a1, b0, c10);
    c11 = fma4(a1, b1, c11);
    const a2 = v128.load32_splat(a, 8);
    c20 = fma4(a2, b0, c20);
    c21 = fma4(a2, b1, c21);
    const a3 = v128.load32_splat(a, 12);
    c30 = fma4(a3, b0, c30);
    c31 = fma4(a3, b1, c31);
    const a4 = v128.load32_splat(a, 16);
    c40 = fma4(a4, b0, c40);
    c41 = fma4(a4, b1, c41);
    const a5 = v128.load32_splat(a, 20);
    c50 = fma4(a5, b0, c50);
    c51 = fma4(a5, b1, c51);
    a += 48;
    b += 32;
  }
  const row = (<usize>n) << 2;
  if (rows >= MR && cols >= WB) {
    const alpha4 = f32x4.splat(alpha);
    put(c, c00, c01, alpha4, add, bias);
    put(c + row, c10, c11, alpha4, add, bias);
    put(c + 2 * row, c20, c21, alpha4, add, bias);
    put(c + 3 * row, c30, c31, alpha4, add, bias);
    put(c + 4 * row, c40, c41, alpha4, add, bias);
    put(c + 5 * row, c50, c51, alpha4, add, bias);
    return;
  }
  const t = TLS + EDGE;
  v128.store(t, c00); v128.store(t, c01, 16);
  v128.store(t, c10, 32); v128.store(t, c11, 48);
  v128.store(t, c20, 64); v128.store(t, c21, 80);
  v128.store(t, c30, 96); v128.store(t, c31, 112);
  v128.store(t, c40, 128); v128.store(t, c41, 144);
  v128.store(t, c50, 160); v128.store(t, c51, 176);
  rows = min(rows, MR);
  cols = min(cols, WB);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < cols; j++) {
      const at = (<usize>j) << 2;
      put1(c + <usize>i * row + at, load<f32>(t + ((<usize>i) << 5) + at), alpha, add, bias ? bias + at : 0);
    }
  }
}
