// Matrix product; forms and formula in matmul.wgsl. B is packed once, by all threads, into panels of 8 columns (phase 1,
// shared scratch, (batch, panel, k, 8), ragged columns zero). Then tiles of up to 12 x NC outputs are independent work items: the
// tile's rows of A are packed into the thread's own scratch, KC deep, and the inner block is 6 rows x 8 columns
// (common/matmul_block.as.ts).
// Few rows of A (`direct` in matmul.ts) cannot pay for packing: rows of B are read in place.
import { finish } from '../common/epilogue.as';
import { block, KC, MR, pack_cols, pack_rows, put, put1, put4, WA, WB } from '../common/matmul_block.as';
import { fma4, hsum4, TLS } from '../common/simd.as';

/** The same NC, PACK_K and STRIP, and WA, stand in matmul.ts, which counts the work items. */
const NC: i32 = 256;
const PACK_K: i32 = 32;
const STRIP: i32 = 32;

const NN: i32 = 0;
const NT: i32 = 1;
const TN: i32 = 2;

/** Tiles lo..hi; rows of tiles vary fastest, so that a thread's B columns stay in its L2. */
function tiles(form: i32, c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, stride_a: i32, stride_b: i32,
  stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  const across = (n + NC - 1) / NC;
  const down = (m + WA - 1) / WA;
  const panels = (n + 7) >> 3;
  for (let item = lo; item < hi; item++) {
    const i0 = (item % down) * WA;
    const j0 = (item / down % across) * NC;
    const z = item / down / across;
    const i1 = min(i0 + WA, m);
    const j1 = min(j0 + NC, n);
    const az = a + ((<usize>z * stride_a) << 2);
    const bz = packed + (stride_b ? (<usize>z * panels * k) << 5 : 0);
    const cz = c + ((<usize>z * stride_c) << 2);
    let k0 = 0;
    do {
      const kc = min(KC, k - k0);
      if (form == TN) pack_cols(TLS, az, m, i0, m, k0, k0 + kc, WA);
      else pack_rows(TLS, az, k, i0, m, k0, k0 + kc, WA);
      const add = accumulate != 0 || k0 > 0;
      for (let j = j0; j < j1; j += 8) {
        const panel = bz + ((<usize>(j >> 3) * k + k0) << 5);
        const bj = has_bias && k0 == 0 ? bias + ((<usize>j) << 2) : 0;
        for (let i = i0; i < i1; i += MR) {
          block(TLS + ((<usize>(i - i0)) << 2), panel, kc, cz + ((<usize>i * n + j) << 2), n, i1 - i, j1 - j, alpha, add, bj);
        }
      }
      k0 += kc;
    } while (k0 < k);
    finish(epilogue, c, aux, <usize>z * stride_c + <usize>i0 * n + j0, n, i1 - i0, j1 - j0);
  }
}

/** Packs rows [PACK_K item, PACK_K (item+1)) of B (K, N), all panels: whole cache lines are read. */
function pack_b_cols(b: usize, n: i32, k: i32, stride_b: i32, packed: usize, lo: i32, hi: i32): void {
  const chunks = (k + PACK_K - 1) / PACK_K;
  const panels = (n + 7) >> 3;
  for (let item = lo; item < hi; item++) {
    const z = item / chunks;
    const k0 = (item % chunks) * PACK_K;
    const k1 = min(k0 + PACK_K, k);
    const from = b + ((<usize>z * stride_b) << 2);
    for (let p = 0; p < panels; p++) pack_cols(packed + (((<usize>z * panels + p) * k + k0) << 5), from, n, p << 3, n, k0, k1, WB);
  }
}

