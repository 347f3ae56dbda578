/**
 * Products with a weight W (N, K), trained or frozen, its rows by index, and its gradients. No tape: the ops that use them have their own
 * backward. A matrix in blocks of rows gives y block of columns by block of columns, and dx as a sum over the blocks; each block's gradient
 * comes from its columns of dy.
 */
import { columns as columnsSpec, EPILOGUE, embedding as embeddingSpec, qmatmul as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Parameter } from '../params.ts';
import type { StoredMatrix } from '../stored.ts';
import type { Tensor } from '../tensor.ts';
import { type Csr, groupIds, groupsWithin } from './csr.ts';
import { type Epilogue, matmul } from './matmul.ts';

export type Weight = Parameter | StoredMatrix;

/** The f32 tensor of a weight that one plain product can take; undefined for other formats and for blocks of rows. */
const whole = ({ dtype, parts }: Weight): Tensor | undefined => (dtype === 'f32' && parts.length === 1 ? parts[0].w : undefined);

/** The same tensor from column `start` on: rows keep their distance. */
const fromColumn = (t: Tensor, start: number): Tensor =>
  start === 0 ? t : { ...t, slice: { ...t.slice, offset: t.slice.offset + start, length: t.slice.length - start } };

/** What `timesTransposed` adds and does last. */
interface Finish {
  readonly bias?: Tensor;
  readonly epilogue?: Epilogue;
}

/** y (M, N) = x (M, K) W^T [+ bias (N)], then the epilogue. */
export function timesTransposed(ctx: Context, y: Tensor, x: Tensor, weight: Weight, m: number, { bias, epilogue }: Finish = {}): void {
  const [n, k] = weight.shape;
  const w = whole(weight);
  if (w) {
    matmul(ctx, 'nt', y, x, w, { m, n, k, bias, epilogue });
    return;
  }
  const { dtype, parts } = weight;
  for (const part of parts) {
    const own = (t?: Tensor) => (t ? fromColumn(t, part.start) : x);
    const shape = { m, n: part.rows, k, lda: k, ldc: n };
    const params = { ...shape, accumulate: 0, has_bias: bias ? 1 : 0, epilogue: EPILOGUE[epilogue?.kind ?? 'none'] };
    ctx.run(spec, `qmatmul_nt_${dtype}`, [fromColumn(y, part.start), x, part.w, part.scales, own(bias), own(epilogue?.aux)], params);
  }
}

/** dx (M, K) = dy (M, N) W [+ dx]. */
export function times(ctx: Context, dx: Tensor, dy: Tensor, weight: Weight, m: number, accumulate: 0 | 1): void {
  const [n, k] = weight.shape;
  const w = whole(weight);
  if (w) {
    matmul(ctx, 'nn', dx, dy, w, { m, n: k, k: n, accumulate });
    return;
  }
  const { dtype, parts } = weight;
  for (const part of parts) {
    const adds = part.start > 0 ? 1 : accumulate;
    const params = { m, n: part.rows, k, lda: n, ldc: k, accumulate: adds, has_bias: 0, epilogue: EPILOGUE.none };
    ctx.run(spec, `qmatmul_nn_${dtype}`, [dx, fromColumn(dy, part.start), part.w, part.scales, dy, dy], params);
  }
}

/** y (T, K) = rows `ids` (T) of W; zeros for an id beyond it. */
export function rowsByIndex(ctx: Context, y: Tensor, weight: Weight, ids: Tensor): void {
  const [n, k] = weight.shape;
  const tokens = ids.shape[0];
  const w = whole(weight);
  if (w) {
    ctx.run(embeddingSpec, 'embedding_fwd', [y, w, ids], { tokens, dim: k, vocab: n });
    return;
  }
  const { dtype, parts } = weight;
  for (const part of parts) {
    const params = { tokens, k, first: part.start, n: part.rows, fill: part.start === 0 ? 1 : 0 };
    ctx.run(spec, `qgather_${dtype}`, [y, ids, part.w, part.scales], params);
  }
}

/** dW += dy (M, N)^T x (M, K), where W is trained. */
export function addProductGrad(ctx: Context, weight: Weight, dy: Tensor, x: Tensor, m: number): void {
  const [n, k] = weight.shape;
  for (const { start, rows, grad } of weight.parts) {
    if (!grad) continue;
    const add = (own: Tensor) => matmul(ctx, 'tn', grad, own, x, { m: rows, n: k, k: m, accumulate: 1 });
    if (rows === n) {
      add(dy);
      continue;
    }
    const own = ctx.tensor([m, rows]);
    ctx.run(columnsSpec, 'columns', [own, fromColumn(dy, start)], { rows: m, cols: rows, ld: n });
    add(own);
    ctx.free(own);
  }
}

/** dW[v] += sum over t with ids[t] = v of dy[t], in ascending t, where W is trained. dy (T, K). */
export function addRowGrads(ctx: Context, { parts }: Weight, dy: Tensor, ids: Uint32Array): void {
  if (!parts[0].grad) return;
  const groups = groupIds(ids);
  for (const { start, rows, grad } of parts) if (grad) scatterAdd(ctx, grad, dy, groupsWithin(groups, start, rows));
}

/** dtable (V, C): each group's row += its rows of dy (T, C), in the group's order. */
export function scatterAdd(ctx: Context, dtable: Tensor, dy: Tensor, { order, uniqueIds, rowStart }: Csr): void {
  if (uniqueIds.length === 0) return;
  const { owner, views } = ctx.fromMany([order, uniqueIds, rowStart]);
  const [vocab, dim] = dtable.shape;
  const params = { num_unique: uniqueIds.length, dim, tokens: order.length, vocab };
  ctx.run(embeddingSpec, 'embedding_bwd', [dtable, dy, ...views], params);
  ctx.free(owner);
}
