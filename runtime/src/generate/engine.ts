/**
 * Batched generation on token ids: open, fork, append, sample, release. Sequences share their common past (paged KV cache).
 *
 * A sequence of n tokens has the keys and values of its first n - 1 in the cache; its last token is fed when something asks what
 * comes next. So a fork costs nothing, and the same few rows serve prompts, forced tokens and sampling: each row is one token,
 * written to its slot and attending to all slots of its sequence up to its own position.
 *
 * A draw depends on (seed, stream, position) only. Batches are filled up to MIN_ROWS with idle rows, because the matmul kernels
 * take another path, with another order of sums, for few rows: so logits do not depend on who else is in the batch.
 */
import { lmHead as lmHeadSpec } from '@eagrl/kernels';
import type { BackendKind } from '../backend.ts';
import type { Context } from '../context.ts';
import { type DecodeRows, NO_SLOT, type Transformer } from '../model/transformer.ts';
import { alignUp, type Tensor, view } from '../tensor.ts';
import { DecodeStep, logitsOf, type StepShape } from './decode_step.ts';
import { EngineError } from './engine_error.ts';
import { type BlockList, KvCache } from './kv_cache.ts';

declare const seqBrand: unique symbol;
/** Handle of an open sequence. */
export type SeqId = number & { readonly [seqBrand]: true };

export interface EngineOptions {
  /**
   * Token slots per cache block, 4 by default. A fork copies the block that it writes into and leaves its own last one part empty: with
   * 16 slots a search tree of 40-token steps takes a third more than its tokens need, with 4 a fifteenth. No result depends on it.
   */
  readonly blockSize?: number;
  /** Sequences that are sampled at a time; more wait for a place. */
  readonly maxBatch?: number;
  /** Rows of one launch while prompts are read. */
  readonly prefillRows?: number;
  /** Limit of the KV cache, bytes. */
  readonly maxCacheBytes?: number;
}

export interface SampleRequest {
  readonly seq: SeqId;
  readonly maxTokens: number;
  /** Ends at, and includes, the first of these. */
  readonly stopTokens: readonly number[];
  /** Two words that, with the position, determine every draw. */
  readonly seed: number;
  readonly stream: number;
  /** Sees each token in turn; true ends the sequence with it, as a stop token does. Must not throw. */
  readonly stopAfter?: (token: number) => boolean;
}

/** In the order in which they act: repetition penalty, temperature, top-k, top-p, min-p. */
export interface SamplingOptions {
  /** Logits of tokens that the sequence holds, prompt included, are divided by it where positive and multiplied below 0; 1: off. */
  readonly repetitionPenalty?: number;
  /** 0 takes the most probable token. */
  readonly temperature?: number;
  /** 0: off. */
  readonly topK?: number;
  /** 1: off. */
  readonly topP?: number;
  /** Tokens below this share of the largest probability are left out; 0: off. */
  readonly minP?: number;
}

export interface Completion {
  /** The stop token included. */
  readonly tokens: Uint32Array;
  /** Of each token, under the distribution it was drawn from. */
  readonly logprobs: Float32Array;
  /** Nats, of the distribution before top-k, top-p and min-p. */
  readonly entropies: Float32Array;
  readonly finished: 'stop' | 'length';
}

interface Sequence {
  readonly blocks: BlockList;
  /** Tokens, the pending one included. */
  length: number;
  /** The last token: not yet in the cache. */
  pending: number;
  past: Past;
}

/** All tokens of a sequence, the latest part first; forks share theirs. */
interface Past {
  readonly tokens: ArrayLike<number>;
  readonly before?: Past;
}

/** A token to feed, and where. */
interface Row {
  readonly token: number;
  readonly position: number;
  readonly seq: Sequence;
}

/** A request in the batch, and what it has given so far. */
interface Running {
  readonly index: number;
  readonly request: SampleRequest;
  readonly seq: Sequence;
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly entropies: number[];
  finished?: Completion['finished'];
}

/**
 * More rows than those for which a matmul kernel adds in another order: DIRECT_ROWS (wasm) in kernels/src/matmul/matmul.ts, FEW
 * (webgpu) in variants.ts beside it. engine.test.ts compares single rows with large batches bit for bit.
 */
