/** y = x / (1 - rate) where the mask of (seed, stream) is 1, else 0. Backward draws the same mask again, dx assigned or added; nothing is saved. */
import { dropout as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { sizeOf, type Tensor } from '../tensor.ts';

export interface DropoutOptions {
  /** Share of elements dropped, 0 <= rate < 1. */
  readonly rate: number;
  readonly seed: number;
  /** Another stream, another mask: count it up from step to step. */
  readonly stream: number;
}

export function dropout(ctx: Context, x: Tensor, { rate, seed, stream }: DropoutOptions): Tensor {
  if (!(rate >= 0 && rate < 1)) throw new Error(`dropout: rate must be in [0, 1), got ${rate}`);
  const params = { n: sizeOf(x.shape), rate, seed, stream };
  const y = ctx.tensor(x.shape);
  ctx.run(spec, 'dropout_fwd', [y, x], { ...params, accumulate: 0 });
  ctx.record([y], [], (tape) => {
    const into = tape.gradInto(x);
    if (into) ctx.run(spec, 'dropout_fwd', [into.dx, tape.grad(y)], { ...params, accumulate: into.accumulate });
  });
  return y;
}
