/** y = x g, g = sigmoid(z), same shapes. Saves g and reads x again: dx = dy g; dz = dy x g (1 - g). */
import { gate as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, sizeOf, type Tensor } from '../tensor.ts';

export function gate(ctx: Context, x: Tensor, z: Tensor): Tensor {
  expectTensor('gate', 'z', z, x.shape);
  const n = sizeOf(x.shape);
  const [y, g] = [ctx.tensor(x.shape), ctx.tensor(x.shape)];
  ctx.run(spec, 'gate_fwd', [y, g, x, z], { n });
  ctx.record([y], [g], (tape) => {
    const [dx, dz] = [ctx.tensor(x.shape), ctx.tensor(x.shape)];
    ctx.run(spec, 'gate_bwd', [dx, dz, tape.grad(y), x, g], { n });
    tape.give(x, dx);
    tape.give(z, dz);
  });
  return y;
}
