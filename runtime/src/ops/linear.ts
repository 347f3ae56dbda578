/**
 * y (N, O) = x (N, I) W^T + bias, W (O, I).
 * Backward: dx = dy W, assigned or added; dW += dy^T x; dbias += column sums of dy. Saves nothing; reads x again. W may be a frozen matrix in
 * another format (stored.ts): then it has no dW.
 *
 * An epilogue is done last: `residual` gives y = aux + y, and the gradient of aux is dy, without a copy; `swiglu` y = silu(aux) y, without a tape
 * alone, since its backward would want the y before: there ops/swiglu.ts takes both.
 *
 * With a low-rank adapter A (R, I), B (O, R), s = scale: y += s u B^T with u = drop(x) A^T, saved.
 * Backward: du = s dy B; dB += s dy^T u; dA += du^T drop(x); the gradient of drop(x) gets du A. drop keeps all without `dropout`.
 */
import { bias as biasSpec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import type { Tape } from '../tape.ts';
import { expectTensor, type Tensor } from '../tensor.ts';
import { type DropoutOptions, dropout } from './dropout.ts';
import { type Epilogue, matmul } from './matmul.ts';
import { addProductGrad, times, timesTransposed, type Weight } from './weight.ts';

/** Matrices of a low-rank adapter, and what it is multiplied by. */
export interface LowRank {
  readonly a: Parameter;
  readonly b: Parameter;
  readonly scale: number;
  readonly dropout?: DropoutOptions;
}

/** @throws Error for a `swiglu` epilogue while a tape records. */
export function linear(ctx: Context, x: Tensor, weight: Weight, bias?: Parameter, adapter?: LowRank, epilogue?: Epilogue): Tensor {
  const [o, i] = weight.shape;
  expectTensor('linear', 'x', x, [-1, i]);
  const n = x.shape[0];
  if (epilogue) expectTensor('linear', 'aux', epilogue.aux, [n, o]);
  if (epilogue?.kind === 'swiglu' && ctx.tape) {
    throw new Error("linear: a tape is recording, and the 'swiglu' epilogue has no backward; use swiglu(gate, linear(x, ...))");
  }
  const low = adapter && lowRank(ctx, x, adapter);
  const y = ctx.tensor([n, o]);
  // The last product has the epilogue.
  timesTransposed(ctx, y, x, weight, n, { bias: bias?.value, epilogue: low ? undefined : epilogue });
  low?.addTo(y, epilogue);
  ctx.record([y], low ? [low.u] : [], (tape) => {
    if (epilogue) tape.share(epilogue.aux, y);
    const dy = tape.grad(y);
    const into = tape.gradInto(x);
    if (into) times(ctx, into.dx, dy, weight, n, into.accumulate);
    addProductGrad(ctx, weight, dy, x, n);
    if (bias?.grad) ctx.run(biasSpec, 'bias_bwd', [bias.grad, dy], { rows: n, cols: o });
    low?.backward(tape, dy);
  });
  return y;
}

/** The adapter's side path. Its input is x itself or, with dropout, an activation of its own. */
function lowRank(ctx: Context, x: Tensor, { a, b, scale, dropout: drop }: LowRank) {
  const [r, i] = a.shape;
  const [o] = b.shape;
  const n = x.shape[0];
  const input = drop ? dropout(ctx, x, drop) : x;
  const u = ctx.tensor([n, r]);
  matmul(ctx, 'nt', u, input, a.value, { m: n, n: r, k: i });
  if (drop && !ctx.tape) ctx.free(input);
  return {
    u,
    addTo: (y: Tensor, epilogue?: Epilogue) =>
      matmul(ctx, 'nt', y, u, b.value, { m: n, n: o, k: r, alpha: scale, accumulate: 1, epilogue }),
    backward: (tape: Tape, dy: Tensor) => {
      const du = ctx.tensor([n, r]);
      matmul(ctx, 'nn', du, dy, b.value, { m: n, n: r, k: o, alpha: scale });
      if (b.grad) matmul(ctx, 'tn', b.grad, dy, u, { m: o, n: r, k: n, alpha: scale, accumulate: 1 });
      if (a.grad) matmul(ctx, 'tn', a.grad, du, input, { m: r, n: i, k: n, accumulate: 1 });
      const into = tape.gradInto(input);
      if (into) matmul(ctx, 'nn', into.dx, du, a.value, { m: n, n: i, k: r, accumulate: into.accumulate });
    },
  };
}
