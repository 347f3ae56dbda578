/**
 * y[n,c] = w[c] x[n,c] rstd[n], rstd[n] = 1 / sqrt(mean_c x[n,c]^2 + eps). x, y (N, C); w (C).
 * x may hold several rows side by side, (M, H * C) with N = M * H: the per-head norms of queries and keys. y has x's shape.
 * Saves rstd (N); backward reads x again: dx assigned or added, dw += .
 */
import { rmsnorm as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import { describe, expectTensor, sizeOf, type Tensor } from '../tensor.ts';

export function rmsnorm(ctx: Context, x: Tensor, weight: Parameter, eps: number): Tensor {
  const [cols] = weight.shape;
  expectTensor('rmsnorm', 'x', x, [-1, -1]);
  const rows = sizeOf(x.shape) / cols;
  if (x.shape[1] % cols !== 0) throw new Error(`rmsnorm: expected x (any, a multiple of ${cols}), got ${describe(x)}`);
  const y = ctx.tensor(x.shape);
  const rstd = ctx.tensor([rows]);
  ctx.run(spec, 'rmsnorm_fwd', [y, rstd, x, weight.value], { rows, cols, eps });
  ctx.record([y], [rstd], (tape) => {
    const dy = tape.grad(y);
    const into = tape.gradInto(x);
    if (into) ctx.run(spec, 'rmsnorm_bwd_dx', [into.dx, dy, x, weight.value, rstd], { rows, cols, accumulate: into.accumulate });
    if (weight.grad) ctx.run(spec, 'rmsnorm_bwd_dweight', [weight.grad, dy, x, rstd], { rows, cols });
  });
  return y;
}
