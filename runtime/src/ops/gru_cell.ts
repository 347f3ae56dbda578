/**
 * One step of a GRU: h (R, D) from the step before, gi and gh (R, 3D) the products of input and state with their biases, gates r, z, n.
 * Formulas in kernels/src/gru_cell. Backward reads all three again and saves nothing.
 */
import { gruCell as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

export function gruCell(ctx: Context, gi: Tensor, gh: Tensor, h: Tensor): Tensor {
  expectTensor('gruCell', 'h', h, [-1, -1]);
  const [rows, hidden] = h.shape;
  expectTensor('gruCell', 'gi', gi, [rows, 3 * hidden]);
  expectTensor('gruCell', 'gh', gh, [rows, 3 * hidden]);
  const y = ctx.tensor(h.shape);
  ctx.run(spec, 'gru_cell_fwd', [y, gi, gh, h], { rows, hidden });
  const { tape } = ctx;
  tape?.record([y], [], () => {
    const [dgi, dgh, dh] = [ctx.tensor(gi.shape), ctx.tensor(gh.shape), ctx.tensor(h.shape)];
    ctx.run(spec, 'gru_cell_bwd', [dgi, dgh, dh, tape.grad(y), gi, gh, h], { rows, hidden });
    tape.give(gi, dgi);
    tape.give(gh, dgh);
    tape.give(h, dh);
  });
  return y;
}
