/**
 * Plan: policy loss and advantages against TRL's own GRPOTrainer code (grpo_loss.py), on every device that needs no GPU.
 *   given log-probs: 8 rollouts of 1 to 80 tokens, 300 in all (two blocks of the kernel); GRPO and DAPO, with and without KL, one upper
 *     clip for all and one per rollout; loss, gradient with respect to the log-probs, clip shares, KL
 *   through a model: rlGradients, the trainer's own step, on the tiny Qwen2 of transformer.py at temperature 0.9, cut into packs of at
 *     most 16 tokens; loss with and without its KL, clip shares, KL, gradient of every parameter
 *   advantages: groups of four, one of equal rewards
 * Tolerances. Given log-probs: those of transcendental functions per gradient and of a reduction for sums (test/lib). Through the model:
 * 1e-4 relative, as in transformer.test.ts. Clip shares count tokens and are equal; the generator keeps ratios off the edges.
 * Advantages: f64 rounded to f32 once, 2^-24.
 */
import { readFileSync } from 'node:fs';
import { Context, clippedRatio, loadParams, openDevice, parseSafetensors, parseTransformerConfig, Transformer } from '@eagrl/runtime';
import { assertClose, relRms, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Policy } from '../../trainer/src/policy.ts';
import { groupAdvantages } from '../../trainer/src/rewards/advantages.ts';
import { rlGradients } from '../../trainer/src/train/rl_step.ts';

interface Case {
  name: string;
  loss_type: 'grpo' | 'dapo';
  beta: number;
  epsilon_low: number;
  /** null: one per rollout, `clip_high`. */
  epsilon_high: number | null;
  loss: number;
  clip_low: number;
  clip_high: number;
  kl: number | null;
}
interface Columns {
  advantages: number[];
  clip_high: number[];
  old_logprobs: number[][];
  ref_logprobs: number[][];
}
interface Golden {
  advantages: { num_generations: number; rewards: number[]; scaled: number[]; unscaled: number[] };
  tokens: Columns & { logprobs: number[][] };
  outcomes: (Case & { dlogprobs: number[][] })[];
  step: Columns & { temperature: number };
  steps: (Case & { gradients: string })[];
}

const at = (file: string) => new URL(file, import.meta.url);
const golden: Golden = JSON.parse(readFileSync(at('grpo_loss.json'), 'utf8'));
const tinyQwen2 = JSON.parse(readFileSync(at('transformer.json'), 'utf8')).models[0] as {
  config: object;
  groups: { prompt: number[]; completions: number[][] }[];
};

const THROUGH_MODEL = { rel: 1e-4, abs: 0 };
const clipHighOf = (c: Case, columns: Columns): number[] => columns.clip_high.map((own) => c.epsilon_high ?? own);

describe('advantages', () => {
  const { num_generations, rewards, scaled, unscaled } = golden.advantages;
  test.each([
    ['scaled by the group', true, scaled],
    ['not scaled', false, unscaled],
  ] as const)('%s', (_, scale, want) => {
    assertClose(groupAdvantages(rewards, num_generations, scale), want, { rel: 2 ** -24, abs: 0 });
  });
});

