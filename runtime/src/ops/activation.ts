/** y = tanh x and y = max(x, 0), any shape. Backward reads y: dx = dy (1 - y^2); dx = dy where y > 0. */
import { activation as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { sizeOf, type Tensor } from '../tensor.ts';

export const tanh = (ctx: Context, x: Tensor): Tensor => activate(ctx, 'tanh', x);
export const relu = (ctx: Context, x: Tensor): Tensor => activate(ctx, 'relu', x);

function activate(ctx: Context, name: 'tanh' | 'relu', x: Tensor): Tensor {
  const n = sizeOf(x.shape);
  const y = ctx.tensor(x.shape);
  ctx.run(spec, `${name}_fwd`, [y, x], { n });
  const { tape } = ctx;
  tape?.record([y], [], () => {
    const dx = ctx.tensor(x.shape);
    ctx.run(spec, `${name}_bwd`, [dx, tape.grad(y), y], { n });
    tape.give(x, dx);
  });
  return y;
}
