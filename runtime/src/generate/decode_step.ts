/**
 * One decode step, from token ids to the next draws, between buffers that stay where they are: a backend that records queues it again without going
 * through the model's ops.
 */
import { sampling as sampleSpec } from '@eagrl/kernels';
import type { Recording } from '../backend.ts';
import type { Context } from '../context.ts';
import type { DecodeRows, PagedKv, Transformer } from '../model/transformer.ts';
import { timesTransposed } from '../ops/weight.ts';
import { alignUp, type Tensor, view } from '../tensor.ts';

/** What a step is made for: any of these another, and it is another step. */
export interface StepShape {
  readonly rows: number;
  /** Blocks per row of the block table. */
  readonly width: number;
  readonly penalty: number;
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

/** Elements of what a step reads: ids and block table at first, then for each step positions, slots, lengths and sampling states. */
export function stepLayout({ rows, width }: Pick<StepShape, 'rows' | 'width'>): { readonly head: number; readonly inputs: number } {
  return { head: alignUp(rows) + alignUp(rows * width), inputs: 3 * alignUp(rows) + alignUp(4 * rows) };
}

/** Hidden states (rows, C) -> logits (rows, V). */
export function logitsOf(ctx: Context, model: Transformer, hidden: Tensor): Tensor {
  const weight = model.headWeight;
  const [rows] = hidden.shape;
  const logits = ctx.tensor([rows, weight.shape[0]]);
  timesTransposed(ctx, logits, hidden, weight, rows);
  return logits;
}

export class DecodeStep {
  readonly shape: StepShape;
  readonly #ctx: Context;
  readonly #model: Transformer;
  readonly #cache: PagedKv;
  readonly #input: Tensor;
  /** Drawn ids, their log-probabilities, entropies, `alignUp(rows)` apart. */
  readonly #output: Tensor;
  /** (rows, ceil(V / 32)), with a repetition penalty alone. */
  readonly #seen: Tensor | undefined;
  readonly #flopsPerPair: number;
  #recording: Recording | undefined;
  /** Pairs of query and key that were counted when it was recorded. */
  #recordedPairs = 0;

  constructor(ctx: Context, model: Transformer, cache: PagedKv, shape: StepShape) {
    const { head, inputs } = stepLayout(shape);
    const { vocab_size: vocab, num_attention_heads: heads, head_dim: headDim, num_hidden_layers: layers } = model.config;
    const lengths = [head + inputs, 3 * alignUp(shape.rows)];
    if (shape.penalty !== 1) lengths.push(shape.rows * Math.ceil(vocab / 32));
    const fixed = ctx.scope(() => lengths.map((length) => ctx.tensor([length], 'u32')));
    this.#ctx = ctx;
    this.#model = model;
    this.#cache = cache;
    this.shape = shape;
    [this.#input, this.#output, this.#seen] = fixed.map((t) => ctx.persist(t));
    this.#flopsPerPair = 4 * heads * headDim * layers;
  }

  /** Takes ids and block table from the start of `plan`, and the tokens that each row has seen. */
  begin(plan: Tensor, seen: Uint32Array | undefined): void {
    const { head } = stepLayout(this.shape);
    this.#copy(view(this.#input, [head]), view(plan, [head]));
    if (this.#seen && seen) this.#ctx.backend.write(this.#seen.slice, seen);
  }

  /** Runs step `index` of `plan`, whose sequences hold `pairs` keys, puts what it draws at `out` and takes the ids for the next. */
  run(plan: Tensor, index: number, pairs: number, out: Tensor): void {
    const { rows } = this.shape;
    const { head, inputs } = stepLayout(this.shape);
    this.#copy(view(this.#input, [inputs], head), view(plan, [inputs], head + index * inputs));
    this.#queue(pairs);
    this.#copy(out, this.#output);
    this.#copy(view(this.#input, [rows]), view(this.#output, [rows]));
  }

  destroy(): void {
    this.#recording?.destroy();
    for (const t of [this.#input, this.#output, this.#seen]) if (t) this.#ctx.free(t);
  }

  #queue(pairs: number): void {
    const { backend } = this.#ctx;
    if (this.#recording?.replay((pairs - this.#recordedPairs) * this.#flopsPerPair)) return;
    this.#recording?.destroy();
    this.#recordedPairs = pairs;
    this.#recording = backend.record?.(() => this.#decode(pairs));
    if (!this.#recording) this.#decode(pairs);
  }

  #decode(pairs: number): void {
    const ctx = this.#ctx;
    const { rows, width, penalty, temperature, topK, topP, minP } = this.shape;
    const stride = alignUp(rows);
    const { head } = stepLayout(this.shape);
    const input = (length: number, at: number) => view(this.#input, [length], at);
    const output = (i: number): Tensor => ({ ...view(this.#output, [rows], i * stride), dtype: i === 0 ? 'u32' : 'f32' });
    const ids = input(rows, 0);
    const fed: DecodeRows = {
      positions: input(rows, head),
      slots: input(rows, head + stride),
      seqLens: input(rows, head + 2 * stride),
      pairs,
      blockTable: { ...input(rows * width, stride), shape: [rows, width] },
    };
    const state = input(4 * rows, head + 3 * stride);
    ctx.scope(() => {
      const logits = logitsOf(ctx, this.#model, this.#model.decode(ids, fed, this.#cache));
      const vocab = logits.shape[1];
      if (this.#seen) ctx.run(sampleSpec, 'repetition_penalty', [logits, this.#seen, ids], { rows, vocab, penalty });
      const params = { rows, vocab, temperature, top_k: topK, top_p: topP, min_p: minP };
      ctx.run(sampleSpec, 'sample', [output(0), output(1), output(2), logits, state], params);
    });
  }

  #copy(to: Tensor, from: Tensor): void {
    this.#ctx.backend.copy(to.slice, from.slice);
  }
}
