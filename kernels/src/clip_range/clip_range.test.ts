/**
 * Plan. Against the oracle on every backend; number of rollouts on both sides of the SIMD width 4 and of the workgroup size 64;
 * ragged lengths. Hostile: rollouts without feature tokens (mean over all their tokens), without tokens (0), equal entropies
 * (range below 1e-6), one outlier. By hand: the paper's formula on three rollouts, and e_min for a narrow range.
 */
import { launchRef } from '@eagrl/kernels';
import { assertClose, type KernelCase, type Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { clipRange } from './clip_range.ts';

const range = { epsilon_high_min: 0.2, epsilon_high_max: 0.4 };

/** Rollouts of the given lengths; every fourth one has no feature token. */
function rollouts(r: Random, lengths: number[], entropyOf: (r: Random) => number = (q) => 2 * q.next()) {
  const row_start = new Uint32Array(lengths.length + 1);
  lengths.forEach((len, i) => {
    row_start[i + 1] = row_start[i] + len;
  });
  const n = row_start[lengths.length];
  const entropy = Float32Array.from({ length: n }, () => entropyOf(r));
  const feature_mask = new Uint32Array(n);
  lengths.forEach((_, i) => {
    for (let at = row_start[i]; at < row_start[i + 1]; at++) feature_mask[at] = i % 4 === 3 ? 0 : Number(r.next() < 0.3);
  });
  return { entropy, feature_mask, row_start };
}

const sum = (lengths: number[]) => lengths.reduce((s, v) => s + v, 0);
const ragged = [2, 3, 4, 5, 63, 64, 65, 130, 1030].map((num_rollouts) =>
  Array.from({ length: num_rollouts }, (_, i) => 1 + ((i * 37) % 41)),
);

const cases: KernelCase[] = [
  ...ragged.map((lengths) => ({
    title: `num_rollouts=${lengths.length}`,
    params: { num_rollouts: lengths.length, n: sum(lengths), ...range },
    inputs: (r: Random) => rollouts(r, lengths),
    tolerance: TOLERANCE.reduction,
  })),
  {
    title: 'long rollouts',
    params: { num_rollouts: 3, n: 4099, ...range },
    inputs: (r: Random) => rollouts(r, [1000, 3001, 98]),
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'rollouts without tokens',
    params: { num_rollouts: 5, n: 12, ...range },
    inputs: (r: Random) => rollouts(r, [0, 5, 0, 7, 0]),
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'one rollout',
    params: { num_rollouts: 1, n: 9, ...range },
    inputs: (r: Random) => rollouts(r, [9]),
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'equal entropies',
    params: { num_rollouts: 6, n: 42, ...range },
    inputs: (r: Random) => rollouts(r, [7, 7, 7, 7, 7, 7], () => 0.5),
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'one outlier',
    params: { num_rollouts: 6, n: 42, ...range },
    inputs: (r: Random) => rollouts(r, [7, 7, 7, 7, 7, 7], (q) => (q.next() < 0.05 ? 1e4 : q.next())),
    tolerance: TOLERANCE.reduction,
  },
];
testKernel(clipRange, 'clip_range', cases);
testVariant(clipRange, 'clip_range', 'lanes', cases);

test('clip_range by hand', () => {
  const run = (entropy: number[], feature_mask: number[]) =>
    launchRef(
      clipRange,
      'clip_range',
      {
        entropy: Float32Array.from(entropy),
        feature_mask: Uint32Array.from(feature_mask),
        row_start: Uint32Array.of(0, 2, 4, 6),
      },
      { num_rollouts: 3, n: 6, ...range },
    );
  // Feature tokens: {1}, {2, 4}, and none in the third, whose mean is over all: H = 1, 3, 2.
  const { clip_high, feature_entropy, range: h } = run([1, 9, 2, 4, 1, 3], [1, 0, 1, 1, 0, 0]);
  assertClose(feature_entropy, [1, 3, 2], TOLERANCE.elementwise);
  assertClose(h, [1, 3], TOLERANCE.elementwise);
  assertClose(clip_high, [0.2, 0.4, 0.3], TOLERANCE.elementwise);
  assertClose(run([1, 1, 1, 1, 1, 1.0000005], [1, 1, 1, 1, 1, 1]).clip_high, [0.2, 0.2, 0.2], TOLERANCE.elementwise);
});
