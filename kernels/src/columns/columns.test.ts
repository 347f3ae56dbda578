/** Plan. Against the oracle on every backend, exactly: one column, all of them, a row alone; cols on both sides of the workgroup 256. */
import { type Random, testKernel } from '@eagrl/testing';
import { columns } from './columns.ts';

testKernel(
  columns,
  'columns',
  [
    [1, 1, 1],
    [1, 64, 200],
    [5, 1, 7],
    [5, 7, 7],
    [37, 64, 200],
    [3, 255, 320],
    [3, 256, 320],
    [3, 257, 320],
  ].map(([rows, cols, ld]) => ({
    title: `rows=${rows} cols=${cols} ld=${ld}`,
    params: { rows, cols, ld },
    inputs: (r: Random) => ({ x: r.normals((rows - 1) * ld + cols) }),
    tolerance: { rel: 0, abs: 0 },
  })),
);
