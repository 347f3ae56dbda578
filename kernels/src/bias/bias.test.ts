/**
 * Plan. Against the oracle on every backend: columns and rows at 1 and on both sides of the 16 that a workgroup and a work item take.
 * dbias starts from given values. Hostile values: zeros, an outlier. Finite differences: the forward is matmul's epilogue.
 */
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { matmul } from '../matmul/matmul.ts';
import { bias } from './bias.ts';

const SHAPES = [
  [6, 128],
  ...[1, 15, 16, 17, 33].map((cols) => [5, cols]),
  ...[1, 15, 16, 17, 301].map((rows) => [rows, 19]),
  ...[1, 31, 33, 130, 300, 1100].map((rows) => [rows, 36]),
];

const sums: KernelCase[] = [
  ...SHAPES.map(([rows, cols]) => ({
    title: `rows=${rows} cols=${cols}`,
    params: { rows, cols },
    inputs: (r: Random) => ({ dbias: r.normals(cols), dy: r.normals(rows * cols) }),
    tolerance: TOLERANCE.reduction,
  })),
  {
    title: 'zeros and one outlier',
    params: { rows: 40, cols: 21 },
    inputs: (r: Random) => ({ dbias: r.normals(21), dy: new Float32Array(840).fill(1e6, 500, 501) }),
    tolerance: TOLERANCE.reduction,
  },
];
testKernel(bias, 'bias_bwd', sums);
testVariant(bias, 'bias_bwd', 'across', sums);

test('bias_bwd ref equals finite differences of matmul with has_bias', () => {
  const r = new Random('bias fd');
  const [rows, cols, k] = [3, 4, 2];
  const [a, b, w, dy] = [rows * k, k * cols, cols, rows * cols].map((n) => Float64Array.from(r.normals(n)));
  const loss = (at: number, d: number) => {
    const c = new Float64Array(rows * cols);
    const shape = {
      m: rows,
      n: cols,
      k,
      batch: 1,
      stride_a: 0,
      stride_b: 0,
      stride_c: 0,
      alpha: 2,
      accumulate: 0,
      has_bias: 1,
      epilogue: 0,
    };
    matmul.ref.matmul_nn({ c, a, b, bias: w.map((v, i) => (i === at ? v + d : v)), aux: new Float64Array(0) }, shape);
    return c.reduce((s, v, i) => s + v * dy[i], 0);
  };
  const h = 1e-5;
  const dbias = new Float64Array(cols);
  bias.ref.bias_bwd({ dbias, dy }, { rows, cols });
  assertClose(
    dbias,
    w.map((_, i) => (loss(i, h) - loss(i, -h)) / (2 * h)),
    TOLERANCE.finiteDifference,
  );
});
