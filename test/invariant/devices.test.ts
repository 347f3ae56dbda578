/**
 * Plan: one SFT step and one RL step from the same state on wasm and on WebGPU against the f64 reference, and against each other.
 *   loss: 1e-5 relative; gradient of each parameter: 1e-4 relative RMS; weights after the optimiser step
 *   RL: ratios off 1 on both sides, both clips acting, KL, fixed rollouts, packs of at most 24 tokens
 * A key's bias shifts all scores of a row alike: its gradient is 0 but for rounding, so it is held to the scale of the others.
 */
import { AdamW, type DeviceName, type PromptGroup } from '@eagrl/runtime';
import { assertClose, Random, relRms } from '@eagrl/testing';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Policy } from '../../trainer/src/policy.ts';
import { completionLogprobs } from '../../trainer/src/train/logprobs.ts';
import { rlGradients } from '../../trainer/src/train/rl_step.ts';
import { sftGradients } from '../../trainer/src/train/sft_step.ts';
import { tinyPolicy, VOCAB } from './tiny_policy.ts';

const MAX_TOKENS = 24;
const random = new Random('devices agree');
const tokens = (n: number): Uint32Array => random.ints(n, VOCAB);
const groups: readonly PromptGroup[] = [
  { prompt: tokens(7), completions: [tokens(5), tokens(1), tokens(9)] },
  { prompt: tokens(3), completions: [tokens(12), tokens(4), tokens(2)] },
  { prompt: tokens(11), completions: [tokens(6), tokens(8), tokens(3)] },
];
/** Log-probs move by about 0.3: ratios from 0.5 to 2, clipped on both sides. */
const noise = groups.flatMap((g) => g.completions.map((c) => random.normals(c.length, 0.3)));
const advantages = random.normals(9).map((a) => a - 0.4);
const clipHigh = random.uniforms(9, 0.2, 0.4);

interface Outcome {
  readonly loss: number;
  readonly clipShares: readonly number[];
  readonly grads: ReadonlyMap<string, Float32Array>;
  readonly weights: ReadonlyMap<string, Float32Array>;
}

type Stage = 'sft' | 'rl';
type Loss = { readonly loss: number; readonly clipLowRatio?: number; readonly clipHighRatio?: number };
let oldLogprobs: Float32Array[];
let refLogprobs: Float32Array[];

const gradients: Record<Stage, (policy: Policy) => Promise<Loss>> = {
  sft: (policy) => sftGradients(policy, groups, { maxTokens: MAX_TOKENS }),
  rl: (policy) =>
    rlGradients(
      policy,
      { groups, oldLogprobs, refLogprobs, advantages, clipHigh },
      { learningRate: 0, clipLow: 0.2, klBeta: 0.05, lossType: 'dapo', temperature: 0.8, maxTokens: MAX_TOKENS },
    ),
};

async function step(device: DeviceName, stage: Stage): Promise<Outcome> {
  const policy = await tinyPolicy(device);
  const { params } = policy.model;
  const optimizer = new AdamW(params, { maxGradNorm: 1, weightDecay: 0.01 });
  const { loss, clipLowRatio = 0, clipHighRatio = 0 } = await gradients[stage](policy);
  const grads = await params.readGrads();
  await optimizer.step({ lr: 1e-4 }).gradNorm();
  return { loss, clipShares: [clipLowRatio, clipHighRatio], grads, weights: await params.read() };
}

beforeAll(async () => {
  const reference = await tinyPolicy('reference');
  const exact = await completionLogprobs(reference, groups, { temperature: 0.8, maxTokens: 1000 });
  oldLogprobs = exact.map((row, c) => row.map((v, i) => v + noise[c][i]));
  refLogprobs = exact.map((row, c) => row.map((v, i) => v - 0.5 * noise[c][i]));
});

function expectAgreement(got: Outcome, want: Outcome): void {
  expect(Math.abs(got.loss / want.loss - 1), 'loss').toBeLessThan(1e-5);
  expect(got.clipShares).toEqual(want.clipShares);
  for (const [name, grad] of want.grads) {
    const own = got.grads.get(name) as Float32Array;
    const weights = got.weights.get(name) as Float32Array;
    if (name.endsWith('k_proj.bias')) {
      assertClose(own, grad, { rel: 0, abs: 1e-4, label: name });
      continue;
    }
    expect(relRms(own, grad), `gradient of ${name}`).toBeLessThan(1e-4);
    // Adam's first step is lr sign(g): where g is 0 but for rounding its sign is free, 2 lr = 2e-4 on weights of order 0.3.
    expect(relRms(weights, want.weights.get(name) as Float32Array), `weights of ${name}`).toBeLessThan(1e-4);
  }
}

describe.each(['sft', 'rl'] as const)('one %s step', (stage) => {
  const outcomes = new Map<DeviceName, Outcome>();
  beforeAll(async () => {
    for (const device of ['reference', 'wasm', 'webgpu-software'] as const) outcomes.set(device, await step(device, stage));
  }, 240_000);
  test.each([
    ['wasm', 'reference'],
    ['webgpu-software', 'reference'],
    ['webgpu-software', 'wasm'],
  ] as const)('%s agrees with %s', (got, want) => {
    expectAgreement(outcomes.get(got) as Outcome, outcomes.get(want) as Outcome);
  });
  test('the step is none that nothing acts in', () => {
    const { grads, clipShares } = outcomes.get('reference') as Outcome;
    for (const [name, grad] of grads) {
      if (!name.endsWith('k_proj.bias')) expect(Math.max(...grad.map(Math.abs)), name).toBeGreaterThan(1e-4);
    }
    if (stage === 'rl') for (const share of clipShares) expect(share).toBeGreaterThan(0);
  });
});
