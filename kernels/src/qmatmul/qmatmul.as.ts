// Products with a frozen matrix W (N, K) of 32-bit words, and its rows by index; formulas in qmatmul.wgsl, layouts in format.ts.
// A work item is up to MB rows x NC columns of c. KC steps of the sum at a time, its part of W is dequantised and laid into panels of 8
// columns in the thread's own scratch (64 KiB, L2), 12 rows of A at a time into another, for the inner block of
// common/matmul_block.as.ts. No f32 copy of W exists beyond that. Few rows of NT: a row of W is dequantised at a time (1 KiB) and multiplied
// where it lies. Every export serves every format, and qmatmul both forms: their numbers are its last arguments before lo and hi.
import { finish } from '../common/epilogue.as';
import { block, BLOCK_SCRATCH, KC, MR, pack_rows, put1, WA, WB } from '../common/matmul_block.as';
import { fma4, halves4, hsum4, TLS } from '../common/simd.as';

/** The same MB, NC and STRIP stand in qmatmul.ts, which counts the work items. */
const MB: i32 = 288;
const NC: i32 = 64;
const STRIP: i32 = 32;
const GROUP: i32 = 32;

/** Forms and formats, as qmatmul.ts numbers them. */
const NT: i32 = 0;
const F32: i32 = 0;
const F16: i32 = 1;
const INT8: i32 = 2;

/** Scratch: the block of A, then WB dequantised rows of KC, then the panels of W. */
const ROW: usize = <usize>KC * 4;
const ROWS: usize = BLOCK_SCRATCH;
const PANELS: usize = ROWS + WB * ROW;

/** Bytes of a row of W, and of its scales. */
// @ts-ignore: decorator
@inline
function row_bytes(format: i32, k: i32): usize {
  if (format == F32) return (<usize>k) << 2;
  if (format == F16) return ((<usize>k + 7) >> 3) << 4;
  return ((<usize>k + GROUP - 1) / GROUP) << (format == INT8 ? 5 : 4);
}

// @ts-ignore: decorator
@inline
function scale_bytes(format: i32, k: i32): usize {
  return format < INT8 ? 0 : (((<usize>k + GROUP - 1) / GROUP + 1) >> 1) << 2;
}

// @ts-ignore: decorator
@inline
function scaled(bytes4: v128, scale: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(bytes4), scale);
}