describe.each(['wasm', 'webgpu-software', 'reference'] as const)('%s', (device) => {
  let ctx: Context;
  beforeAll(async () => {
    ctx = new Context(await openDevice({ device, threads: 2 }));
  });
  afterAll(() => ctx.backend.destroy());

  test.each(golden.outcomes)('given log-probs: $name', async (want) => {
    const { tokens } = golden;
    const lengths = tokens.logprobs.map((l) => l.length);
    const total = lengths.reduce((a, b) => a + b, 0);
    const perToken = (of: (rollout: number) => number) => lengths.flatMap((n, r) => new Array<number>(n).fill(of(r)));
    const upload = (values: readonly number[]) => ctx.from(Float32Array.from(values));
    const clipHigh = clipHighOf(want, tokens);
    const [dlogprobs, stats] = await ctx.scope(() => {
      const inputs = {
        logprobs: upload(tokens.logprobs.flat()),
        oldLogprobs: upload(tokens.old_logprobs.flat()),
        refLogprobs: upload(tokens.ref_logprobs.flat()),
        rollout: ctx.from(Uint32Array.from(perToken((r) => r))),
        weights: upload(perToken((r) => (want.loss_type === 'dapo' ? 1 / total : 1 / (lengths.length * lengths[r])))),
        table: ctx.from(Float32Array.from(tokens.advantages.flatMap((a, r) => [a, clipHigh[r]])), [lengths.length, 2]),
      };
      const out = clippedRatio(ctx, inputs, { clipLow: want.epsilon_low, klBeta: want.beta });
      return Promise.all([ctx.read(out.dlogprobs), ctx.read(out.stats)]);
    });
    // Gradients are of the size of a weight, so the floor is the table's scaled by the mean weight.
    assertClose(dlogprobs, want.dlogprobs.flat(), {
      rel: TOLERANCE.transcendental.rel,
      abs: TOLERANCE.transcendental.abs / total,
      label: 'dlogprobs',
    });
    assertClose([stats[0]], [want.loss], { ...TOLERANCE.reduction, label: 'loss' });
    expect(stats[6]).toBe(total);
    expect(stats[2] / total, 'clip low').toBe(want.clip_low);
    expect(stats[3] / total, 'clip high').toBe(want.clip_high);
    if (want.kl !== null) assertClose([stats[1] / total], [want.kl], { ...TOLERANCE.reduction, label: 'kl' });
  });

  test.each(golden.steps)('through a model: $name', async (want) => {
    const model = new Transformer(ctx, parseTransformerConfig(tinyQwen2.config));
    const file = parseSafetensors(readFileSync(at('transformer_qwen2.safetensors')));
    loadParams(model.params, new Map([...file.tensors].filter(([name]) => model.params.has(name))));
    model.params.enableGrad();
    const { step } = golden;
    const batch = {
      groups: tinyQwen2.groups.map(({ prompt, completions }) => ({
        prompt: Uint32Array.from(prompt),
        completions: completions.map((c) => Uint32Array.from(c)),
      })),
      oldLogprobs: step.old_logprobs.map((l) => Float32Array.from(l)),
      refLogprobs: step.ref_logprobs.map((l) => Float32Array.from(l)),
      advantages: Float32Array.from(step.advantages),
      clipHigh: Float32Array.from(clipHighOf(want, step)),
    };
    // rlGradients reads ctx and model of a policy and nothing else.
    const options = {
      learningRate: 0,
      clipLow: want.epsilon_low,
      klBeta: want.beta,
      lossType: want.loss_type,
      temperature: step.temperature,
      maxTokens: 16,
    };
    const result = await rlGradients({ ctx, model } as Policy, batch, options);
    assertClose([result.loss, result.kl as number], [want.loss, want.kl as number], { ...THROUGH_MODEL, label: 'loss, kl' });
    assertClose([result.clipLowRatio, result.clipHighRatio], [want.clip_low, want.clip_high], { rel: 1e-12, abs: 0, label: 'clip shares' });
    const { tensors } = parseSafetensors(readFileSync(at(want.gradients)));
    const grads = await model.params.readGrads();
    expect([...grads.keys()].sort()).toEqual([...tensors.keys()].sort());
    for (const [name, got] of grads) {
      const expected = tensors.get(name)?.read() ?? [];
      expect(got.length, name).toBe(expected.length);
      expect(relRms(got, expected), name).toBeLessThan(THROUGH_MODEL.rel);
    }
    // The policy loss is the loss without its KL, weighted as the loss type says.
    const { loss } = await rlGradients({ ctx, model } as Policy, batch, { ...options, klBeta: 0 });
    expect(result.policyLoss).toBe(loss);
    expect(result.loss).not.toBe(loss);
    model.destroy();
  });
});
