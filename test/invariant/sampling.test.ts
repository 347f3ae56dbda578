/**
 * Plan: log-probs stored while sampling are those that training recomputes before its first update, so that the ratio starts at 1.
 *   temperatures 1 and 0.7, on each device; two groups of four completions that share their prompt's cache; packs of at most 32 tokens
 * `sampling/sampling_logp_difference/max` of the log is this number.
 */

import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { rlGradients } from '../../trainer/src/train/rl_step.ts';
import { tinyPolicy, VOCAB } from './tiny_policy.ts';

const G = 4;

for (const device of ['reference', 'wasm', 'webgpu-software'] as const) {
  test.each([1, 0.7])(`${device}, temperature %d: sampled log-probs are those of training`, async (temperature) => {
    const policy = await tinyPolicy(device);
    const { engine } = policy;
    const random = new Random('sampling prompts');
    const prompts = [random.ints(9, VOCAB), random.ints(4, VOCAB)];
    const seqs = engine.open(prompts).flatMap((root) => [root, ...Array.from({ length: G - 1 }, () => engine.fork(root))]);
    const completions = await engine.sample(
      seqs.map((seq, stream) => ({ seq, maxTokens: 20, stopTokens: [0], seed: 5, stream })),
      { temperature },
    );
    const result = await rlGradients(
      policy,
      {
        groups: prompts.map((prompt, p) => ({ prompt, completions: completions.slice(p * G, (p + 1) * G).map((c) => c.tokens) })),
        oldLogprobs: completions.map((c) => c.logprobs),
        advantages: random.normals(completions.length),
        clipHigh: new Float32Array(completions.length).fill(0.2),
      },
      { learningRate: 0, clipLow: 0.2, klBeta: 0, lossType: 'dapo', temperature, maxTokens: 32 },
    );
    expect(result.numTargets).toBeGreaterThan(40);
    expect(result.logpDifferenceMax).toBeLessThan(1e-4);
    expect([result.clipLowRatio, result.clipHighRatio]).toEqual([0, 0]);
  });
}
