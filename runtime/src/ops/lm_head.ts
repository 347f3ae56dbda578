/**
 * The language-model head in chunks of rows: logits = h W^T exist for one chunk at a time, never as (N, V).
 * h (N, C), W (V, C), trained or frozen. Two ends: log-probability and entropy of given tokens (policy optimisation), and cross-entropy (SFT).
 */
import { crossEntropy as crossEntropySpec, lmHead as lmHeadSpec } from '@eagrl/kernels';
import { SLICE_ALIGN } from '../backend.ts';
import type { Context } from '../context.ts';
import { expectTensor, type Tensor, view } from '../tensor.ts';
import { addProductGrad, times, timesTransposed, type Weight } from './weight.ts';

/** Elements of logits at a time: 16 MiB, which stays near the caches for small vocabularies. */
const CHUNK_ELEMENTS = 4 * 1024 * 1024;
/** Of a large vocabulary so many rows all the same: each chunk reads W twice and adds to its gradient, 0.2 GB for GPT-2's 50,257 words of 1,024. */
const LEAST_ROWS = 256;

/** Rows of a chunk. Views start at multiples of SLICE_ALIGN elements, so chunks are whole multiples of as many rows. */
export const headChunkRows = (vocab: number): number =>
  Math.max(LEAST_ROWS, Math.floor(CHUNK_ELEMENTS / vocab / SLICE_ALIGN) * SLICE_ALIGN);

interface Chunk {
  readonly rows: number;
  readonly logits: Tensor;
  readonly hidden: Tensor;
  /** The rows of a (N) tensor that belong to this chunk. */
  readonly cut: (t: Tensor) => Tensor;
}

/** Computes each chunk's logits and calls `use`; the last chunk is shorter. */
function forEachChunk(ctx: Context, h: Tensor, weight: Weight, use: (chunk: Chunk, start: number) => void): void {
  const [vocab, dim] = weight.shape;
  const [total] = h.shape;
  const step = headChunkRows(vocab);
  const buffer = ctx.tensor([Math.min(step, total), vocab]);
  for (let start = 0; start < total; start += step) {
    const rows = Math.min(step, total - start);
    const logits = view(buffer, [rows, vocab]);
    const hidden = view(h, [rows, dim], start * dim);
    timesTransposed(ctx, logits, hidden, weight, rows);
    use({ rows, logits, hidden, cut: (t) => view(t, [rows], start) }, start);
  }
  ctx.free(buffer);
}

/** dh (rows of `dh`) and dW from a chunk's dlogits. */
function chunkBackward(
  ctx: Context,
  chunk: Chunk,
  start: number,
  weight: Weight,
  into: { dx: Tensor; accumulate: 0 | 1 } | undefined,
): void {
  const dim = weight.shape[1];
  const { rows, logits, hidden } = chunk;
  if (into) times(ctx, view(into.dx, [rows, dim], start * dim), logits, weight, rows, into.accumulate);
  addProductGrad(ctx, weight, logits, hidden, rows);
}

function checkTargets(op: string, h: Tensor, weight: Weight, targets: Uint32Array): void {
  const [vocab, dim] = weight.shape;
  expectTensor(op, 'h', h, [targets.length, dim]);
  const outside = targets.findIndex((t) => t >= vocab);
  if (outside >= 0) throw new Error(`${op}: target ${targets[outside]} at ${outside} is outside the vocabulary of ${vocab}`);
}

/**
 * logprobs[n] = log softmax(h[n] W^T / temperature)[targets[n]] and the entropy of that softmax in nats, both (N).
 * Saves the log-sum-exp (N); backward takes dlogprobs (the entropy has none), computes the logits again, dh assigned or added, dW +=.
 */
export function lmHeadLogprobs(
  ctx: Context,
  h: Tensor,
  weight: Weight,
  targets: Uint32Array,
  { temperature = 1 } = {},
): { logprobs: Tensor; entropy: Tensor } {
  checkTargets('lmHeadLogprobs', h, weight, targets);
  if (!(temperature > 0)) throw new Error(`lmHeadLogprobs: temperature must be above 0, got ${temperature}`);
  const [vocab] = weight.shape;
  const ids = ctx.from(targets);
  const logprobs = ctx.tensor([targets.length]);
  const entropy = ctx.tensor([targets.length]);
  const lse = ctx.tensor([targets.length]);
  const shape = (rows: number) => ({ rows, vocab, inv_temperature: 1 / temperature });
  forEachChunk(ctx, h, weight, ({ rows, logits, cut }) => {
    ctx.run(lmHeadSpec, 'lm_head_logprob', [cut(logprobs), cut(entropy), cut(lse), logits, cut(ids)], shape(rows));
  });
  ctx.record([logprobs, entropy], [lse, ids], (tape) => {
    const dlogprobs = tape.grad(logprobs);
    const into = tape.gradInto(h);
    forEachChunk(ctx, h, weight, (chunk, start) => {
      const { rows, logits, cut } = chunk;
      ctx.run(lmHeadSpec, 'lm_head_dlogits', [logits, cut(ids), cut(lse), cut(dlogprobs)], shape(rows));
      chunkBackward(ctx, chunk, start, weight, into);
    });
  });
  return { logprobs, entropy };
}

/**
 * losses[n] = -weights[n] log softmax(h[n] W^T)[targets[n]], (N). While a tape records, the gradient of their sum is computed here:
 * dW += at once, dh goes to the tape as the gradient of h; the tape's backward then needs no root and no seed.
 */
export function lmHeadCrossEntropy(ctx: Context, h: Tensor, weight: Weight, targets: Uint32Array, weights: Float32Array): Tensor {
  checkTargets('lmHeadCrossEntropy', h, weight, targets);
  if (weights.length !== targets.length) throw new Error(`lmHeadCrossEntropy: ${targets.length} targets, ${weights.length} weights`);
  const [vocab] = weight.shape;
  const { tape } = ctx;
  const ids = ctx.from(targets);
  const tokenWeights = ctx.from(weights);
  const losses = ctx.tensor([targets.length]);
  const into = tape?.gradInto(h);
  forEachChunk(ctx, h, weight, (chunk, start) => {
    const { rows, logits, cut } = chunk;
    const entry = tape ? 'cross_entropy' : 'cross_entropy_fwd';
    ctx.run(crossEntropySpec, entry, [cut(losses), logits, cut(ids), cut(tokenWeights)], { rows, vocab });
    if (tape) chunkBackward(ctx, chunk, start, weight, into);
  });
  ctx.free(ids);
  ctx.free(tokenWeights);
  ctx.record([losses], [], () => {});
  return losses;
}
