/**
 * Decoder-only transformer of the Qwen2, Qwen3 and Llama families: pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU.
 * Qwen3 norms each head of q and k before it is turned.
 *
 *   x = embed(ids);  per layer: x += o_proj(attention(norm(x)));  x += down(silu(gate(norm(x))) up(norm(x)));  h = norm(x)
 *
 * `forward` runs packed batches (training, scoring); `decode` and `prefill` run rows against a paged KV cache (generation). Same
 * parameters. What nobody reads is not computed: past its attention the last layer has only the rows that `forward` returns, and in
 * `prefill` it has keys and values alone.
 */
import { attentionDecode as decodeSpec, type WeightType } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { attention } from '../ops/attention.ts';
import { embedding, gatherRows } from '../ops/embedding.ts';
import { type LowRank, linear } from '../ops/linear.ts';
import { type Epilogue, matmul } from '../ops/matmul.ts';
import { rmsnorm } from '../ops/rmsnorm.ts';
import { rope, ropeQkv } from '../ops/rope.ts';
import { swiglu, swigluFused } from '../ops/swiglu.ts';
import type { Weight } from '../ops/weight.ts';
import type { Pack } from '../pack.ts';
import { type Parameter, ParamStore } from '../params.ts';
import { bindingLimit } from '../parts.ts';
import type { StoredWeights } from '../stored.ts';
import { type Tensor, view } from '../tensor.ts';
import { ModelConfigError, type TransformerConfig } from './config.ts';
import { type InitScheme, initWeights } from './init.ts';
import { initLora, type LoraConfig, loraNames, loraParams, loraPaths } from './lora.ts';
import { type Fusion, fusionOf, TransformerWeights, transformerParams } from './transformer_weights.ts';

/** Rows of a decode step; all u32 tensors of length rows, except blockTable (rows, maxBlocks). */
export interface DecodeRows {
  readonly positions: Tensor;
  /** Where in the cache each row's key and value go: block * blockSize + offset, or NO_SLOT. */
  readonly slots: Tensor;
  /** Keys each row sees, its own included; 0 for a row that only fills the batch. */
  readonly seqLens: Tensor;
  /** Their sum. */
  readonly pairs: number;
  readonly blockTable: Tensor;
}

/** Keys and values of all layers: per layer (numBlocks, blockSize, kvHeads, headDim). */
export interface PagedKv {
  readonly keys: readonly Tensor[];
  readonly values: readonly Tensor[];
  readonly blockSize: number;
  readonly numBlocks: number;
}

/** A slot that nothing is written to. */
export const NO_SLOT = 0xffffffff;

type Attend = (layer: number, q: Tensor, k: Tensor, v: Tensor) => Tensor;

/** What all layers of one pass share. */
interface Pass {
  readonly positions: Tensor;
  readonly attend: Attend;
  readonly draw?: DropoutDraw;
  /** Whether there is a backward pass: then checkpointed layers compute without a tape what they compute again with one. */
  readonly trains?: boolean;
  /** Rows that are read after the last layer; all, if not given. */
  readonly read?: Uint32Array;
}

/** Which random numbers an adapter's dropout takes in one forward pass. */
export interface DropoutDraw {
  readonly seed: number;
  /** Another stream, other masks: count it up from pass to pass. */
  readonly stream: number;
}

export class Transformer {
  readonly config: TransformerConfig;
  readonly lora: LoraConfig | undefined;
  /** The low-rank matrices, by PEFT's names. */
  readonly adapter: ParamStore | undefined;
  /** Whether training keeps each layer's input alone and computes the layer again in the backward pass: less memory, the same bits. */
  gradientCheckpointing = false;
  readonly #ctx: Context;
  readonly #weights: TransformerWeights;
  /** Projections with an adapter, numbered. */
  readonly #adapted: ReadonlyMap<string, number> = new Map();
  readonly #fusion: Fusion;