/** Four dot products at once: lane i = sum of v_i. */
// @ts-ignore: decorator
@inline
function sums(v0: v128, v1: v128, v2: v128, v3: v128): v128 {
  const s01 = f32x4.add(v128.shuffle<f32>(v0, v1, 0, 4, 1, 5), v128.shuffle<f32>(v0, v1, 2, 6, 3, 7));
  const s23 = f32x4.add(v128.shuffle<f32>(v2, v3, 0, 4, 1, 5), v128.shuffle<f32>(v2, v3, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f64>(s01, s23, 0, 2), v128.shuffle<f64>(s01, s23, 1, 3));
}

function dot(a: usize, b: usize, k: i32): f32 {
  const vec = k & ~3;
  let v = f32x4.splat(0);
  let x = 0;
  for (; x < vec; x += 4) v = fma4(v128.load(a + ((<usize>x) << 2)), v128.load(b + ((<usize>x) << 2)), v);
  let s = hsum4(v);
  for (; x < k; x++) s += load<f32>(a + ((<usize>x) << 2)) * load<f32>(b + ((<usize>x) << 2));
  return s;
}

/** c[0..1][0..3] = dot of 2 rows of A with 4 rows of B, 8 accumulators along k. */
function dots_2x4(a: usize, b: usize, k: i32, c: usize, n: i32, alpha: f32, add: bool, bias: usize): void {
  const row = (<usize>k) << 2;
  const vec = k & ~3;
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  const end = a + ((<usize>vec) << 2);
  let a1 = a + row, b0 = b, b1 = b + row, b2 = b + 2 * row, b3 = b + 3 * row;
  while (a < end) {
    const x0 = v128.load(a);
    const x1 = v128.load(a1);
    let y = v128.load(b0);
    c00 = fma4(x0, y, c00);
    c10 = fma4(x1, y, c10);
    y = v128.load(b1);
    c01 = fma4(x0, y, c01);
    c11 = fma4(x1, y, c11);
    y = v128.load(b2);
    c02 = fma4(x0, y, c02);
    c12 = fma4(x1, y, c12);
    y = v128.load(b3);
    c03 = fma4(x0, y, c03);
    c13 = fma4(x1, y, c13);
    a += 16; a1 += 16; b0 += 16; b1 += 16; b2 += 16; b3 += 16;
  }
  let r0 = sums(c00, c01, c02, c03);
  let r1 = sums(c10, c11, c12, c13);
  for (let x = vec; x < k; x++) {
    const y = f32x4(load<f32>(b0), load<f32>(b1), load<f32>(b2), load<f32>(b3));
    r0 = fma4(v128.load32_splat(a), y, r0);
    r1 = fma4(v128.load32_splat(a1), y, r1);
    a += 4; a1 += 4; b0 += 4; b1 += 4; b2 += 4; b3 += 4;
  }
  put4(c, r0, alpha, add, bias);
  put4(c + ((<usize>n) << 2), r1, alpha, add, bias);
}

/** c[0][0..3] = dot of one row of A with 4 rows of B. */
function dots_1x4(a: usize, b: usize, k: i32, c: usize, alpha: f32, add: bool, bias: usize): void {
  const row = (<usize>k) << 2;
  const vec = k & ~3;
  let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
  const end = a + ((<usize>vec) << 2);
  let b0 = b, b1 = b + row, b2 = b + 2 * row, b3 = b + 3 * row;
  while (a < end) {
    const x = v128.load(a);
    c0 = fma4(x, v128.load(b0), c0);
    c1 = fma4(x, v128.load(b1), c1);
    c2 = fma4(x, v128.load(b2), c2);
    c3 = fma4(x, v128.load(b3), c3);
    a += 16; b0 += 16; b1 += 16; b2 += 16; b3 += 16;
  }
  let r = sums(c0, c1, c2, c3);
  for (let x = vec; x < k; x++) {
    r = fma4(v128.load32_splat(a), f32x4(load<f32>(b0), load<f32>(b1), load<f32>(b2), load<f32>(b3)), r);
    a += 4; b0 += 4; b1 += 4; b2 += 4; b3 += 4;
  }
  put4(c, r, alpha, add, bias);
}

/** NT, few rows: strips of STRIP columns; B (N, K) is read where it lies. */
function direct_nt(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, stride_a: i32, stride_b: i32,
  stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, lo: i32, hi: i32): void {
  const strips = (n + STRIP - 1) / STRIP;
  const add = accumulate != 0;
  for (let item = lo; item < hi; item++) {
    const z = item / strips;
    const j0 = (item % strips) * STRIP;
    const j1 = min(j0 + STRIP, n);
    const az = a + ((<usize>z * stride_a) << 2);
    const bz = b + ((<usize>z * stride_b) << 2);
    const cz = c + ((<usize>z * stride_c) << 2);
    let j = j0;
    for (; j + 4 <= j1; j += 4) {
      const bj = bz + ((<usize>j * k) << 2);
      const bias_j = has_bias ? bias + ((<usize>j) << 2) : 0;
      let i = 0;
      for (; i + 2 <= m; i += 2) {
        dots_2x4(az + ((<usize>i * k) << 2), bj, k, cz + ((<usize>i * n + j) << 2), n, alpha, add, bias_j);
      }
      if (i < m) dots_1x4(az + ((<usize>i * k) << 2), bj, k, cz + ((<usize>i * n + j) << 2), alpha, add, bias_j);
    }
    for (; j < j1; j++) {
      const bj = bz + ((<usize>j * k) << 2);
      const bias_j = has_bias ? bias + ((<usize>j) << 2) : 0;
      for (let i = 0; i < m; i++) {
        put1(cz + ((<usize>i * n + j) << 2), dot(az + ((<usize>i * k) << 2), bj, k), alpha, add, bias_j);
      }
    }
    finish(epilogue, c, aux, <usize>z * stride_c + j0, n, m, j1 - j0);
  }
}

/** NN and TN, few rows: one row at a time, STRIP columns of B (K, N) in 8 registers; A's element k lies at a + k * step_k. */
function direct_cols(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, step_i: i32, step_k: i32,
  stride_a: i32, stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, lo: i32, hi: i32): void {
  const strips = (n + STRIP - 1) / STRIP;
  const add = accumulate != 0;
  const next_a = (<usize>step_k) << 2;
  const next_b = (<usize>n) << 2;
  for (let item = lo; item < hi; item++) {
    const z = item / strips;
    const j = (item % strips) * STRIP;
    for (let i = 0; i < m; i++) {
      let x = a + ((<usize>z * stride_a + <usize>i * step_i) << 2);
      let y = b + ((<usize>z * stride_b + j) << 2);
      const to = c + ((<usize>z * stride_c + <usize>i * n + j) << 2);
      const bj = has_bias ? bias + ((<usize>j) << 2) : 0;
      if (j + STRIP <= n) {
        let c0 = f32x4.splat(0), c1 = f32x4.splat(0), c2 = f32x4.splat(0), c3 = f32x4.splat(0);
        let c4 = f32x4.splat(0), c5 = f32x4.splat(0), c6 = f32x4.splat(0), c7 = f32x4.splat(0);
        for (let l = 0; l < k; l++) {
          const s = v128.load32_splat(x);
          c0 = fma4(s, v128.load(y), c0);
          c1 = fma4(s, v128.load(y, 16), c1);
          c2 = fma4(s, v128.load(y, 32), c2);
          c3 = fma4(s, v128.load(y, 48), c3);
          c4 = fma4(s, v128.load(y, 64), c4);
          c5 = fma4(s, v128.load(y, 80), c5);
          c6 = fma4(s, v128.load(y, 96), c6);
          c7 = fma4(s, v128.load(y, 112), c7);
          x += next_a;
          y += next_b;
        }
        const alpha4 = f32x4.splat(alpha);
        put(to, c0, c1, alpha4, add, bj);
        put(to + 32, c2, c3, alpha4, add, bj ? bj + 32 : 0);
        put(to + 64, c4, c5, alpha4, add, bj ? bj + 64 : 0);
        put(to + 96, c6, c7, alpha4, add, bj ? bj + 96 : 0);
      } else {
        for (let q = 0; q < n - j; q++) {
          const at = (<usize>q) << 2;
          let s: f32 = 0;
          for (let l = 0; l < k; l++) s += load<f32>(x + <usize>l * next_a) * load<f32>(y + <usize>l * next_b + at);
          put1(to + at, s, alpha, add, bj ? bj + at : 0);
        }
      }
    }
    finish(epilogue, c, aux, <usize>z * stride_c + j, n, m, min(STRIP, n - j));
  }
}

export function matmul_nn_pack(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  pack_b_cols(b, n, k, stride_b, packed, lo, hi);
}

export function matmul_nn(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  tiles(NN, c, a, b, bias, aux, m, n, k, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, packed, lo, hi);
}

export function matmul_nn_direct(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  direct_cols(c, a, b, bias, aux, m, n, k, k, 1, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, lo, hi);
}

/** Packs one panel, 8 rows of B (N, K), per item. */
export function matmul_nt_pack(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  const panels = (n + 7) >> 3;
  for (let item = lo; item < hi; item++) {
    const z = item / panels;
    pack_rows(packed + ((<usize>item * k) << 5), b + ((<usize>z * stride_b) << 2), k, (item % panels) << 3, n, 0, k, WB);
  }
}

export function matmul_nt(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  tiles(NT, c, a, b, bias, aux, m, n, k, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, packed, lo, hi);
}

export function matmul_nt_direct(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  direct_nt(c, a, b, bias, aux, m, n, k, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, lo, hi);
}

export function matmul_tn_pack(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  pack_b_cols(b, n, k, stride_b, packed, lo, hi);
}

export function matmul_tn(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  tiles(TN, c, a, b, bias, aux, m, n, k, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, packed, lo, hi);
}

export function matmul_tn_direct(c: usize, a: usize, b: usize, bias: usize, aux: usize, m: i32, n: i32, k: i32, batch: i32, stride_a: i32,
  stride_b: i32, stride_c: i32, alpha: f32, accumulate: i32, has_bias: i32, epilogue: i32, packed: usize, lo: i32, hi: i32): void {
  direct_cols(c, a, b, bias, aux, m, n, k, 1, m, stride_a, stride_b, stride_c, alpha, accumulate, has_bias, epilogue, lo, hi);
}
