/**
 * ConCare's attention over a patient's visits, per feature; formulas in kernels/src/time_attention. h (F, N, D) -> (F B, D).
 * q and k come from one product with weight (F, 2A, D), q rows first. Saves qk (F, N, 2A) and (s, alpha) (F, N, 2); reads h again.
 */
import { timeAttention as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import { expectTensor, type Tensor } from '../tensor.ts';
import { matmul } from './matmul.ts';

/** `rate` (F); `starts` as for `gru`. */
export function timeAttention(ctx: Context, h: Tensor, weight: Parameter, rate: Parameter, starts: Tensor): Tensor {
  const [features, rows, hidden] = weight.shape;
  expectTensor('timeAttention', 'h', h, [features, -1, hidden]);
  expectTensor('timeAttention', 'starts', starts, [-1], 'u32');
  const visits = h.shape[1];
  const batch = starts.shape[0] - 1;
  const params = { features, batch, visits, hidden, key_dim: rows / 2 };
  const stride = { h: visits * hidden, qk: visits * rows, w: rows * hidden };
  const qk = ctx.tensor([features, visits, rows]);
  matmul(ctx, 'nt', qk, h, weight.value, {
    m: visits,
    n: rows,
    k: hidden,
    batch: features,
    strideA: stride.h,
    strideB: stride.w,
    strideC: stride.qk,
  });
  const context = ctx.tensor([features * batch, hidden]);
  const weights = ctx.tensor([features, visits, 2]);
  ctx.run(spec, 'time_attention_fwd', [context, weights, h, qk, rate.value, starts], params);
  const { tape } = ctx;
  tape?.record([context], [qk, weights], () => {
    const dh = ctx.tensor(h.shape);
    const ddot = ctx.tensor([features, visits]);
    const terms = ctx.tensor([features, batch]);
    ctx.run(spec, 'time_attention_bwd', [dh, ddot, terms, tape.grad(context), h, weights, rate.value, starts], params);
    if (rate.grad) ctx.run(spec, 'time_attention_bwd_rate', [rate.grad, terms], { features, batch });
    const dqk = ctx.tensor(qk.shape);
    ctx.run(spec, 'time_attention_bwd_qk', [dqk, ddot, qk, starts], params);
    const batched = { batch: features, strideA: stride.qk, accumulate: 1 } as const;
    if (weight.grad) {
      const shape = { m: rows, n: hidden, k: visits, strideB: stride.h, strideC: stride.w };
      matmul(ctx, 'tn', weight.grad, dqk, h, { ...batched, ...shape });
    }
    matmul(ctx, 'nn', dh, dqk, weight.value, { ...batched, m: visits, n: hidden, k: rows, strideB: stride.w, strideC: stride.h });
    tape.give(h, dh);
  });
  return context;
}
