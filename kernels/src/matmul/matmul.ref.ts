/** f64 oracle of matmul; the formula is in matmul.wgsl. */
import { applyEpilogue } from '../common/epilogue.ref.ts';
import type { Shape } from './variants.ts';

interface Buffers {
  c: Float64Array;
  a: Float64Array;
  b: Float64Array;
  bias: Float64Array;
  aux: Float64Array;
}
type Index = (i: number, l: number, s: Shape) => number;

/** Rows that go through op(b) together: four sums at a time, each front to back. */
const ROWS = 4;

function product({ c, a, b, bias, aux }: Buffers, s: Shape, aAt: Index, bAt: Index): void {
  const rows = Array.from({ length: ROWS }, () => new Float64Array(s.k));
  const column = new Float64Array(s.n * s.k);
  const [r0, r1, r2, r3] = rows;
  for (let z = 0; z < s.batch; z++) {
    for (let j = 0; j < s.n; j++) for (let l = 0; l < s.k; l++) column[j * s.k + l] = b[z * s.stride_b + bAt(l, j, s)];
    for (let i = 0; i < s.m; i += ROWS) {
      const last = Math.min(ROWS, s.m - i);
      for (let r = 0; r < last; r++) for (let l = 0; l < s.k; l++) rows[r][l] = a[z * s.stride_a + aAt(i + r, l, s)];
      for (let j = 0; j < s.n; j++) {
        let [s0, s1, s2, s3] = [0, 0, 0, 0];
        for (let l = 0, at = j * s.k; l < s.k; l++, at++) {
          const v = column[at];
          s0 += r0[l] * v;
          s1 += r1[l] * v;
          s2 += r2[l] * v;
          s3 += r3[l] * v;
        }
        const sum = [s0, s1, s2, s3];
        for (let r = 0; r < last; r++) {
          const at = z * s.stride_c + (i + r) * s.n + j;
          const value = s.alpha * sum[r] + (s.has_bias ? bias[j] : 0) + (s.accumulate ? c[at] : 0);
          c[at] = applyEpilogue(s.epilogue, aux[at], value);
        }
      }
    }
  }
}

const rowMajor: Index = (i, l, s) => i * s.k + l;

export const matmul_nn = (buffers: Buffers, s: Shape): void => product(buffers, s, rowMajor, (l, j) => l * s.n + j);
export const matmul_nt = (buffers: Buffers, s: Shape): void => product(buffers, s, rowMajor, (l, j) => j * s.k + l);
export const matmul_tn = (buffers: Buffers, s: Shape): void =>
  product(
    buffers,
    s,
    (i, l) => l * s.m + i,
    (l, j) => l * s.n + j,
  );
