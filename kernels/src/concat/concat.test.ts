/** Plan. Both entries against the oracle on every backend; seams at any offset, parts across the work block of 4,096 elements. */
import { type Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { concat } from './concat.ts';

const shapes = [
  [96, 32],
  [1, 1],
  [63, 2],
  [64, 1],
  [7, 4200],
  [4097, 4095],
  [4, 260],
];

const joined = shapes.map(([na, nb]) => ({
  title: `na=${na} nb=${nb}`,
  params: { na, nb },
  inputs: (r: Random) => ({ a: r.normals(na), b: r.normals(nb) }),
  tolerance: TOLERANCE.elementwise,
}));
testKernel(concat, 'concat', joined);
testVariant(concat, 'concat', 'vec4', joined);

const parted = shapes.map(([na, nb]) => ({
  title: `na=${na} nb=${nb}`,
  params: { na, nb },
  inputs: (r: Random) => ({ dy: r.normals(na + nb) }),
  tolerance: TOLERANCE.elementwise,
}));
testKernel(concat, 'split', parted);
testVariant(concat, 'split', 'vec4', parted);
