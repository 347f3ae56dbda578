/** y = a + b, same shapes. Backward hands dy to both without a copy. */
import { elementwise } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, sizeOf, type Tensor } from '../tensor.ts';

export function add(ctx: Context, a: Tensor, b: Tensor): Tensor {
  expectTensor('add', 'b', b, a.shape);
  const y = ctx.tensor(a.shape);
  ctx.run(elementwise, 'add', [y, a, b], { n: sizeOf(a.shape) });
  ctx.record([y], [], (tape) => {
    tape.share(a, y);
    tape.share(b, y);
  });
  return y;
}
