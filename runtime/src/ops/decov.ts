/**
 * DeCov (Cogswell et al. 2016, arXiv 1511.06068) per token: losses[s] = 1/2 (||C||_F^2 - ||diag C||^2), C = xc^T xc / (B - 1) the
 * covariance of the channels of x[s] over the batch. x (S B, D), token-major. A batch of one has no covariance: loss and gradient are 0.
 */
import { decov as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';
import { matmul } from './matmul.ts';

/**
 * losses (S), unweighted. While a tape records, weight times the gradient of their sum, weight 2 / (B - 1) xc Co (Co: C without its
 * diagonal), is computed here and given to x; the tape's backward needs no root for it.
 */
export function decov(ctx: Context, x: Tensor, { batch, weight }: { readonly batch: number; readonly weight: number }): Tensor {
  expectTensor('decov', 'x', x, [-1, -1]);
  const [rows, channels] = x.shape;
  const tokens = rows / batch;
  const scale = batch > 1 ? 1 / (batch - 1) : 0;
  const xc = ctx.tensor(x.shape);
  ctx.run(spec, 'decov_center', [xc, x], { tokens, batch, channels });
  const cov = ctx.tensor([tokens, channels, channels]);
  const strides = { strideA: batch * channels, batch: tokens };
  const square = channels * channels;
  matmul(ctx, 'tn', cov, xc, xc, {
    ...strides,
    m: channels,
    n: channels,
    k: batch,
    strideB: batch * channels,
    strideC: square,
    alpha: scale,
  });
  const losses = ctx.tensor([tokens]);
  ctx.run(spec, 'decov_loss', [losses, cov], { tokens, channels });
  const { tape } = ctx;
  const into = tape?.gradInto(x);
  if (into) {
    const shape = { m: batch, n: channels, k: channels, strideB: square, strideC: batch * channels };
    matmul(ctx, 'nn', into.dx, xc, cov, { ...strides, ...shape, alpha: 2 * weight * scale, accumulate: into.accumulate });
  }
  ctx.free(xc);
  ctx.free(cov);
  tape?.record([losses], [], () => {});
  return losses;
}