const MIN_ROWS = { wasm: 32, webgpu: 8, reference: 1 } as const;
/** Rows of a batch are a multiple of this, blocks of a row of TABLE_STEP: what a step was recorded for lasts longer. Idle rows cost a GPU nothing. */
const ROW_STEP = { wasm: 1, webgpu: 8, reference: 1 } as const;
const TABLE_STEP = 32;
/** Steps between two read-backs. On wasm a read is a copy; on webgpu it is a round trip of some 100 us that would stall each step. */
const STEPS_PER_READ = { wasm: 1, reference: 1, webgpu: 8 } as const;

export class Engine {
  readonly maxCacheBytes: number;
  readonly #ctx: Context;
  readonly #model: Transformer;
  readonly #cache: KvCache;
  readonly #maxBatch: number;
  readonly #prefillRows: number;
  readonly #minRows: number;
  readonly #sequences = new Map<SeqId, Sequence>();
  #nextId = 0;

  constructor(ctx: Context, model: Transformer, options: EngineOptions = {}) {
    const { blockSize = 4, maxBatch = 256, prefillRows = 512, maxCacheBytes = 2 ** 30 } = options;
    this.maxCacheBytes = maxCacheBytes;
    this.#ctx = ctx;
    this.#model = model;
    this.#maxBatch = maxBatch;
    this.#prefillRows = prefillRows;
    this.#minRows = MIN_ROWS[ctx.backend.kind];
    this.#cache = new KvCache(ctx, model.config, { blockSize, maxBytes: maxCacheBytes });
  }