/** Elements [from, to) of one row of W as f32; `from` a multiple of GROUP. int8 and int4 write whole groups, f16 whole eights. */
function dequantize(format: i32, dst: usize, row: usize, scales: usize, from: i32, to: i32): void {
  if (format == F32) {
    memory.copy(dst, row + ((<usize>from) << 2), (<usize>(to - from)) << 2);
    return;
  }
  if (format == F16) {
    let src = row + ((<usize>from) << 1);
    const end = row + ((<usize>to) << 1);
    for (; src < end; src += 16) {
      const v = v128.load(src);
      v128.store(dst, halves4(i32x4.extend_low_i16x8_u(v)));
      v128.store(dst, halves4(i32x4.extend_high_i16x8_u(v)), 16);
      dst += 32;
    }
    return;
  }
  const last = (to + GROUP - 1) / GROUP;
  for (let g = from / GROUP; g < last; g++) {
    const scale = f32x4.splat(reinterpret<f32>(<u32>load<u16>(scales + ((<usize>g) << 1)) << 16));
    if (format == INT8) {
      const src = row + ((<usize>g) << 5);
      for (let half: usize = 0; half < 32; half += 16) {
        const v = v128.load(src + half);
        const lo = i16x8.extend_low_i8x16_s(v);
        const hi = i16x8.extend_high_i8x16_s(v);
        v128.store(dst, scaled(i32x4.extend_low_i16x8_s(lo), scale));
        v128.store(dst, scaled(i32x4.extend_high_i16x8_s(lo), scale), 16);
        v128.store(dst, scaled(i32x4.extend_low_i16x8_s(hi), scale), 32);
        v128.store(dst, scaled(i32x4.extend_high_i16x8_s(hi), scale), 48);
        dst += 64;
      }
    } else {
      const v = v128.load(row + ((<usize>g) << 4));
      const eight = i8x16.splat(8);
      // Bytes 4j .. 4j+3 hold elements 8j .. 8j+3 of the group in their low halves, 8j+4 .. 8j+7 in their high ones.
      const even = i8x16.sub(v128.and(v, i8x16.splat(15)), eight);
      const odd = i8x16.sub(i8x16.shr_u(v, 4), eight);
      const e0 = i16x8.extend_low_i8x16_s(even);
      const o0 = i16x8.extend_low_i8x16_s(odd);
      const e1 = i16x8.extend_high_i8x16_s(even);
      const o1 = i16x8.extend_high_i8x16_s(odd);
      v128.store(dst, scaled(i32x4.extend_low_i16x8_s(e0), scale));
      v128.store(dst, scaled(i32x4.extend_low_i16x8_s(o0), scale), 16);
      v128.store(dst, scaled(i32x4.extend_high_i16x8_s(e0), scale), 32);
      v128.store(dst, scaled(i32x4.extend_high_i16x8_s(o0), scale), 48);
      v128.store(dst, scaled(i32x4.extend_low_i16x8_s(e1), scale), 64);
      v128.store(dst, scaled(i32x4.extend_low_i16x8_s(o1), scale), 80);
      v128.store(dst, scaled(i32x4.extend_high_i16x8_s(e1), scale), 96);
      v128.store(dst, scaled(i32x4.extend_high_i16x8_s(o1), scale), 112);
      dst += 128;
    }
  }
}

/** Panels of W for columns [j0, j1) of c and steps [k0, k0 + kc) of the sum: (panel, kc, 8) at TLS + PANELS. */
function fill_panels(form: i32, format: i32, w: usize, scales: usize, k: i32, j0: i32, j1: i32, k0: i32, kc: i32): void {
  const row = row_bytes(format, k);
  const scale_row = scale_bytes(format, k);
  const rows = TLS + ROWS;
  const panels = TLS + PANELS;
  const panel = (<usize>kc) << 5;
  if (form == NT) {
    for (let j = j0; j < j1; j += 8) {
      const live = min(8, j1 - j);
      for (let r = 0; r < live; r++) {
        dequantize(format, rows + <usize>r * ROW, w + <usize>(j + r) * row, scales + <usize>(j + r) * scale_row, k0, k0 + kc);
      }
      pack_rows(panels + <usize>((j - j0) >> 3) * panel, rows, KC, 0, live, 0, kc, WB);
    }
    return;
  }
  for (let l = 0; l < kc; l++) {
    dequantize(format, rows, w + <usize>(k0 + l) * row, scales + <usize>(k0 + l) * scale_row, j0, j1);
    let to = panels + ((<usize>l) << 5);
    for (let from = rows; from < rows + ((<usize>(j1 - j0)) << 2); from += 32) {
      v128.store(to, v128.load(from));
      v128.store(to, v128.load(from, 16), 16);
      to += panel;
    }
  }
}

