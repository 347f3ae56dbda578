/**
 * Plan. The product of f16 matrices against the oracle on every backend. The words are drawn: halves from subnormal to 2 with padding as the format
 * wants it. Rows and columns on both sides of the tiles (32, WebAssembly 8), depth around the padding (8), a turn (32) and a block (1024), and 0.
 * Infinity and NaN in rows of their own. Each variant: ragged shapes around its tile.
 */
import type { HostBuffers, Params } from '@eagrl/kernels';
import { type KernelCase, type Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { rowWords } from '../qmatmul/format.ts';
import { matmulF16 } from './matmul_f16.ts';

/** Sign and mantissa of any kind, exponents from subnormal up to below 2. */
function matrix(r: Random, rows: number, k: number): Uint32Array<ArrayBuffer> {
  const width = rowWords('f16', k);
  const words = new Uint32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < k; i++) words[row * width + (i >> 1)] |= ((r.int(2) << 15) | (r.int(16) << 10) | r.int(1024)) << (16 * (i & 1));
  }
  return words;
}

const inputs = (r: Random, { m, n, k }: Params): HostBuffers => ({ a: matrix(r, m, k), b: matrix(r, n, k) });

/** Infinity begins the first row of a, NaN the last; rows of zeros meet no infinity in b. */
function hostile(r: Random, p: Params): HostBuffers {
  const made = inputs(r, p);
  made.a[0] = (made.a[0] & 0xffff0000) | 0x7c00;
  made.a[(p.m - 1) * rowWords('f16', p.k)] |= 0x7e00;
  for (let j = 0; j < p.n; j++) made.b[j * rowWords('f16', p.k)] |= 0x0400; // no zero meets infinity
  return made;
}

const cases: KernelCase[] = [
  ...[
    [33, 40, 37],
    [1, 1, 1],
    ...[7, 8, 9, 32, 65].map((m) => [m, 40, 37]),
    ...[31, 32, 65].map((n) => [9, n, 37]),
    ...[0, 7, 8, 9, 31, 32, 33, 1024, 1037].map((k) => [9, 12, k]),
    [130, 65, 72],
    [65, 130, 33],
    [129, 257, 64],
  ].map(([m, n, k]) => ({ title: `m=${m} n=${n} k=${k}`, params: { m, n, k }, inputs, tolerance: TOLERANCE.reduction })),
  { title: 'infinity, NaN', params: { m: 20, n: 18, k: 40 }, inputs: hostile, tolerance: TOLERANCE.reduction },
];

testKernel(matmulF16, 'matmul_f16_nt', cases);
for (const { name } of matmulF16.entries.matmul_f16_nt.variants) testVariant(matmulF16, 'matmul_f16_nt', name, cases);
