/**
 * Plan. Forward and backward against the oracle on every backend; rows x cols at a control and on both sides of the
 * workgroup size 64 and of the SIMD width 4; hostile values: ties, one outlier, spread beyond exp's range, a masked row.
 * Backward against finite differences of the oracle's forward.
 */
import { launchRef } from '@eagrl/kernels';
import { assertClose, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { softmax } from './softmax.ts';

const VARIANTS = ['thread_per_row', 'thread_per_row_wide', 'held_32', 'held_64', 'held_128', 'held_256'];

const shapes = [
  [4, 128],
  [1, 1],
  [3, 3],
  [2, 63],
  [2, 64],
  [2, 65],
  [5, 123],
  [2, 2051],
  ...[16, 48, 2064].map((cols) => [3, cols]), // what the wide form takes
  ...[100, 516, 1412, 8192].map((cols) => [3, cols]), // one and two blocks of a thread that holds its part, a part past the end
  [19, 33], // rows that share a workgroup on WebGPU, the last one not full
];

const forward = [
  ...shapes.map(([rows, cols]) => ({
    title: `rows=${rows} cols=${cols}`,
    params: { rows, cols },
    inputs: (r: Random) => ({ x: r.normals(rows * cols, 3) }),
    tolerance: TOLERANCE.transcendental,
  })),
  {
    title: 'all equal',
    params: { rows: 2, cols: 7 },
    inputs: () => ({ x: new Float32Array(14).fill(-1e30) }),
    tolerance: TOLERANCE.transcendental,
  },
  {
    title: 'outlier and values far below it',
    params: { rows: 1, cols: 70 },
    inputs: () => ({ x: Float32Array.from({ length: 70 }, (_, i) => (i === 11 ? 80 : -i * 3)) }),
    tolerance: TOLERANCE.transcendental,
  },
  {
    title: 'masked with the lowest finite value',
    params: { rows: 1, cols: 9 },
    inputs: () => ({ x: Float32Array.from({ length: 9 }, (_, i) => (i % 2 ? -3.4e38 : i)) }),
    tolerance: TOLERANCE.transcendental,
  },
  {
    title: 'equal, outlier, masked, 16 columns at a time',
    params: { rows: 3, cols: 64 },
    inputs: () => ({
      x: Float32Array.from({ length: 192 }, (_, at) => {
        const [i, c] = [Math.floor(at / 64), at % 64];
        return [-1e30, c === 40 ? 80 : -c * 3, c < 33 ? -3.4e38 : c / 7][i];
      }),
    }),
    tolerance: TOLERANCE.transcendental,
  },
];
testKernel(softmax, 'softmax_fwd', forward);
for (const variant of VARIANTS) testVariant(softmax, 'softmax_fwd', variant, forward);

const backward = shapes.map(([rows, cols]) => ({
  title: `rows=${rows} cols=${cols}`,
  params: { rows, cols },
  inputs: (r: Random) => {
    const x = r.normals(rows * cols);
    const { y } = launchRef(softmax, 'softmax_fwd', { x }, { rows, cols });
    return { dy: r.normals(rows * cols), y: Float32Array.from(y) };
  },
  tolerance: TOLERANCE.reduction,
}));
testKernel(softmax, 'softmax_bwd', backward);
for (const variant of VARIANTS) testVariant(softmax, 'softmax_bwd', variant, backward);

test('softmax_bwd ref equals finite differences of softmax_fwd ref', () => {
  const r = new Random('softmax fd');
  const params = { rows: 2, cols: 5 };
  const x = Float64Array.from(r.normals(10));
  const dy = Float64Array.from(r.normals(10));
  const forward = (v: Float64Array) => {
    const y = new Float64Array(10);
    softmax.ref.softmax_fwd({ y, x: v }, params);
    return y;
  };
  const dx = new Float64Array(10);
  softmax.ref.softmax_bwd({ dx, dy, y: forward(x) }, params);
  const h = 1e-5;
  const fd = x.map((_, i) => {
    const at = (d: number) => forward(x.map((v, j) => (j === i ? v + d : v))).reduce((s, y, j) => s + y * dy[j], 0);
    return (at(h) - at(-h)) / (2 * h);
  });
  assertClose(dx, fd, TOLERANCE.finiteDifference);
});
