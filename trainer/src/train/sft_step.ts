/**
 * One supervised step: negative log-likelihood of the completion tokens given their prompts, mean over the target tokens of the whole
 * optimiser step, so that cutting the batch into packs changes nothing.
 */
import { type AdamW, lmHeadCrossEntropy, type PromptGroup, splitPacks, streamOf, Tape } from '@eagrl/runtime';
import type { Policy } from '../policy.ts';

export interface SftStepOptions {
  readonly learningRate: number;
  /** Tokens of one forward and backward pass. */
  readonly maxTokens: number;
  /** What an adapter's dropout draws in each pass of this step; without it nothing is dropped. */
  readonly dropout?: { readonly seed: number; readonly step: number };
}

export interface SftStepResult {
  readonly loss: number;
  readonly gradNorm: number;
  /** Tokens the model read, prompts included. */
  readonly numTokens: number;
  readonly numTargets: number;
}

/** Gradients of the mean loss over the completion tokens of `batch` (prompts are conditioned on, not learnt), left in the policy's gradient arena; returns the loss. */
export async function sftGradients(
  policy: Policy,
  batch: readonly PromptGroup[],
  { maxTokens, dropout }: Pick<SftStepOptions, 'maxTokens' | 'dropout'>,
): Promise<Omit<SftStepResult, 'gradNorm'>> {
  const { ctx, model } = policy;
  const numTargets = batch.reduce((n, g) => n + g.completions.reduce((m, c) => m + c.length, 0), 0);
  if (numTargets === 0) throw new Error('sft: the batch has no target token; every completion is empty');
  model.trainable.zeroGrad();
  const losses: Promise<Float32Array>[] = [];
  let numTokens = 0;
  for (const [i, pack] of splitPacks(batch, maxTokens).entries()) {
    numTokens += pack.ids.length;
    const draw = dropout && { seed: dropout.seed, stream: streamOf(`dropout ${dropout.step} ${i}`) };
    const tape = new Tape(ctx);
    ctx.scope(() => {
      const hidden = model.forward(pack, draw);
      const weights = new Float32Array(pack.targets.length).fill(1 / numTargets);
      losses.push(ctx.read(lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, weights)));
      tape.backward();
    });
  }
  const sums = (await Promise.all(losses)).map((l) => l.reduce((a, b) => a + b, 0));
  return { loss: sums.reduce((a, b) => a + b, 0), numTokens, numTargets };
}

/** One optimiser step on `batch`. */
export async function sftStep(
  policy: Policy,
  optimizer: AdamW,
  batch: readonly PromptGroup[],
  options: SftStepOptions,
): Promise<SftStepResult> {
  const result = await sftGradients(policy, batch, options);
  const gradNorm = await optimizer.step({ lr: options.learningRate }).gradNorm();
  return { ...result, gradNorm };
}
