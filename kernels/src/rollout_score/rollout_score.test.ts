/**
 * Plan. Against the oracle on every backend: sizes on both sides of the workgroup size 64, 1 to 3 words of features, a mix of unparsable
 * answers, certain answers (0 and 1), exactly 0.5 and unknown names. By hand, from the formula of the paper: one right answer, one wrong,
 * one unparsable, empty sets, and a stuffed list, which must not pay.
 */
import { launchWasm } from '@eagrl/kernels';
import { assertClose, type Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { rolloutScore } from './rollout_score.ts';

const paper = { weight_classification: 0.6, weight_attention: 0.4, beta: 0.5, floor: 0.01 };

testKernel(
  rolloutScore,
  'rollout_score',
  [
    [16, 1],
    [1, 3],
    [63, 3],
    [64, 2],
    [65, 1],
  ].map(([n, words]) => ({
    title: `n=${n} words=${words}`,
    params: { n, words, ...paper },
    inputs: (r: Random) => ({
      answers: Float32Array.from({ length: 2 * n }, (_, i) => (i % 2 ? r.int(3) : [-1, 0, 1, 0.5, r.next(), r.next()][r.int(6)])),
      labels: Float32Array.from(r.ints(n, 2)),
      named: Uint32Array.from({ length: n * words }, () => r.int(2 ** 32) & r.int(2 ** 32)),
      expert: Uint32Array.from({ length: n * words }, () => r.int(2 ** 32) & r.int(2 ** 32) & r.int(2 ** 32)),
    }),
    tolerance: TOLERANCE.transcendental,
  })),
);

test('rollout_score: values worked out by hand', () => {
  const answers = Float32Array.of(0.9, 0, 0.9, 0, -1, 0, 0.2, 0, 0.2, 4, 1, 0);
  const labels = Float32Array.of(1, 0, 1, 0, 0, 1);
  const named = Uint32Array.of(0b0110, 0b0110, 0b0110, 0, 0b0110, 0b0011);
  const expert = Uint32Array.of(0b0011, 0b0110, 0b0110, 0, 0b0110, 0b0011);
  const { scores } = launchWasm(rolloutScore, 'rollout_score', { answers, labels, named, expert }, { n: 6, words: 1, ...paper });
  const want = [
    [Math.log(0.9) + 0.5 * 0.4, 1 / 3, 1],
    [Math.log(0.1), 1, 1],
    [Math.log(0.01), 0, 0],
    [Math.log(0.8) + 0.5 * 0.3, 0, 1],
    [Math.log(0.8) + 0.5 * 0.3, 2 / 6, 1],
    [Math.log(0.99) + 0.5 * 0.49, 1, 1],
  ].flatMap(([cls, att, parsed]) => [0.6 * cls + 0.4 * att, cls, att, parsed]);
  assertClose(scores, want, TOLERANCE.transcendental);
});
