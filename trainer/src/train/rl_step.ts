/**
 * One policy-optimisation step on a mini-batch of rollouts:
 *
 *   J = mean_{i,t} min( r_it A_i, clip(r_it, 1 - eps_low, 1 + eps_high(tau_i)) A_i ),   r_it = pi_theta / pi_old per token
 *
 * Paper: EAG-RL, Stage 2. `dapo` is the mean over all tokens of the mini-batch, `grpo` the mean over completions of their token means.
 */
import { type AdamW, clippedRatio, lmHeadLogprobs, type PromptGroup, packTokens, splitPacks, Tape } from '@eagrl/runtime';
import type { Policy } from '../policy.ts';

/** Rollouts of whole groups; per-completion columns count over all groups in order. */
export interface RlBatch {
  readonly groups: readonly PromptGroup[];
  /** Log-probs at sampling time, one array per completion. */
  readonly oldLogprobs: readonly Float32Array[];
  /** Of the frozen reference; only read when klBeta > 0. */
  readonly refLogprobs?: readonly Float32Array[];
  readonly advantages: Float32Array;
  /** eps_high of each rollout. */
  readonly clipHigh: Float32Array;
}

export interface RlStepOptions {
  readonly learningRate: number;
  readonly clipLow: number;
  readonly klBeta: number;
  readonly lossType: 'dapo' | 'grpo';
  readonly temperature: number;
  readonly maxTokens: number;
}

export interface RlStepResult {
  /** Policy loss + klBeta KL, both weighted as the loss type says. */
  readonly loss: number;
  readonly policyLoss: number;
  /** Mean over the completion tokens; null without a reference. */
  readonly kl: number | null;
  readonly gradNorm: number;
  readonly numTokens: number;
  readonly numTargets: number;
  /** Shares of completion tokens. */
  readonly clipLowRatio: number;
  readonly clipHighRatio: number;
  /** |log pi_theta - log pi_old| over the completion tokens. */
  readonly logpDifferenceMean: number;
  readonly logpDifferenceMax: number;
}

/** Loss weight of each completion's tokens. */
function tokenWeights(groups: readonly PromptGroup[], lossType: RlStepOptions['lossType']): number[] {
  const lengths = groups.flatMap((g) => g.completions.map((c) => c.length));
  const total = lengths.reduce((a, b) => a + b, 0);
  return lengths.map((n) => (lossType === 'dapo' ? 1 / total : 1 / (lengths.length * Math.max(1, n))));
}

/** Gradients of the loss of `batch`, left in the policy's gradient arena; returns loss and statistics. */
export async function rlGradients(policy: Policy, batch: RlBatch, options: RlStepOptions): Promise<Omit<RlStepResult, 'gradNorm'>> {
  const { ctx, model } = policy;
  const perCompletion = tokenWeights(batch.groups, options.lossType);
  const table = new Float32Array(batch.advantages.length * 2);
  batch.advantages.forEach((a, i) => {
    table[2 * i] = a;
    table[2 * i + 1] = batch.clipHigh[i];
  });
  if (options.klBeta > 0 && !batch.refLogprobs) throw new Error('rl: klBeta above 0 needs refLogprobs, got none');
  model.trainable.zeroGrad();
  const stats: Promise<Float32Array>[] = [];
  const withoutKl: Promise<Float32Array>[] = [];
  let numTokens = 0;
  let numTargets = 0;
  for (const pack of splitPacks(batch.groups, options.maxTokens)) {
    numTokens += pack.ids.length;
    numTargets += pack.targets.length;
    const tape = new Tape(ctx);
    ctx.scope(() => {
      const hidden = model.forward(pack);
      const { logprobs } = lmHeadLogprobs(ctx, hidden, model.headWeight, pack.targets, { temperature: options.temperature });
      const old = ctx.from(packTokens(pack, batch.oldLogprobs));
      const inputs = {
        logprobs,
        oldLogprobs: old,
        refLogprobs: batch.refLogprobs ? ctx.from(packTokens(pack, batch.refLogprobs)) : old,
        rollout: ctx.from(pack.completionOf),
        weights: ctx.from(Float32Array.from(pack.completionOf, (c) => perCompletion[c])),
        table: ctx.from(table, [batch.advantages.length, 2]),
      };
      const result = clippedRatio(ctx, inputs, options);
      if (options.klBeta > 0) withoutKl.push(ctx.read(clippedRatio(ctx, inputs, { ...options, klBeta: 0 }).stats));
      stats.push(ctx.read(result.stats));
      tape.backward(logprobs, result.dlogprobs);
    });
  }
  const { kl, ...summary } = summarise(await Promise.all(stats));
  const policyLoss = options.klBeta > 0 ? summarise(await Promise.all(withoutKl)).loss : summary.loss;
  return { ...summary, policyLoss, kl: batch.refLogprobs ? kl : null, numTokens, numTargets };
}

/** Sums over packs of what kernels/src/clipped_ratio gives per pack; shares are of completion tokens. */
function summarise(packs: readonly Float32Array[]) {
  const sum = (i: number) => packs.reduce((total, stats) => total + stats[i], 0);
  const perToken = 1 / Math.max(1, sum(6));
  return {
    loss: sum(0),
    kl: sum(1) * perToken,
    clipLowRatio: sum(2) * perToken,
    clipHighRatio: sum(3) * perToken,
    logpDifferenceMean: sum(5) * perToken,
    logpDifferenceMax: Math.max(...packs.map((stats) => stats[7])),
  };
}

/** One optimiser step on a mini-batch. */
export async function rlStep(policy: Policy, optimizer: AdamW, batch: RlBatch, options: RlStepOptions): Promise<RlStepResult> {
  const result = await rlGradients(policy, batch, options);
  const gradNorm = await optimizer.step({ lr: options.learningRate }).gradNorm();
  return { ...result, gradNorm };
}
