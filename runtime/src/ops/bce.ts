/**
 * Binary cross-entropy from logits, stable: losses[n] = weights[n] (max(z, 0) - z y + log(1 + e^-|z|)); probabilities = sigmoid z.
 * logits any shape of N elements; losses, probabilities (N). While a tape records, the gradient of the sum of losses is computed here
 * and given to the logits; the tape's backward needs no root for it.
 */
import { bce as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { sizeOf, type Tensor } from '../tensor.ts';

export function bceLogits(
  ctx: Context,
  logits: Tensor,
  labels: Float32Array,
  weights: Float32Array,
): { losses: Tensor; probabilities: Tensor } {
  const n = sizeOf(logits.shape);
  if (labels.length !== n || weights.length !== n) {
    throw new Error(`bceLogits: ${n} logits, ${labels.length} labels, ${weights.length} weights`);
  }
  const [y, w] = [ctx.from(labels), ctx.from(weights)];
  const [losses, probabilities] = [ctx.tensor([n]), ctx.tensor([n])];
  const dlogits = ctx.tensor(logits.shape);
  ctx.run(spec, 'bce_logits', [losses, dlogits, probabilities, logits, y, w], { n });
  ctx.free(y);
  ctx.free(w);
  const { tape } = ctx;
  if (tape) {
    tape.give(logits, dlogits);
    tape.record([losses, probabilities], [], () => {});
  } else {
    ctx.free(dlogits);
  }
  return { losses, probabilities };
}
