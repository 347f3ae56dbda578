/** y (M + N, C) = rows of a (M, C), then of b (N, C). Backward cuts dy in two. */
import { concat as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, sizeOf, type Tensor } from '../tensor.ts';

export function concatRows(ctx: Context, a: Tensor, b: Tensor): Tensor {
  const [rows, cols] = a.shape;
  expectTensor('concatRows', 'b', b, [-1, cols]);
  const params = { na: sizeOf(a.shape), nb: sizeOf(b.shape) };
  const y = ctx.tensor([rows + b.shape[0], cols]);
  ctx.run(spec, 'concat', [y, a, b], params);
  const { tape } = ctx;
  tape?.record([y], [], () => {
    const [da, db] = [ctx.tensor(a.shape), ctx.tensor(b.shape)];
    ctx.run(spec, 'split', [da, db, tape.grad(y)], params);
    tape.give(a, da);
    tape.give(b, db);
  });
  return y;
}
