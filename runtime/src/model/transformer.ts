/**
 * Decoder-only transformer of the Qwen2 and Llama families: pre-norm RMSNorm, rotary positions, grouped-query attention, SwiGLU.
 *
 *   x = embed(ids);  per layer: x += o_proj(attention(norm(x)));  x += down(silu(gate(norm(x))) up(norm(x)));  h = norm(x)
 *
 * `forward` runs packed batches (training, scoring); `decode` runs rows against a paged KV cache (generation). Same parameters.
 */
import { attentionDecode as decodeSpec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import { add } from '../ops/add.ts';
import { attention } from '../ops/attention.ts';
import { embedding } from '../ops/embedding.ts';
import { linear } from '../ops/linear.ts';
import { rmsnorm } from '../ops/rmsnorm.ts';
import { rope, ropeTable } from '../ops/rope.ts';
import { swiglu } from '../ops/swiglu.ts';
import type { Pack } from '../pack.ts';
import { type Parameter, type ParamSpec, ParamStore } from '../params.ts';
import type { Tensor } from '../tensor.ts';
import type { TransformerConfig } from './config.ts';
import { type InitScheme, initWeights } from './init.ts';

/** Rows of a decode step; all u32 tensors of length rows, except blockTable (rows, maxBlocks). */
export interface DecodeRows {
  readonly positions: Tensor;
  /** Where in the cache each row's key and value go: block * blockSize + offset, or NO_SLOT. */
  readonly slots: Tensor;
  /** Keys each row sees, its own included; 0 for a row that only fills the batch. */
  readonly seqLens: Tensor;
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

/** Names, shapes and decay of all parameters, in the order of a Hugging Face checkpoint. */
export function transformerParams(c: TransformerConfig): ParamSpec[] {
  const q = c.num_attention_heads * c.head_dim;
  const kv = c.num_key_value_heads * c.head_dim;
  const matrix = (name: string, rows: number, cols: number): ParamSpec => ({ name: `${name}.weight`, shape: [rows, cols], decay: true });
  const vector = (name: string, length: number): ParamSpec => ({ name, shape: [length], decay: false });
  const specs = [matrix('model.embed_tokens', c.vocab_size, c.hidden_size)];
  for (let i = 0; i < c.num_hidden_layers; i++) {
    const at = `model.layers.${i}`;
    specs.push(vector(`${at}.input_layernorm.weight`, c.hidden_size));
    for (const [name, rows] of [
      ['q_proj', q],
      ['k_proj', kv],
      ['v_proj', kv],
    ] as const) {
      specs.push(matrix(`${at}.self_attn.${name}`, rows, c.hidden_size));
      if (c.attention_bias) specs.push(vector(`${at}.self_attn.${name}.bias`, rows));
    }
    specs.push(matrix(`${at}.self_attn.o_proj`, c.hidden_size, q));
    if (c.attention_bias && c.model_type === 'llama') specs.push(vector(`${at}.self_attn.o_proj.bias`, c.hidden_size));
    specs.push(vector(`${at}.post_attention_layernorm.weight`, c.hidden_size));
    specs.push(matrix(`${at}.mlp.gate_proj`, c.intermediate_size, c.hidden_size));
    specs.push(matrix(`${at}.mlp.up_proj`, c.intermediate_size, c.hidden_size));
    specs.push(matrix(`${at}.mlp.down_proj`, c.hidden_size, c.intermediate_size));
  }
  specs.push(vector('model.norm.weight', c.hidden_size));
  if (!c.tie_word_embeddings) specs.push(matrix('lm_head', c.vocab_size, c.hidden_size));
  return specs;
}

export class Transformer {
  readonly config: TransformerConfig;
  readonly params: ParamStore;
  readonly #ctx: Context;
  /** (max_position_embeddings, head_dim). */
  readonly #cosSin: Tensor;

  /** All parameters are zero until `init` or loadParams. */
  constructor(ctx: Context, config: TransformerConfig) {
    this.#ctx = ctx;
    this.config = config;
    this.params = new ParamStore(ctx, transformerParams(config));
    const { max_position_embeddings: positions, head_dim: dim } = config;
    this.#cosSin = ctx.persist(ctx.from(ropeTable(positions, dim, config.rope_theta), [positions, dim]));
  }

  /** (V, C): the embedding itself when the two are tied. */
  get headWeight(): Parameter {
    return this.params.get(this.config.tie_word_embeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');
  }

  /** Sets all weights from a seed; a parameter's numbers depend on seed, name and scheme only. See initWeights. */
  init(seed: number, scheme: InitScheme = 'gpt2'): void {
    for (const [name, values] of initWeights(this.config, this.params.list, seed, scheme)) this.params.write(name, values);
  }

  /** Hidden states (T, C) after the final norm. Recorded if a tape is. @throws Error when a position exceeds the context. */
  forward(pack: Pack): Tensor {
    const ctx = this.#ctx;
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim, max_position_embeddings: limit } = this.config;
    const longest = pack.positions.reduce((m, p) => Math.max(m, p + 1), 0);
    if (longest > limit) throw new Error(`forward: a sequence of ${longest} tokens exceeds the context of ${limit}; shorten the prompt`);
    return ctx.scope(() => {
      const { owner, views } = ctx.fromMany([pack.positions, pack.seg]);
      ctx.tape?.keep(owner);
      const [positions, flatSeg] = views;
      const seg = { ...flatSeg, shape: [pack.ids.length, 4] };
      const x = embedding(ctx, this.params.get('model.embed_tokens.weight'), pack.ids);
      return this.#layers(x, positions, (_, q, k, v) => attention(ctx, q, k, v, seg, { heads, kvHeads, headDim }));
    });
  }

  /** Writes the rows' keys and values into the cache and returns their hidden states (rows, C) after the final norm. No tape. */
  decode(ids: Tensor, rows: DecodeRows, cache: PagedKv): Tensor {
    const ctx = this.#ctx;
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim } = this.config;
    if (ctx.tape) throw new Error('decode: a tape is recording; generation has no backward');
    const { blockSize, numBlocks } = cache;
    const [count, maxBlocks] = rows.blockTable.shape;
    const kvShape = { rows: count, kv_heads: kvHeads, head_dim: headDim };
    return ctx.scope(() => {
      const x = embedding(ctx, this.params.get('model.embed_tokens.weight'), ids);
      return this.#layers(x, rows.positions, (layer, q, k, v) => {
        const kv = [cache.keys[layer], cache.values[layer]];
        ctx.run(decodeSpec, 'kv_write', [...kv, k, v, rows.slots], { ...kvShape, num_slots: numBlocks * blockSize });
        const o = ctx.tensor(q.shape);
        ctx.run(decodeSpec, 'attention_decode', [o, q, ...kv, rows.blockTable, rows.seqLens], {
          ...kvShape,
          heads,
          block_size: blockSize,
          max_blocks: maxBlocks,
          num_blocks: numBlocks,
          scale: 1 / Math.sqrt(headDim),
        });
        return o;
      });
    });
  }

  destroy(): void {
    this.params.destroy();
    this.#ctx.free(this.#cosSin);
  }

  #layers(x: Tensor, positions: Tensor, attend: Attend): Tensor {
    const ctx = this.#ctx;
    for (let i = 0; i < this.config.num_hidden_layers; i++) {
      const input = x;
      x = ctx.scope(() => this.#layer(i, input, positions, attend));
      if (!ctx.tape) ctx.free(input);
    }
    return rmsnorm(ctx, x, this.params.get('model.norm.weight'), this.config.rms_norm_eps);
  }

  #layer(i: number, x: Tensor, positions: Tensor, attend: Attend): Tensor {
    const ctx = this.#ctx;
    const { num_attention_heads: heads, num_key_value_heads: kvHeads, rms_norm_eps: eps } = this.config;
    const at = `model.layers.${i}`;
    const project = (from: Tensor, name: string): Tensor => {
      const bias = `${at}.${name}.bias`;
      return linear(ctx, from, this.params.get(`${at}.${name}.weight`), this.params.has(bias) ? this.params.get(bias) : undefined);
    };
    const normed = rmsnorm(ctx, x, this.params.get(`${at}.input_layernorm.weight`), eps);
    const q = rope(ctx, project(normed, 'self_attn.q_proj'), positions, this.#cosSin, heads);
    const k = rope(ctx, project(normed, 'self_attn.k_proj'), positions, this.#cosSin, kvHeads);
    const v = project(normed, 'self_attn.v_proj');
    const mid = add(ctx, x, project(attend(i, q, k, v), 'self_attn.o_proj'));
    const normedMid = rmsnorm(ctx, mid, this.params.get(`${at}.post_attention_layernorm.weight`), eps);
    const mlp = swiglu(ctx, project(normedMid, 'mlp.gate_proj'), project(normedMid, 'mlp.up_proj'));
    return add(ctx, mid, project(mlp, 'mlp.down_proj'));
  }
}
