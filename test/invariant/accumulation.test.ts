/**
 * Plan: how a batch is cut into packs leaves loss and gradients as they are, 1 x 8 = 8 x 1, for SFT and both RL losses.
 *   reference (f64): random batches and random budgets by fast-check, from one completion per pack to all in one, 1e-6
 *   wasm (f32): the same batch in 1 pack and in 8: few rows take other matmul paths, so sums come in another order
 * Losses are divided by what the whole optimiser step holds; dividing by each pack's own tokens fails here.
 */
import { type PromptGroup, splitPacks } from '@eagrl/runtime';
import { Random, relRms, TOLERANCE } from '@eagrl/testing';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Policy } from '../../trainer/src/policy.ts';
import { rlGradients } from '../../trainer/src/train/rl_step.ts';
import { sftGradients } from '../../trainer/src/train/sft_step.ts';
import { tinyPolicy, VOCAB } from './tiny_policy.ts';

interface Batch {
  readonly groups: readonly PromptGroup[];
  readonly oldLogprobs: readonly Float32Array[];
  readonly advantages: Float32Array;
  readonly clipHigh: Float32Array;
}

/** `lengths[g]`: prompt, then its completions. */
function batchOf(seed: number, lengths: readonly (readonly number[])[]): Batch {
  const random = new Random(seed);
  const groups = lengths.map(([prompt, ...completions]) => ({
    prompt: random.ints(prompt, VOCAB),
    completions: completions.map((n) => random.ints(n, VOCAB)),
  }));
  const completions = groups.flatMap((g) => g.completions);
  return {
    groups,
    oldLogprobs: completions.map((c) => random.uniforms(c.length, -5, -1)),
    advantages: random.normals(completions.length),
    clipHigh: random.uniforms(completions.length, 0.2, 0.4),
  };
}

const LOSSES = ['sft', 'dapo', 'grpo'] as const;
type Loss = (typeof LOSSES)[number];

async function outcome(policy: Policy, kind: Loss, batch: Batch, maxTokens: number) {
  const { loss } =
    kind === 'sft'
      ? await sftGradients(policy, batch.groups, { maxTokens })
      : await rlGradients(policy, batch, { learningRate: 0, clipLow: 0.2, klBeta: 0, lossType: kind, temperature: 1, maxTokens });
  return { loss, grads: await policy.model.params.readGrads() };
}

async function expectSame(policy: Policy, kind: Loss, batch: Batch, budgets: readonly [number, number], tolerance: number): Promise<void> {
  const [a, b] = [await outcome(policy, kind, batch, budgets[0]), await outcome(policy, kind, batch, budgets[1])];
  expect(Math.abs(a.loss - b.loss)).toBeLessThan(tolerance * Math.max(1, Math.abs(b.loss)));
  for (const [name, grad] of b.grads) {
    // The true gradient of a key's bias is 0: what is there is rounding.
    if (!name.endsWith('k_proj.bias')) expect(relRms(a.grads.get(name) as Float32Array, grad), name).toBeLessThan(tolerance);
  }
}

const total = ({ groups }: Batch): number =>
  groups.reduce((sum, g) => sum + g.completions.reduce((n, c) => n + c.length, g.prompt.length), 0);
/** The smallest budget there is: the longest prompt with one completion. */
const least = ({ groups }: Batch): number => Math.max(...groups.flatMap((g) => g.completions.map((c) => g.prompt.length + c.length)));

const lengths = fc.array(
  fc
    .tuple(fc.integer({ min: 1, max: 6 }), fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 3 }))
    .map(([p, c]) => [p, ...c]),
  { minLength: 1, maxLength: 3 },
);

describe.each(LOSSES)('%s', (kind) => {
  test('any partition gives the loss and gradients of the whole, reference', { timeout: 60_000 }, async () => {
    const policy = await tinyPolicy('reference');
    await fc.assert(
      fc.asyncProperty(fc.nat(), lengths, fc.double({ min: 0, max: 1, noNaN: true }), async (seed, shape, share) => {
        const batch = batchOf(seed, shape);
        const budget = Math.round(least(batch) + share * (total(batch) - least(batch)));
        await expectSame(policy, kind, batch, [budget, total(batch)], 1e-6);
      }),
      { numRuns: 8, seed: 1 },
    );
  });

  test('1 x 8 = 8 x 1, wasm', async () => {
    const batch = batchOf(
      8,
      Array.from({ length: 8 }, () => [9, 7]),
    );
    expect(splitPacks(batch.groups, 16)).toHaveLength(8);
    expect(splitPacks(batch.groups, 128)).toHaveLength(1);
    await expectSame(await tinyPolicy('wasm'), kind, batch, [16, 128], TOLERANCE.reduction.rel);
  });
});
