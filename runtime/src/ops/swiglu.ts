/** y = silu(gate) up, silu(x) = x sigmoid(x), element by element. Saves nothing; backward reads gate and up again. */
import { swiglu as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { describe, expectTensor, sizeOf, type Tensor } from '../tensor.ts';

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

/** The same of a fused projection (N, 2 C), each row a gate and then an up: y (N, C). */
export function swigluFused(ctx: Context, gateUp: Tensor): Tensor {
  expectTensor('swigluFused', 'gateUp', gateUp, [-1, -1]);
  const [rows, wide] = gateUp.shape;
  if (wide % 2 !== 0) throw new Error(`swigluFused: expected rows of an even length, got ${describe(gateUp)}`);
  const cols = wide / 2;
  const y = ctx.tensor([rows, cols]);
  ctx.run(spec, 'swiglu_fused_fwd', [y, gateUp], { rows, cols });
  ctx.record([y], [], (tape) => {
    const dGateUp = ctx.tensor(gateUp.shape);
    ctx.run(spec, 'swiglu_fused_bwd', [dGateUp, tape.grad(y), gateUp], { rows, cols });
    tape.give(gateUp, dGateUp);
  });
  return y;
}
