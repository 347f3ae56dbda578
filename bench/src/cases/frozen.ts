/** Products with frozen matrices in fewer bits: the policy's up projection forward and backward, one decode step, and a lookup; and of two f16 matrices. */
import { matmulF16, qmatmul, WEIGHT_TYPES, type WeightType } from '@eagrl/kernels';
import { encodeRows } from '@eagrl/runtime';
import type { BenchCase, Draw } from '../lib/case.ts';

const T = 512;
const N = 704;
const K = 256;

/** W (n, k) as `dtype` keeps it. */
function stored(d: Draw, dtype: WeightType, n: number, k: number): { w: Float32Array | Uint32Array; scales: Uint32Array } {
  const w = d.normals(n * k);
  return dtype === 'f32' ? { w, scales: new Uint32Array(0) } : encodeRows(dtype, w, k, 'w');
}

function product(form: 'nt' | 'nn', dtype: WeightType, m: number, from?: BenchCase['from']): BenchCase {
  const [width, depth] = form === 'nt' ? [N, K] : [K, N];
  return {
    spec: qmatmul,
    entry: `qmatmul_${form}_${dtype}`,
    dtype,
    shape: `${m}x${width}x${depth}`,
    params: { m, n: N, k: K, lda: depth, ldc: width, accumulate: 0, has_bias: 0, epilogue: 0 },
    inputs: (d) => ({
      c: new Float32Array(m * width),
      a: d.normals(m * depth),
      ...stored(d, dtype, N, K),
      bias: new Float32Array(4),
      aux: new Float32Array(4),
    }),
    from,
  } as BenchCase;
}

const lookup = (dtype: WeightType): BenchCase =>
  ({
    spec: qmatmul,
    entry: `qgather_${dtype}`,
    dtype,
    shape: `${T}x${K}`,
    params: { tokens: T, k: K, first: 0, n: N, fill: 1 },
    inputs: (d: Draw) => ({ y: new Float32Array(T * K), ids: d.ints(T, N), ...stored(d, dtype, N, K) }),
  }) as BenchCase;

const halves = {
  spec: matmulF16,
  entry: 'matmul_f16_nt',
  dtype: 'f16',
  shape: `${T}x${N}x${K}`,
  params: { m: T, n: N, k: K },
  inputs: (d: Draw) => ({ a: stored(d, 'f16', T, K).w, b: stored(d, 'f16', N, K).w }),
} as BenchCase;

export const frozen: readonly BenchCase[] = [
  ...WEIGHT_TYPES.flatMap((dtype) => [product('nt', dtype, T), product('nn', dtype, T), product('nt', dtype, 1, 'normal'), lookup(dtype)]),
  halves,
];
