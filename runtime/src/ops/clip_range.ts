/**
 * Entropy-aware upper clip (EAG-RL stage 2): rollouts whose feature tokens were drawn from flatter distributions get a wider clip,
 * linearly from `epsilonHighMin` at the lowest mean entropy of the batch to `epsilonHighMax` at the highest.
 */
import { clipRange as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

/**
 * entropy (N) f32 and featureMask (N) u32 over the tokens of all R rollouts, rowStart (R + 1) u32.
 * clipHigh and featureEntropy (R); range (2): lowest and highest featureEntropy.
 */
export function clipRange(
  ctx: Context,
  { entropy, featureMask, rowStart }: { entropy: Tensor; featureMask: Tensor; rowStart: Tensor },
  { epsilonHighMin, epsilonHighMax }: { epsilonHighMin: number; epsilonHighMax: number },
): { clipHigh: Tensor; featureEntropy: Tensor; range: Tensor } {
  const [n] = entropy.shape;
  const numRollouts = rowStart.shape[0] - 1;
  expectTensor('clipRange', 'entropy', entropy, [n]);
  expectTensor('clipRange', 'featureMask', featureMask, [n], 'u32');
  expectTensor('clipRange', 'rowStart', rowStart, [-1], 'u32');
  const clipHigh = ctx.tensor([numRollouts]);
  const featureEntropy = ctx.tensor([numRollouts]);
  const range = ctx.tensor([2]);
  ctx.run(spec, 'clip_range', [clipHigh, featureEntropy, range, entropy, featureMask, rowStart], {
    num_rollouts: numRollouts,
    n,
    epsilon_high_min: epsilonHighMin,
    epsilon_high_max: epsilonHighMax,
  });
  return { clipHigh, featureEntropy, range };
}
