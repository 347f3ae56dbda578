/** y = silu(gate) up, silu(x) = x sigmoid(x), element by element. Saves nothing; backward reads gate and up again. */
import { swiglu as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, sizeOf, type Tensor } from '../tensor.ts';

export function swiglu(ctx: Context, gate: Tensor, up: Tensor): Tensor {
  expectTensor('swiglu', 'up', up, gate.shape);
  const n = sizeOf(gate.shape);
  const y = ctx.tensor(gate.shape);
  ctx.run(spec, 'swiglu_fwd', [y, gate, up], { n });
  ctx.record([y], [], (tape) => {
    const dgate = ctx.tensor(gate.shape);
    const dup = ctx.tensor(gate.shape);
    ctx.run(spec, 'swiglu_bwd', [dgate, dup, tape.grad(y), gate, up], { n });
    tape.give(gate, dgate);
    tape.give(up, dup);
  });
  return y;
}