  /**
   * Parameters are zero, `stored` matrices unspecified, until `init` or loadWeights; those of the adapter until `initAdapter` or loadParams.
   * Matrices of another `dtype` than f32 are frozen: an adapter can be trained beside them, they cannot. `weights`: see `withAdapter`.
   * @throws ModelConfigError as `loraPaths`; DeviceError when memory does not suffice: then none is taken, and a smaller model may fit.
   */
  constructor(ctx: Context, config: TransformerConfig, lora?: LoraConfig, dtype: WeightType = 'f32', weights?: TransformerWeights) {
    this.#ctx = ctx;
    this.config = config;
    this.lora = lora;
    const specs = transformerParams(config);
    if (lora) this.#adapted = new Map(loraPaths(specs, lora).map(({ path }, i) => [path, i]));
    this.#weights = weights ?? new TransformerWeights(ctx, config, dtype);
    this.#fusion = fusionOf(config, this.stored?.dtype ?? 'f32', ctx.backend.kind, [...this.#adapted.keys()]);
    this.#weights.retain();
    try {
      if (lora) this.adapter = new ParamStore(ctx, loraParams(specs, lora));
    } catch (error) {
      this.#weights.release();
      throw error;
    }
  }

  /** All weights, or all but the matrices in `stored`; with an adapter they are frozen, and no gradient of theirs is computed or held. */
  get params(): ParamStore {
    return this.#weights.params;
  }

  /** Frozen matrices that are kept in another format than f32. */
  get stored(): StoredWeights | undefined {
    return this.#weights.stored;
  }