export function qmatmul(c: usize, a: usize, w: usize, scales: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, lda: i32,
  ldc: i32, accumulate: i32, has_bias: i32, epilogue: i32, form: i32, format: i32, lo: i32, hi: i32): void {
  const width = form == NT ? n : k;
  const depth = form == NT ? k : n;
  const across = (width + NC - 1) / NC;
  const down = (m + MB - 1) / MB;
  // Of one height: threads end together.
  const height = ((m + down - 1) / down + WA - 1) / WA * WA;
  for (let item = lo; item < hi; item++) {
    const j0 = (item % across) * NC;
    const j1 = min(j0 + NC, width);
    const top = item / across * height;
    const bottom = min(top + height, m);
    for (let k0 = 0; k0 < depth; k0 += KC) {
      const kc = min(KC, depth - k0);
      const add = accumulate != 0 || k0 > 0;
      fill_panels(form, format, w, scales, k, j0, j1, k0, kc);
      for (let i0 = top; i0 < bottom; i0 += WA) {
        const i1 = min(i0 + WA, bottom);
        pack_rows(TLS, a, lda, i0, i1, k0, k0 + kc, WA);
        for (let j = j0; j < j1; j += WB) {
          const panel = TLS + PANELS + ((<usize>((j - j0) * kc)) << 2);
          const bj = has_bias && k0 == 0 ? bias + ((<usize>j) << 2) : 0;
          for (let i = i0; i < i1; i += MR) {
            block(TLS + ((<usize>(i - i0)) << 2), panel, kc, c + ((<usize>i * ldc + j) << 2), ldc, i1 - i, j1 - j, 1, add, bj);
          }
        }
      }
    }
    finish(epilogue, c, aux, <usize>top * ldc + j0, ldc, bottom - top, j1 - j0);
  }
}

/** Few rows of NT: STRIP columns per item, dot products with one dequantised row of W at a time, four accumulators. */
export function qmatmul_direct(c: usize, a: usize, w: usize, scales: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, lda: i32,
  ldc: i32, accumulate: i32, has_bias: i32, epilogue: i32, format: i32, lo: i32, hi: i32): void {
  const row = row_bytes(format, k);
  const scale_row = scale_bytes(format, k);
  const b = TLS + ROWS;
  const j0 = lo * STRIP;
  const j1 = min(hi * STRIP, n);
  for (let j = j0; j < j1; j++) {
    for (let k0 = 0; k0 < k; k0 += KC) {
      const kc = min(KC, k - k0);
      dequantize(format, b, w + <usize>j * row, scales + <usize>j * scale_row, k0, k0 + kc);
      const vec = kc & ~15;
      const bj = has_bias && k0 == 0 ? bias + ((<usize>j) << 2) : 0;
      for (let i = 0; i < m; i++) {
        const x = a + ((<usize>i * lda + k0) << 2);
        let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
        let l = 0;
        for (; l < vec; l += 16) {
          const o = (<usize>l) << 2;
          s0 = fma4(v128.load(x + o), v128.load(b + o), s0);
          s1 = fma4(v128.load(x + o, 16), v128.load(b + o, 16), s1);
          s2 = fma4(v128.load(x + o, 32), v128.load(b + o, 32), s2);
          s3 = fma4(v128.load(x + o, 48), v128.load(b + o, 48), s3);
        }
        let s = hsum4(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)));
        for (; l < kc; l++) s += load<f32>(x + ((<usize>l) << 2)) * load<f32>(b + ((<usize>l) << 2));
        put1(c + ((<usize>i * ldc + j) << 2), s, 1, accumulate != 0 || k0 > 0, bj);
      }
    }
  }
  finish(epilogue, c, aux, j0, ldc, m, j1 - j0);
}

/** Rows by index, a work item is a token; KC elements at a time through scratch, as whole groups are written. */
export function qgather(y: usize, ids: usize, w: usize, scales: usize, tokens: i32, k: i32, first: i32, n: i32, fill: i32, format: i32, lo: i32,
  hi: i32): void {
  const row = row_bytes(format, k);
  const scale_row = scale_bytes(format, k);
  for (let t = lo; t < hi; t++) {
    const to = y + ((<usize>t * k) << 2);
    const r = <usize>(load<u32>(ids + ((<usize>t) << 2)) - first);
    if (r < <usize>n) {
      for (let k0 = 0; k0 < k; k0 += KC) {
        const k1 = min(k0 + KC, k);
        dequantize(format, TLS, w + r * row, scales + r * scale_row, k0, k1);
        memory.copy(to + ((<usize>k0) << 2), TLS, (<usize>(k1 - k0)) << 2);
      }
    } else if (fill) memory.fill(to, 0, (<usize>k) << 2);
  }
}
