// Product of f16 matrices, c = a b^T; layouts in matmul_f16.wgsl. A work item is ROWS rows of c. KC numbers at a time, its rows of a and then each row
// of b become f32 in the thread's own scratch.
import { fma4, halves4, hsum4, TLS } from '../common/simd.as';

/** The same ROWS stands in matmul_f16.ts. */
const ROWS: i32 = 8;
const KC: i32 = 1024;
const ROW: usize = <usize>KC * 4;

/** Numbers of a row, a multiple of eight, to f32. */
function unpack(dst: usize, src: usize, count: i32): void {
  for (let i = 0; i < count; i += 8) {
    const v = v128.load(src);
    v128.store(dst, halves4(i32x4.extend_low_i16x8_u(v)));
    v128.store(dst, halves4(i32x4.extend_high_i16x8_u(v)), 16);
    src += 16;
    dst += 32;
  }
}

export function matmul_f16_nt(c: usize, a: usize, b: usize, m: i32, n: i32, k: i32, lo: i32, hi: i32): void {
  const padded = (k + 7) & ~7;
  const pitch = (<usize>padded) << 1;
  for (let item = lo; item < hi; item++) {
    const first = item * ROWS;
    const rows = min(ROWS, m - first);
    for (let i = first; i < first + rows; i++) memory.fill(c + ((<usize>i * n) << 2), 0, (<usize>n) << 2);
    for (let l = 0; l < padded; l += KC) {
      const count = min(KC, padded - l);
      const skip = (<usize>l) << 1;
      for (let r = 0; r < rows; r++) unpack(TLS + <usize>r * ROW, a + <usize>(first + r) * pitch + skip, count);
      const of_b = TLS + <usize>ROWS * ROW;
      for (let j = 0; j < n; j++) {
        unpack(of_b, b + <usize>j * pitch + skip, count);
        for (let r = 0; r < rows; r++) {
          let x = f32x4.splat(0), y = f32x4.splat(0);
          const of_a = TLS + <usize>r * ROW;
          for (let q: usize = 0; q < (<usize>count) << 2; q += 32) {
            x = fma4(v128.load(of_a + q), v128.load(of_b + q), x);
            y = fma4(v128.load(of_a + q, 16), v128.load(of_b + q, 16), y);
          }
          const to = c + ((<usize>(first + r) * n + j) << 2);
          store<f32>(to, load<f32>(to) + hsum4(f32x4.add(x, y)));
        }
      }
    }
  }
}
