/** Plan. Both entries against the oracle on every backend; seams at any offset, parts across the work block of 4,096 elements. */
import { type Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { concat } from './concat.ts';

const shapes = [
  [96, 32],
  [1, 1],
  [63, 2],
  [64, 1],
  [7, 4200],
  [4097, 4095],
];

testKernel(
  concat,
  'concat',
  shapes.map(([na, nb]) => ({
    title: `na=${na} nb=${nb}`,
    params: { na, nb },
    inputs: (r: Random) => ({ a: r.normals(na), b: r.normals(nb) }),
    tolerance: TOLERANCE.elementwise,
  })),
);

testKernel(
  concat,
  'split',
  shapes.map(([na, nb]) => ({
    title: `na=${na} nb=${nb}`,
    params: { na, nb },
    inputs: (r: Random) => ({ dy: r.normals(na + nb) }),
    tolerance: TOLERANCE.elementwise,
  })),
);
