/**
 * One GRU (1 -> D) per feature over packed visits; formulas in kernels/src/gru. x (F, N), h (F, N, D).
 * Saves the gates (F, N, 4, D), which backward turns into their gradients in place; parameter gradients +=, none for x.
 */
import { gru as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

/** PyTorch's gate order r, z, n. */
export interface GruWeights {
  /** (F, 3D): the input is one number. */
  readonly weightIh: Parameter;
  /** (F, 3D, D). */
  readonly weightHh: Parameter;
  /** (F, 3D) each. */
  readonly biasIh: Parameter;
  readonly biasHh: Parameter;
}

/** `starts` (B + 1) u32 on the device: patient b owns visits starts[b] .. starts[b+1] of the N; it must outlive the tape. */
export function gru(ctx: Context, x: Tensor, { weightIh, weightHh, biasIh, biasHh }: GruWeights, starts: Tensor): Tensor {
  const [features, , hidden] = weightHh.shape;
  expectTensor('gru', 'x', x, [features, -1]);
  expectTensor('gru', 'starts', starts, [-1], 'u32');
  const visits = x.shape[1];
  const params = { features, batch: starts.shape[0] - 1, visits, hidden };
  const h = ctx.tensor([features, visits, hidden]);
  const gates = ctx.tensor([features, visits, 4, hidden]);
  ctx.run(spec, 'gru_fwd', [h, gates, x, weightIh.value, weightHh.value, biasIh.value, biasHh.value, starts], params);
  const { tape } = ctx;
  tape?.record([h], [gates], () => {
    const into = tape.gradInto(h);
    if (!into || !weightIh.grad || !weightHh.grad || !biasIh.grad || !biasHh.grad) return;
    ctx.run(spec, 'gru_bwd', [into.dx, gates, h, weightHh.value, starts], params);
    ctx.run(spec, 'gru_bwd_params', [weightHh.grad, weightIh.grad, biasIh.grad, biasHh.grad, gates, h, x, starts], params);
  });
  return h;
}
