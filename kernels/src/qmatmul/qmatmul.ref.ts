/** f64 oracle of products with stored matrices; the formulas are in qmatmul.wgsl, the layouts in format.ts. */
import { applyEpilogue } from '../common/epilogue.ref.ts';
import { dequantize, element, type StoredWords, type WeightType } from './format.ts';

interface Product extends StoredWords {
  c: Float64Array;
  a: Float64Array;
  bias: Float64Array;
  aux: Float64Array;
}
interface Shape {
  m: number;
  n: number;
  k: number;
  lda: number;
  ldc: number;
  accumulate: number;
  has_bias: number;
  epilogue: number;
}

function finish({ c, bias, aux }: Product, { ldc, accumulate, has_bias, epilogue }: Shape, i: number, j: number, sum: number): void {
  const at = i * ldc + j;
  c[at] = applyEpilogue(epilogue, aux[at], sum + (has_bias ? bias[j] : 0) + (accumulate ? c[at] : 0));
}

const nt = (dtype: WeightType) => (b: Product, s: Shape) => {
  const w = dequantize(dtype, b, s.n, s.k);
  for (let i = 0; i < s.m; i++) {
    for (let j = 0; j < s.n; j++) {
      let sum = 0;
      for (let l = 0; l < s.k; l++) sum += b.a[i * s.lda + l] * w[j * s.k + l];
      finish(b, s, i, j, sum);
    }
  }
};

const nn = (dtype: WeightType) => (b: Product, s: Shape) => {
  const w = dequantize(dtype, b, s.n, s.k);
  for (let i = 0; i < s.m; i++) {
    for (let j = 0; j < s.k; j++) {
      let sum = 0;
      for (let l = 0; l < s.n; l++) sum += b.a[i * s.lda + l] * w[l * s.k + j];
      finish(b, s, i, j, sum);
    }
  }
};

interface Rows extends StoredWords {
  y: Float64Array;
  ids: ArrayLike<number>;
}

const gather =
  (dtype: WeightType) =>
  ({ y, w, scales, ids }: Rows, { tokens, k, first, n, fill }: { tokens: number; k: number; first: number; n: number; fill: number }) => {
    for (let t = 0; t < tokens; t++) {
      const row = ids[t] - first;
      const inside = row >= 0 && row < n;
      if (!inside && !fill) continue;
      for (let i = 0; i < k; i++) y[t * k + i] = inside ? element(dtype, { w, scales }, k, row, i) : 0;
    }
  };

export const qmatmul_nt_f32 = nt('f32');
export const qmatmul_nt_f16 = nt('f16');
export const qmatmul_nt_int8 = nt('int8');
export const qmatmul_nt_int4 = nt('int4');
export const qmatmul_nn_f32 = nn('f32');
export const qmatmul_nn_f16 = nn('f16');
export const qmatmul_nn_int8 = nn('int8');
export const qmatmul_nn_int4 = nn('int4');
export const qgather_f32 = gather('f32');
export const qgather_f16 = gather('f16');
export const qgather_int8 = gather('int8');
export const qgather_int4 = gather('int4');
