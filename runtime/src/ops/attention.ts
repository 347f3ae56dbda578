/**
 * Causal attention over packed segments with shared prefixes, grouped queries: o = softmax(scale q k^T, visible keys) v.
 * q, o (T, H * D); k, v (T, KV * D); seg (T, 4) says what each token sees (see pack.ts). Memory is O(T).
 * Saves stats (T, H, 2): log-sum-exp, and in backward sum_d do o. dq, dk, dv assigned.
 */
import { attention as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor } from '../tensor.ts';

export interface HeadShape {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** What each token sees: `seg` (T, 4), which must outlive the tape, and how many query-key pairs that makes. */
export interface Seen {
  readonly seg: Tensor;
  readonly pairs: number;
}

export function attention(
  ctx: Context,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  { seg, pairs }: Seen,
  { heads, kvHeads, headDim }: HeadShape,
): Tensor {
  expectTensor('attention', 'q', q, [-1, heads * headDim]);
  const tokens = q.shape[0];
  expectTensor('attention', 'k', k, [tokens, kvHeads * headDim]);
  expectTensor('attention', 'v', v, [tokens, kvHeads * headDim]);
  expectTensor('attention', 'seg', seg, [tokens, 4], 'u32');
  if (heads % kvHeads !== 0) throw new Error(`attention: ${heads} heads do not share ${kvHeads} key-value heads evenly`);
  const params = { tokens, heads, kv_heads: kvHeads, head_dim: headDim, pairs, scale: 1 / Math.sqrt(headDim) };
  const o = ctx.tensor(q.shape);
  const stats = ctx.tensor([tokens, heads, 2]);
  ctx.run(spec, 'attention_fwd', [o, stats, q, k, v, seg], params);
  ctx.record([o], [stats], (tape) => {
    const dO = tape.grad(o);
    ctx.run(spec, 'attention_bwd_delta', [stats, dO, o], { tokens, heads, head_dim: headDim });
    const dq = ctx.tensor(q.shape);
    ctx.run(spec, 'attention_bwd_dq', [dq, dO, q, k, v, stats, seg], params);
    tape.give(q, dq);
    const dk = ctx.tensor(k.shape);
    const dv = ctx.tensor(v.shape);
    ctx.run(spec, 'attention_bwd_dkdv', [dk, dv, dO, q, k, v, stats, seg], params);
    tape.give(k, dk);
    tape.give(v, dv);
  });
  return o;
}
