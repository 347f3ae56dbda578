/**
 * Full multi-head attention over a small set of tokens per patient that keeps its weights; formulas in kernels/src/set_attention.
 * q (Q B, D), k and v (S B, D), token-major rows (token, patient). Saves the weights; backward overwrites them and reads q, k, v again.
 */
import { setAttention as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

export interface SetAttentionShape {
  readonly batch: number;
  readonly heads: number;
  /** Factor on the scores: 1 / sqrt(D / heads) as usual. */
  readonly scale: number;
}

/** `weights` (B, heads, Q, S): read them before the tape's backward. */
export function setAttention(
  ctx: Context,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { batch, heads, scale }: SetAttentionShape,
): { out: Tensor; weights: Tensor } {
  const [rows, hidden] = q.shape;
  expectTensor('setAttention', 'k', k, [-1, hidden]);
  expectTensor('setAttention', 'v', v, k.shape);
  const params = { queries: rows / batch, tokens: k.shape[0] / batch, batch, hidden, heads, scale };
  if (!Number.isInteger(params.queries) || !Number.isInteger(params.tokens)) {
    throw new Error(`setAttention: ${rows} query rows and ${k.shape[0]} key rows do not divide into ${batch} patients`);
  }
  const out = ctx.tensor(q.shape);
  const weights = ctx.tensor([batch, heads, params.queries, params.tokens]);
  ctx.run(spec, 'set_attention_fwd', [out, weights, q, k, v], params);
  const { tape } = ctx;
  tape?.record([out], [weights], () => {
    const grads = [q, k, v].map((t) => ctx.tensor(t.shape));
    ctx.run(spec, 'set_attention_bwd', [...grads, weights, tape.grad(out), q, k, v], params);
    [q, k, v].forEach((t, i) => {
      tape.give(t, grads[i]);
    });
  });
  return { out, weights };
}
