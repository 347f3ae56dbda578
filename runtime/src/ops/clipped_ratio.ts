/**
 * Clipped-ratio policy loss with an upper clip per rollout (EAG-RL stage 2; PPO's ratio, arXiv 1707.06347).
 * Not on the tape: gives dlogprobs (N), which seeds `tape.backward(logprobs, dlogprobs)`, and 8 statistics.
 */
import { clippedRatio as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

export interface ClippedRatioInputs {
  /** (N) per token: log-probabilities now, at sampling time, of the frozen model; the rollout; the token's weight in the loss. */
  readonly logprobs: Tensor;
  readonly oldLogprobs: Tensor;
  /** Read only when klBeta is above 0; pass oldLogprobs otherwise. */
  readonly refLogprobs: Tensor;
  readonly rollout: Tensor;
  readonly weights: Tensor;
  /** (numRollouts, 2): advantage and upper clip epsilon. */
  readonly table: Tensor;
}

/** Tokens per row of partial sums: kernels/src/clipped_ratio. */
const BLOCK = 256;

/** stats (8): sums over tokens of [loss, kl, low clipped, high clipped, ratio, |logp - old|, tokens], then max |logp - old|. */
export function clippedRatio(
  ctx: Context,
  { logprobs, oldLogprobs, refLogprobs, rollout, weights, table }: ClippedRatioInputs,
  { clipLow, klBeta = 0 }: { clipLow: number; klBeta?: number },
): { dlogprobs: Tensor; stats: Tensor } {
  const [n] = logprobs.shape;
  const op = 'clippedRatio';
  expectTensor(op, 'logprobs', logprobs, [n]);
  expectTensor(op, 'oldLogprobs', oldLogprobs, [n]);
  expectTensor(op, 'refLogprobs', refLogprobs, [n]);
  expectTensor(op, 'rollout', rollout, [n], 'u32');
  expectTensor(op, 'weights', weights, [n]);
  expectTensor(op, 'table', table, [-1, 2]);
  const blocks = Math.ceil(n / BLOCK);
  const dlogprobs = ctx.tensor([n]);
  const partials = ctx.tensor([blocks, 8]);
  const stats = ctx.tensor([8]);
  ctx.run(spec, 'clipped_ratio', [dlogprobs, partials, logprobs, oldLogprobs, refLogprobs, rollout, table, weights], {
    n,
    num_rollouts: table.shape[0],
    clip_low: clipLow,
    kl_beta: klBeta,
  });
  ctx.run(spec, 'clipped_ratio_reduce', [stats, partials], { blocks });
  ctx.free(partials);
  return { dlogprobs, stats };
}
