/**
 * Rows of a table by index: y[n] = table[ids[n]], y (N, C), table (V, C).
 * Backward: dtable[v] += sum over n with ids[n] = v of dy[n], in ascending n: deterministic, no atomics.
 */
import { elementwise, embedding as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { expectTensor, sizeOf, type Tensor } from '../tensor.ts';
import { groupIds } from './csr.ts';
import { addRowGrads, rowsByIndex, scatterAdd, type Weight } from './weight.ts';

/** Token embedding. `ids` on the device (u32) serve inference; recording needs them on the host. */
export function embedding(ctx: Context, weight: Weight, ids: Uint32Array | Tensor): Tensor {
  if (!(ids instanceof Uint32Array)) {
    if (ctx.tape) throw new Error('embedding: expected ids as Uint32Array while a tape records, got a device tensor');
    expectTensor('embedding', 'ids', ids, [-1], 'u32');
    return lookup(ctx, weight, ids);
  }
  const [vocab] = weight.shape;
  const outside = ids.findIndex((id) => id >= vocab);
  if (outside >= 0) throw new Error(`embedding: id ${ids[outside]} at ${outside} is outside the vocabulary of ${vocab}`);
  const y = withIds(ctx, ids, (device) => lookup(ctx, weight, device));
  ctx.record([y], [], (tape) => addRowGrads(ctx, weight, tape.grad(y), ids));
  return y;
}

/** Rows of x (T, C) by host indices, which may repeat: y (N, C). dx is scattered back by addition. */
export function gatherRows(ctx: Context, x: Tensor, rows: Uint32Array): Tensor {
  expectTensor('gatherRows', 'x', x, [-1, -1]);
  const outside = rows.findIndex((r) => r >= x.shape[0]);
  if (outside >= 0) throw new Error(`gatherRows: row ${rows[outside]} is outside x (${x.shape.join(', ')})`);
  const [vocab, dim] = x.shape;
  const y = withIds(ctx, rows, (device) => {
    const found = ctx.tensor([rows.length, dim]);
    ctx.run(spec, 'embedding_fwd', [found, x, device], { tokens: rows.length, dim, vocab });
    return found;
  });
  ctx.record([y], [], (tape) => {
    const into = tape.gradInto(x);
    if (!into) return;
    if (into.accumulate === 0) ctx.run(elementwise, 'fill', [into.dx], { n: sizeOf(x.shape), value: 0 });
    scatterAdd(ctx, into.dx, tape.grad(y), groupIds(rows));
  });
  return y;
}

function withIds(ctx: Context, ids: Uint32Array, find: (device: Tensor) => Tensor): Tensor {
  const device = ctx.from(ids);
  const y = find(device);
  ctx.free(device);
  return y;
}

function lookup(ctx: Context, weight: Weight, ids: Tensor): Tensor {
  const y = ctx.tensor([ids.shape[0], weight.shape[1]]);
  rowsByIndex(ctx, y, weight, ids);
  return y;
}
