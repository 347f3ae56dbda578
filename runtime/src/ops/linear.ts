/**
 * y (N, O) = x (N, I) W^T + bias, W (O, I).
 * Backward: dx = dy W, assigned or added; dW += dy^T x; dbias += column sums of dy. Saves nothing; reads x again.
 */
import { bias as biasSpec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import { expectTensor, type Tensor } from '../tensor.ts';
import { matmul } from './matmul.ts';

export function linear(ctx: Context, x: Tensor, weight: Parameter, bias?: Parameter): Tensor {
  const [o, i] = weight.shape;
  expectTensor('linear', 'x', x, [-1, i]);
  const n = x.shape[0];
  const y = ctx.tensor([n, o]);
  matmul(ctx, 'nt', y, x, weight.value, { m: n, n: o, k: i, bias: bias?.value });
  ctx.record([y], [], (tape) => {
    const dy = tape.grad(y);
    const into = tape.gradInto(x);
    if (into) matmul(ctx, 'nn', into.dx, dy, weight.value, { m: n, n: i, k: o, accumulate: into.accumulate });
    if (weight.grad) matmul(ctx, 'tn', weight.grad, dy, x, { m: o, n: i, k: n, accumulate: 1 });
    if (bias?.grad) ctx.run(biasSpec, 'bias_bwd', [bias.grad, dy], { rows: n, cols: o });
  });
  return y;
}