  /**
   * Reads prompts into the cache.
   * @throws EngineError for an empty prompt, an id outside the vocabulary, one longer than the context, or too little cache, before any
   * work. Whatever throws, here and below, all sequences are as they were before the call, and can go on.
   */
  open(prompts: readonly Uint32Array[]): SeqId[] {
    for (const [i, p] of prompts.entries()) {
      if (p.length === 0) throw new EngineError(`open: prompt ${i} is empty`);
      this.#checkTokens('open', p);
      this.#checkLength('open', p.length);
    }
    const blocks = prompts.reduce((n, p) => n + Math.ceil((p.length - 1) / this.#cache.blockSize), 0);
    this.#checkBlocks('open', blocks);
    const fresh = prompts.map((p): Sequence => ({ blocks: [], length: 1, pending: p[0], past: { tokens: p.subarray(0, 1) } }));
    this.#feedTokens(fresh.map((seq, i) => ({ seq, tokens: prompts[i].subarray(1) })));
    return fresh.map((seq) => this.#register(seq));
  }

  /** Another sequence with the same past. */
  fork(seq: SeqId): SeqId {
    const { blocks, ...state } = this.#sequence(seq);
    return this.#register({ ...state, blocks: this.#cache.share(blocks) });
  }

  /** Adds forced tokens. @throws EngineError as `open`, before any work. */
  append(items: readonly { readonly seq: SeqId; readonly tokens: Uint32Array }[]): void {
    this.#checkDistinct(
      'append',
      items.map((i) => i.seq),
    );
    const work = items.map(({ seq, tokens }) => ({ seq: this.#sequence(seq), tokens }));
    for (const { seq, tokens } of work) {
      this.#checkTokens('append', tokens);
      this.#checkLength('append', seq.length + tokens.length);
    }
    const needed = ({ seq, tokens }: (typeof work)[number]) =>
      tokens.length === 0 ? 0 : this.#cache.needed(seq.blocks, seq.length - 1, seq.length - 1 + tokens.length);
    this.#checkBlocks(
      'append',
      work.reduce((n, w) => n + needed(w), 0),
    );
    this.#feedTokens(work);
  }

  /** Forgets a sequence; blocks that no other shares are free again. */
  release(seq: SeqId): void {
    this.#cache.release(this.#sequence(seq).blocks);
    this.#sequences.delete(seq);
  }

  /** Cache blocks in use at the same time, at the most so far; those that can still be had; and the tokens that each holds. */
  get cacheUse(): { readonly blocks: number; readonly available: number; readonly blockSize: number } {
    const { used, available, blockSize } = this.#cache;
    return { blocks: used, available, blockSize };
  }

  /** Tokens of a sequence so far. */
  length(seq: SeqId): number {
    return this.#sequence(seq).length;
  }

  /**
   * Samples all requests in lockstep, at most maxBatch at a time; a finished one makes room for the next. The sequences grow by
   * their completions. @throws EngineError before any work when one cannot fit the context, all cannot fit the cache, or an option is
   * out of its range; and where the model's logits are not finite.
   */
  async sample(requests: readonly SampleRequest[], options: SamplingOptions = {}): Promise<Completion[]> {
    checkOptions(options);
    this.#checkRequests(requests);
    const done: Completion[] = new Array(requests.length);
    const waiting = requests.map(
      (request, index): Running => ({ index, request, seq: this.#sequence(request.seq), tokens: [], logprobs: [], entropies: [] }),
    );
    const takeBack = this.#mark(waiting.map((r) => r.seq));
    let running = waiting.splice(0, this.#maxBatch);
    let step: DecodeStep | undefined;
    try {
      while (running.length > 0) {
        const longest = Math.max(...running.map((r) => r.request.maxTokens - r.tokens.length));
        const steps = Math.min(STEPS_PER_READ[this.#ctx.backend.kind], longest);
        for (const r of running) this.#cache.reserve(r.seq.blocks, r.seq.length - 1, r.seq.length - 1 + Math.min(steps, leftOf(r)));
        const shape = this.#stepShape(running, options);
        if (step?.shape.rows !== shape.rows || step.shape.width !== shape.width) {
          step?.destroy();
          step = undefined; // the next one may fail to get its memory
          step = new DecodeStep(this.#ctx, this.#model, this.#cache, shape);
        }
        await this.#advance(step, running, steps);
        const still: Running[] = [];
        for (const r of running) {
          if (r.finished) {
            r.seq.past = { tokens: r.tokens, before: r.seq.past };
            done[r.index] = completionOf(r, r.finished);
          } else still.push(r);
        }
        running = [...still, ...waiting.splice(0, this.#maxBatch - still.length)];
      }
    } catch (error) {
      takeBack();
      throw error;
    } finally {
      step?.destroy();
    }
    return done;
  }

  /** Probabilities of `tokenIds` as the next token of each sequence, at temperature 1; the sequences stay as they are. */
  async probabilities(seqs: readonly SeqId[], tokenIds: readonly number[]): Promise<Float32Array[]> {
    this.#checkDistinct('probabilities', seqs);
    this.#checkTokens('probabilities', Uint32Array.from(tokenIds));
    const all = seqs.map((s) => this.#sequence(s));
    this.#checkBlocks(
      'probabilities',
      all.reduce((n, s) => n + this.#cache.needed(s.blocks, s.length - 1, s.length), 0),
    );
    const out: Float32Array[] = [];
    const takeBack = this.#mark(all);
    try {
      for (let at = 0; at < all.length; at += this.#maxBatch) {
        const part = all.slice(at, at + this.#maxBatch);
        const read = this.#ctx.scope(() => this.#nextLogprobs(part, tokenIds));
        const logprobs = await Promise.all(read);
        for (let r = 0; r < part.length; r++) out.push(Float32Array.from(logprobs, (column) => Math.exp(column[r])));
      }
    } catch (error) {
      takeBack();
      throw error;
    }
    return out;
  }

  destroy(): void {
    this.#cache.destroy();
    this.#sequences.clear();
  }

  /** Per token id the log-probabilities (rows) of all sequences: the LM head once, then its row kernel with constant targets. */
  #nextLogprobs(seqs: readonly Sequence[], tokenIds: readonly number[]): Promise<Float32Array>[] {
    const ctx = this.#ctx;
    for (const s of seqs) this.#cache.reserve(s.blocks, s.length - 1, s.length);
    const { ids, rows: fed } = this.#feedRows(seqs.map((seq) => ({ token: seq.pending, position: seq.length - 1, seq })));
    const logits = logitsOf(ctx, this.#model, this.#model.decode(ids, fed, this.#cache));
    const [rows, vocab] = logits.shape;
    return tokenIds.map((id) => {
      const [logprobs, entropy, lse] = [0, 0, 0].map(() => ctx.tensor([rows]));
      const targets = ctx.from(new Uint32Array(rows).fill(id));
      ctx.run(lmHeadSpec, 'lm_head_logprob', [logprobs, entropy, lse, logits, targets], { rows, vocab, inv_temperature: 1 });
      return ctx.read(logprobs);
    });
  }

  #stepShape(running: readonly Running[], options: SamplingOptions): StepShape {
    const { repetitionPenalty: penalty = 1, temperature = 1, topK = 0, topP = 1, minP = 0 } = options;
    const rows = roundUp(Math.max(running.length, this.#minRows), ROW_STEP[this.#ctx.backend.kind]);
    return { rows, width: tableWidth(running.map((r) => r.seq)), penalty, temperature, topK, topP, minP };
  }

  /** Up to `steps` tokens for each running request, whose slots are reserved; ids stay on the device between steps and come back at the end. */
  async #advance(step: DecodeStep, running: readonly Running[], steps: number): Promise<void> {
    const ctx = this.#ctx;
    const { rows, penalty } = step.shape;
    const stride = alignUp(rows);
    const read = ctx.scope(() => {
      const out = ctx.tensor([steps * 3 * stride], 'u32');
      const { owner, pairs } = this.#plan(step.shape, running, steps);
      step.begin(owner, penalty === 1 ? undefined : this.#seen(running, rows));
      for (let i = 0; i < steps; i++) step.run(owner, i, pairs[i], view(out, [3 * stride], i * 3 * stride));
      return ctx.read({ ...out, dtype: 'f32' });
    });
    const numbers = await read;
    const ids = idsIn(numbers, ctx.backend.kind);
    running.forEach((r, row) => {
      for (let i = 0; i < steps && !r.finished; i++) {
        const at = i * 3 * stride + row;
        this.#checkDraw(ids[at], numbers[at + stride]);
        r.tokens.push(ids[at]);
        r.logprobs.push(numbers[at + stride]);
        r.entropies.push(numbers[at + 2 * stride]);
        r.seq.length++;
        r.seq.pending = ids[at];
        r.finished = finishedBy(r, ids[at]);
      }
      // Blocks beyond a stop token.
      this.#cache.release(r.seq.blocks, Math.ceil((r.seq.length - 1) / this.#cache.blockSize));
    });
  }

  /** Everything the device must know for `steps` steps, in one upload (stepLayout): which position each row writes, and who still draws. */
  #plan({ rows, width }: StepShape, running: readonly Running[], steps: number): { owner: Tensor; pairs: number[] } {
    const ids = new Uint32Array(rows);
    running.forEach((r, i) => {
      ids[i] = r.seq.pending;
    });
    const arrays = [
      ids,
      blockTable(
        running.map((r) => r.seq),
        rows,
        width,
      ),
    ];
    const pairs: number[] = [];
    for (let step = 0; step < steps; step++) {
      const positions = new Uint32Array(rows);
      const slots = new Uint32Array(rows).fill(NO_SLOT);
      const seqLens = new Uint32Array(rows);
      const state = new Uint32Array(rows * 4);
      running.forEach((r, i) => {
        if (step >= leftOf(r)) return;
        const position = r.seq.length - 1 + step;
        positions[i] = position;
        slots[i] = this.#slot(r.seq, position);
        seqLens[i] = position + 1;
        state.set([r.request.seed, r.request.stream, position + 1, 1], i * 4);
      });
      arrays.push(positions, slots, seqLens, state);
      pairs.push(sum(seqLens));
    }
    this.#cache.commit();
    return { owner: this.#ctx.fromMany(arrays).owner, pairs };
  }

  /** (rows, ceil(V / 32)): bit t % 32 of word t / 32 is set for the tokens t of each row's sequence. */
  #seen(running: readonly Running[], rows: number): Uint32Array {
    const words = Math.ceil(this.#model.config.vocab_size / 32);
    const seen = new Uint32Array(rows * words);
    running.forEach((r, row) => {
      for (let past: Past | undefined = { tokens: r.tokens, before: r.seq.past }; past; past = past.before)
        for (let i = 0; i < past.tokens.length; i++) seen[row * words + (past.tokens[i] >>> 5)] |= 1 << (past.tokens[i] & 31);
    });
    return seen;
  }

  /** Feeds tokens into sequences: all but each one's last new token go through the model. */
  #feedTokens(items: readonly { readonly seq: Sequence; readonly tokens: Uint32Array }[]): void {
    const takeBack = this.#mark(items.map(({ seq }) => seq));
    const rows: Row[] = [];
    try {
      for (const { seq, tokens } of items) {
        if (tokens.length === 0) continue;
        const from = seq.length - 1;
        this.#cache.reserve(seq.blocks, from, from + tokens.length);
        for (let i = 0; i < tokens.length; i++) rows.push({ token: i === 0 ? seq.pending : tokens[i - 1], position: from + i, seq });
        seq.length += tokens.length;
        seq.past = { tokens, before: seq.past };
        seq.pending = tokens[tokens.length - 1];
      }
      for (let at = 0; at < rows.length; at += this.#prefillRows) {
        this.#ctx.scope(() => {
          const { ids, rows: part } = this.#feedRows(rows.slice(at, at + this.#prefillRows));
          this.#model.prefill(ids, part, this.#cache);
        });
      }
    } catch (error) {
      takeBack();
      throw error;
    }
  }

  /** How to take back what happens to sequences from here on: without it they would claim tokens whose keys were never written. */
  #mark(seqs: readonly Sequence[]): () => void {
    const before = seqs.map(({ length, pending, past }) => ({ length, pending, past }));
    return () => {
      this.#cache.rollback();
      seqs.forEach((seq, i) => {
        Object.assign(seq, before[i]);
        this.#cache.release(seq.blocks, Math.ceil((seq.length - 1) / this.#cache.blockSize));
      });
    };
  }

  /** What the device must know of rows whose slots are reserved; idle rows last. */
  #feedRows(rows: readonly Row[]): { ids: Tensor; rows: DecodeRows } {
    const count = Math.max(rows.length, this.#minRows);
    const ids = new Uint32Array(count);
    const positions = new Uint32Array(count);
    const slots = new Uint32Array(count).fill(NO_SLOT);
    const seqLens = new Uint32Array(count);
    rows.forEach(({ token, position, seq }, i) => {
      ids[i] = token;
      positions[i] = position;
      slots[i] = this.#slot(seq, position);
      seqLens[i] = position + 1;
    });
    const seqs = rows.map((r) => r.seq);
    const width = tableWidth(seqs);
    this.#cache.commit();
    // A tensor each, as in Transformer.forward.
    const ctx = this.#ctx;
    const decodeRows: DecodeRows = {
      positions: ctx.from(positions),
      slots: ctx.from(slots),
      seqLens: ctx.from(seqLens),
      pairs: sum(seqLens),
      blockTable: ctx.from(blockTable(seqs, count, width), [count, width]),
    };
    return { ids: ctx.from(ids), rows: decodeRows };
  }

  #slot(seq: Sequence, position: number): number {
    const { blockSize } = this.#cache;
    return seq.blocks[Math.floor(position / blockSize)] * blockSize + (position % blockSize);
  }

  #register(sequence: Sequence): SeqId {
    const id = this.#nextId++ as SeqId;
    this.#sequences.set(id, sequence);
    return id;
  }

  #sequence(id: SeqId): Sequence {
    const s = this.#sequences.get(id);
    if (!s) throw new EngineError(`sequence ${id} is not open; was it released?`);
    return s;
  }

  #checkRequests(requests: readonly SampleRequest[]): void {
    this.#checkDistinct(
      'sample',
      requests.map((r) => r.seq),
    );
    let blocks = 0;
    for (const { seq, maxTokens } of requests) {
      if (!Number.isInteger(maxTokens) || maxTokens < 1) throw new EngineError(`sample: maxTokens is ${maxTokens}; expected at least 1`);
      const s = this.#sequence(seq);
      this.#checkLength('sample', s.length + maxTokens);
      blocks += this.#cache.needed(s.blocks, s.length - 1, s.length - 1 + maxTokens);
    }
    this.#checkBlocks('sample', blocks);
  }

  #checkDistinct(what: string, seqs: readonly SeqId[]): void {
    if (new Set(seqs).size !== seqs.length) throw new EngineError(`${what}: a sequence is named twice; fork it first`);
  }

  #checkTokens(what: string, tokens: Uint32Array): void {
    const { vocab_size: vocab } = this.#model.config;
    const outside = tokens.find((t) => t >= vocab);
    if (outside !== undefined) throw new EngineError(`${what}: token ${outside} is outside the vocabulary of ${vocab}`);
  }

  /** A row of NaN gives an id of no token, which the model would embed as zeros and go on from. */
  #checkDraw(token: number, logprob: number): void {
    if (token < this.#model.config.vocab_size && Number.isFinite(logprob)) return;
    throw new EngineError(
      `sample: expected a token and a finite log-probability, the device drew ${token} at ${logprob}: the model's logits are not finite; ` +
        'load weights from before they diverged and train with a lower learning rate; EAGRL_DEBUG=5 names the kernel',
    );
  }

  #checkLength(what: string, length: number): void {
    const limit = this.#model.config.max_position_embeddings;
    if (length > limit)
      throw new EngineError(`${what}: ${length} tokens exceed the context of ${limit}; shorten the prompt or ask for fewer tokens`);
  }

  #checkBlocks(what: string, blocks: number): void {
    const { available, maxBlocks, blockSize } = this.#cache;
    if (blocks > available) {
      throw new EngineError(
        `${what}: needs ${blocks} cache blocks of ${blockSize} tokens, ${available} of ${maxBlocks} are free; ` +
          'release sequences, send fewer at a time or raise maxCacheBytes',
      );
    }
  }
}

const roundUp = (n: number, step: number): number => Math.ceil(n / step) * step;

/** Tokens that a request may still draw. */
const leftOf = (r: Running): number => r.request.maxTokens - r.tokens.length;

/** Blocks per row of a table that holds those of all sequences. */
const tableWidth = (seqs: readonly Sequence[]): number => roundUp(Math.max(1, ...seqs.map((s) => s.blocks.length)), TABLE_STEP);

/** (rows, width): the blocks of each row's sequence. */
function blockTable(seqs: readonly Sequence[], rows: number, width: number): Uint32Array {
  const table = new Uint32Array(rows * width);
  seqs.forEach((s, i) => {
    table.set(s.blocks, i * width);
  });
  return table;
}

const sum = (values: Uint32Array): number => values.reduce((a, b) => a + b, 0);

/** Why the request is finished once `token` is its last, if it is. */
function finishedBy({ request, tokens }: Running, token: number): Completion['finished'] | undefined {
  // Asked first: it sees every token.
  const asked = request.stopAfter?.(token) ?? false;
  if (asked || request.stopTokens.includes(token)) return 'stop';
  return tokens.length >= request.maxTokens ? 'length' : undefined;
}

/** @throws EngineError for a number out of its range. */
function checkOptions({ repetitionPenalty = 1, temperature = 1, topK = 0, topP = 1, minP = 0 }: SamplingOptions): void {
  const refuse = (name: string, value: number, expected: string) => {
    throw new EngineError(`sample: ${name} is ${value}; expected ${expected}`);
  };
  if (!(repetitionPenalty > 0 && repetitionPenalty < Number.POSITIVE_INFINITY))
    refuse('repetitionPenalty', repetitionPenalty, 'a number above 0, 1 for none');
  if (!(temperature >= 0 && temperature < Number.POSITIVE_INFINITY)) refuse('temperature', temperature, 'at least 0, 0 for greedy');
  if (!Number.isInteger(topK) || topK < 0) refuse('topK', topK, 'a whole number, 0 for all tokens');
  if (!(topP > 0 && topP <= 1)) refuse('topP', topP, 'a share above 0, 1 for all tokens');
  if (!(minP >= 0 && minP <= 1)) refuse('minP', minP, 'a share, 0 for all tokens');
}

/** The u32 words of a read-back that holds f32 numbers too. The reference's memory has numbers, not words. */
const idsIn = (numbers: Float32Array, kind: BackendKind): Uint32Array =>
  kind === 'reference' ? Uint32Array.from(numbers) : new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);

const completionOf = ({ tokens, logprobs, entropies }: Running, finished: 'stop' | 'length'): Completion => ({
  tokens: Uint32Array.from(tokens),
  logprobs: Float32Array.from(logprobs),
  entropies: Float32Array.from(entropies),
  finished,
});