  /**
   * Another model of the same weights, with an adapter of its own (still to be set) or with none. The weights are not copied: they stay until
   * the last model that uses them is destroyed. @throws ModelConfigError when the adapter does not fit the model.
   */
  withAdapter(lora?: LoraConfig): Transformer {
    return new Transformer(this.#ctx, this.config, lora, 'f32', this.#weights);
  }

  /**
   * This model as it stands, whatever training does to it afterwards: the reference of a KL term. The adapter is copied and the weights are
   * shared; without an adapter the weights are copied. @throws ModelConfigError as `trainable`.
   */
  snapshot(): Transformer {
    const { trainable } = this; // throws before anything is made
    const copy = this.adapter ? this.withAdapter(this.lora) : new Transformer(this.#ctx, this.config);
    copy.trainable.copyFrom(trainable);
    return copy;
  }

  /** (V, C): the embedding itself when the two are tied. */
  get headWeight(): Weight {
    return this.weight(this.config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  }

  /** A matrix of the model by its name in the checkpoint. @throws Error when there is none. */
  weight(name: string): Weight {
    return this.#weights.get(name);
  }

  /** Sets all weights from a seed; a parameter's numbers depend on seed, name and scheme only. See initWeights. */
  init(seed: number, scheme: InitScheme = 'gpt2'): void {
    for (const [name, values] of initWeights(this.config, transformerParams(this.config), seed, scheme)) {
      (this.stored?.has(name) ? this.stored : this.params).write(name, values);
    }
  }

  /** What training changes: the adapter if there is one, else all weights. @throws ModelConfigError when those are frozen or shared. */
  get trainable(): ParamStore {
    if (!this.adapter) this.#expectUnshared('trainable');
    if (this.stored && !this.adapter) {
      throw new ModelConfigError(
        `weights kept as ${this.stored.dtype} are frozen; train an adapter beside them (model.use_peft true), or all weights as f32`,
      );
    }
    return this.adapter ?? this.params;
  }

  /** Sets the adapter to its start, which changes nothing yet; see initLora. */
  initAdapter(seed: number): void {
    if (!this.adapter) throw new Error('initAdapter: the model has no adapter');
    for (const [name, values] of initLora(this.adapter.list, seed)) this.adapter.write(name, values);
  }

  /**
   * Adds the adapter to the weights, W += (alpha / r) B A, and sets B to zero: what the model computes stays the same.
   * @throws ModelConfigError when the weights are not kept as f32, or are shared.
   */
  mergeAdapter(): void {
    const { adapter, stored } = this;
    if (!adapter) throw new Error('mergeAdapter: the model has no adapter');
    if (stored) {
      throw new ModelConfigError(`mergeAdapter: the weights are kept as ${stored.dtype}; merge into the original ones, loaded as f32`);
    }
    this.#expectUnshared('mergeAdapter');
    for (const path of this.#adapted.keys()) {
      const { a, b, scale } = this.#lowRank(path) as LowRank;
      const [out, r] = b.shape;
      for (const { start, rows, w } of this.params.get(`${path}.weight`).parts) {
        const shape = { m: rows, n: a.shape[1], k: r, alpha: scale, accumulate: 1 } as const;
        matmul(this.#ctx, 'nn', w, view(b.value, [rows, r], start * r), a.value, shape);
      }
      adapter.write(b.name, new Float32Array(out * r));
    }
  }

  /** One weight as f32 numbers. @throws Error when it is kept in another format. */
  async readWeight(name: string): Promise<Float32Array> {
    const { stored, params } = this;
    if (stored?.has(name)) throw new Error(`readWeight: '${name}' is kept as ${stored.dtype}; load the model as f32 to read it`);
    return params.readOne(name);
  }

  /**
   * Hidden states (N, C) after the final norm of the rows of T that predict the pack's targets (`pack.rows`). Recorded if a tape is.
   * The adapter's dropout acts where a `draw` is given. @throws Error when a position exceeds the context.
   */
  forward(pack: Pack, draw?: DropoutDraw): Tensor {
    const ctx = this.#ctx;
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim, max_position_embeddings: limit } = this.config;
    const layers = this.config.num_hidden_layers;
    const longest = pack.positions.reduce((m, p) => Math.max(m, p + 1), 0);
    if (longest > limit) throw new Error(`forward: a sequence of ${longest} tokens exceeds the context of ${limit}; shorten the prompt`);
    return ctx.scope(() => {
      // A tensor each: as views of one upload they would begin elsewhere in every pack, and their bind groups with them.
      const positions = ctx.from(pack.positions);
      const seg = ctx.from(pack.seg, [pack.ids.length, 4]);
      ctx.tape?.keep(positions);
      ctx.tape?.keep(seg);
      const x = embedding(ctx, this.weight('model.embed_tokens.weight'), pack.ids);
      const attend: Attend = (_, q, k, v) => attention(ctx, q, k, v, { seg, pairs: pack.pairs }, { heads, kvHeads, headDim });
      return this.#finalNorm(this.#layers(x, layers, { positions, attend, draw, trains: ctx.tape !== undefined, read: pack.rows }));
    });
  }

  /** Writes the rows' keys and values into the cache and returns their hidden states (rows, C) after the final norm. No tape. */
  decode(ids: Tensor, rows: DecodeRows, cache: PagedKv): Tensor {
    const ctx = this.#ctx;
    this.#expectNoTape('decode');
    return ctx.scope(() => {
      const x = embedding(ctx, this.weight('model.embed_tokens.weight'), ids);
      return this.#finalNorm(this.#layers(x, this.config.num_hidden_layers, this.#cachedPass(rows, cache)));
    });
  }

  /** Writes the rows' keys and values into the cache, as `decode` does, and computes nothing else. No tape. */
  prefill(ids: Tensor, rows: DecodeRows, cache: PagedKv): void {
    const ctx = this.#ctx;
    this.#expectNoTape('prefill');
    const last = this.config.num_hidden_layers - 1;
    ctx.scope(() => {
      const embedded = embedding(ctx, this.weight('model.embed_tokens.weight'), ids);
      const pass = this.#cachedPass(rows, cache);
      const x = this.#layers(embedded, last, pass);
      const { k, v } = this.#keysAndValues(last, this.#inputNorm(last, x), pass);
      this.#writeCache(last, k, v, rows, cache);
    });
  }

  destroy(): void {
    this.#weights.release();
    this.adapter?.destroy();
  }

  #expectUnshared(what: string): void {
    const { users } = this.#weights;
    if (users > 1) {
      throw new ModelConfigError(
        `${what}: ${users} models share these weights, and all would change; train an adapter, or destroy the others`,
      );
    }
  }

  #expectNoTape(what: string): void {
    if (this.#ctx.tape) throw new Error(`${what}: a tape is recording; generation has no backward`);
  }

  #writeCache(layer: number, k: Tensor, v: Tensor, rows: DecodeRows, cache: PagedKv): void {
    const { num_key_value_heads: kvHeads, head_dim: headDim } = this.config;
    const params = { rows: k.shape[0], kv_heads: kvHeads, head_dim: headDim, num_slots: cache.numBlocks * cache.blockSize };
    this.#ctx.run(decodeSpec, 'kv_write', [cache.keys[layer], cache.values[layer], k, v, rows.slots], params);
  }

  #cachedPass(rows: DecodeRows, cache: PagedKv): Pass {
    return { positions: rows.positions, attend: (layer, q, k, v) => this.#attendCached(layer, q, k, v, rows, cache) };
  }

  #attendCached(layer: number, q: Tensor, k: Tensor, v: Tensor, rows: DecodeRows, cache: PagedKv): Tensor {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = this.config;
    const [count, maxBlocks] = rows.blockTable.shape;
    this.#writeCache(layer, k, v, rows, cache);
    const o = this.#ctx.tensor(q.shape);
    const inputs = [q, cache.keys[layer], cache.values[layer], rows.blockTable, rows.seqLens];
    this.#ctx.run(decodeSpec, 'attention_decode', [o, ...inputs], {
      rows: count,
      heads,
      kv_heads: kvHeads,
      head_dim: headDim,
      block_size: cache.blockSize,
      max_blocks: maxBlocks,
      num_blocks: cache.numBlocks,
      pairs: rows.pairs,
      scale: 1 / Math.sqrt(headDim),
    });
    return o;
  }

  /** The first `count` layers, (T, C) -> (T, C), or (N, C) of the rows that the pass reads. */
  #layers(x: Tensor, count: number, pass: Pass): Tensor {
    const ctx = this.#ctx;
    for (let i = 0; i < count; i++) {
      const input = x;
      const layer = () => ctx.scope(() => this.#layer(i, input, pass, i === count - 1 ? pass.read : undefined));
      x = ctx.tape && this.gradientCheckpointing ? ctx.tape.checkpoint(input, layer) : layer();
      if (!ctx.tape) ctx.free(input);
    }
    return x;
  }

  #finalNorm(x: Tensor): Tensor {
    return rmsnorm(this.#ctx, x, this.params.get('model.norm.weight'), this.config.rms_norm_eps);
  }

  #lowRank(path: string, draw?: DropoutDraw): LowRank | undefined {
    const { adapter, lora } = this;
    const index = this.#adapted.get(path);
    if (index === undefined || !adapter || !lora) return undefined;
    const { a, b } = loraNames(path);
    const stream = (draw?.stream ?? 0) * this.#adapted.size + index;
    const drop = draw && lora.dropout > 0 ? { rate: lora.dropout, seed: draw.seed, stream } : undefined;
    return { a: adapter.get(a), b: adapter.get(b), scale: lora.alpha / lora.r, dropout: drop };
  }

  /** One layer; past its attention, only the rows in `read` (all, if not given). */
  #layer(i: number, x: Tensor, pass: Pass, read?: Uint32Array): Tensor {
    const ctx = this.#ctx;
    const { rms_norm_eps: eps } = this.config;
    const project = (from: Tensor, name: string, epilogue?: Epilogue): Tensor => this.#project(i, from, name, pass.draw, epilogue);
    const normed = this.#inputNorm(i, x);
    const { q, k, v } = this.#queriesKeysAndValues(i, normed, pass);
    const attended = pass.attend(i, q, k, v);
    const only = (t: Tensor): Tensor => (read ? gatherRows(ctx, t, read) : t);
    const before = only(x);
    const mid = project(only(attended), 'self_attn.o_proj', { kind: 'residual', aux: before });
    const normedMid = rmsnorm(ctx, mid, this.params.get(`model.layers.${i}.post_attention_layernorm.weight`), eps);
    return project(this.#gated(i, normedMid, pass), 'mlp.down_proj', { kind: 'residual', aux: mid });
  }

  /** silu(gate) up. A backward pass wants `up` itself, and an epilogue leaves none. */
  #gated(i: number, normed: Tensor, { draw, trains }: Pass): Tensor {
    const ctx = this.#ctx;
    const fused = trains && this.#fusion.gateUp ? this.#weights.fused[i].gateUp : undefined;
    if (fused && this.#binds(normed, fused)) return swigluFused(ctx, linear(ctx, normed, fused));
    const gate = this.#project(i, normed, 'mlp.gate_proj', draw);
    const up = (epilogue?: Epilogue) => this.#project(i, normed, 'mlp.up_proj', draw, epilogue);
    return ctx.tape ? swiglu(ctx, gate, up()) : up({ kind: 'swiglu', aux: gate });
  }

  /** Whether the device binds the product of all rows at once: it is wider than those of the parts. */
  #binds({ shape: [rows] }: Tensor, { shape: [out] }: Parameter): boolean {
    return 4 * rows * out <= bindingLimit(this.#ctx);
  }

  #inputNorm(i: number, x: Tensor): Tensor {
    return rmsnorm(this.#ctx, x, this.params.get(`model.layers.${i}.input_layernorm.weight`), this.config.rms_norm_eps);
  }

  #queriesKeysAndValues(i: number, normed: Tensor, pass: Pass): { q: Tensor; k: Tensor; v: Tensor } {
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = this.config;
    const fused = this.#fusion.qkv ? this.#weights.fused[i].qkv : undefined;
    if (!fused || !this.#binds(normed, fused.weight))
      return { q: this.#turned(i, normed, 'q', heads, pass), ...this.#keysAndValues(i, normed, pass) };
    const qkv = linear(this.#ctx, normed, fused.weight, fused.bias);
    return ropeQkv(this.#ctx, qkv, pass.positions, this.#weights.cosSin, { heads, kvHeads, headDim });
  }

  #keysAndValues(i: number, normed: Tensor, pass: Pass): { k: Tensor; v: Tensor } {
    const k = this.#turned(i, normed, 'k', this.config.num_key_value_heads, pass);
    return { k, v: this.#project(i, normed, 'self_attn.v_proj', pass.draw) };
  }

  /** Queries or keys at their positions; Qwen3 norms each head first. */
  #turned(i: number, normed: Tensor, name: 'q' | 'k', heads: number, { positions, draw }: Pass): Tensor {
    const ctx = this.#ctx;
    const projected = this.#project(i, normed, `self_attn.${name}_proj`, draw);
    const norm = `model.layers.${i}.self_attn.${name}_norm.weight`;
    const ready = this.params.has(norm) ? rmsnorm(ctx, projected, this.params.get(norm), this.config.rms_norm_eps) : projected;
    return rope(ctx, ready, positions, this.#weights.cosSin, heads);
  }

  /** from W^T, plus the bias and the adapter if the model has them; then the epilogue. */
  #project(i: number, from: Tensor, name: string, draw?: DropoutDraw, epilogue?: Epilogue): Tensor {
    const path = `model.layers.${i}.${name}`;
    const bias = this.params.has(`${path}.bias`) ? this.params.get(`${path}.bias`) : undefined;
    return linear(this.#ctx, from, this.weight(`${path}.weight`), bias, this.#lowRank(path, draw), epilogue);
  }
}
