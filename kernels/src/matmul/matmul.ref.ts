/** f64 oracle of matmul; the formula is in matmul.wgsl. */
import type { Shape } from './variants.ts';

interface Buffers {
  c: Float64Array;
  a: Float64Array;
  b: Float64Array;
  bias: Float64Array;
}
type Index = (i: number, l: number, s: Shape) => number;

function product({ c, a, b, bias }: Buffers, s: Shape, aAt: Index, bAt: Index): void {
  for (let z = 0; z < s.batch; z++) {
    for (let i = 0; i < s.m; i++) {
      for (let j = 0; j < s.n; j++) {
        let sum = 0;
        for (let l = 0; l < s.k; l++) sum += a[z * s.stride_a + aAt(i, l, s)] * b[z * s.stride_b + bAt(l, j, s)];
        const at = z * s.stride_c + i * s.n + j;
        c[at] = s.alpha * sum + (s.has_bias ? bias[j] : 0) + (s.accumulate ? c[at] : 0);
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
