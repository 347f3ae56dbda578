/** f64 oracle of the product of f16 matrices: c = a b^T. */
import { dequantize } from '../qmatmul/format.ts';

interface Buffers {
  c: Float64Array;
  a: Float64Array;
  b: Float64Array;
}

export function matmul_f16_nt({ c, a, b }: Buffers, { m, n, k }: { m: number; n: number; k: number }): void {
  const left = dequantize('f16', { w: a, scales: [] }, m, k);
  const right = dequantize('f16', { w: b, scales: [] }, n, k);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += left[i * k + l] * right[j * k + l];
      c[i * n + j] = sum;
    }
  }
}
