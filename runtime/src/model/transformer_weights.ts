/** The weights of a transformer: their names and shapes, and how a device keeps them for one model or for several that share them. */
import type { WeightType } from '@eagrl/kernels';
import { type BackendKind, SLICE_ALIGN } from '../backend.ts';
import type { Context } from '../context.ts';
import { ropeTable } from '../ops/rope.ts';
import type { Weight } from '../ops/weight.ts';
import { type Parameter, type ParamGroup, type ParamSpec, ParamStore } from '../params.ts';
import { StoredWeights } from '../stored.ts';
import type { Tensor } from '../tensor.ts';
import type { TransformerConfig } from './config.ts';

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
    if (c.attention_bias && c.model_type !== 'qwen2') specs.push(vector(`${at}.self_attn.o_proj.bias`, c.hidden_size));
    if (c.model_type === 'qwen3') for (const n of ['q_norm', 'k_norm']) specs.push(vector(`${at}.self_attn.${n}.weight`, c.head_dim));
    specs.push(vector(`${at}.post_attention_layernorm.weight`, c.hidden_size));
    specs.push(matrix(`${at}.mlp.gate_proj`, c.intermediate_size, c.hidden_size));
    specs.push(matrix(`${at}.mlp.up_proj`, c.intermediate_size, c.hidden_size));
    specs.push(matrix(`${at}.mlp.down_proj`, c.hidden_size, c.intermediate_size));
  }
  specs.push(vector('model.norm.weight', c.hidden_size));
  if (!c.tie_word_embeddings) specs.push(matrix('lm_head', c.vocab_size, c.hidden_size));
  return specs;
}

const QKV = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj'] as const;
const GATE_UP = ['mlp.gate_proj', 'mlp.up_proj'] as const;
const grouped = (layer: number, paths: readonly string[], end: string): ParamGroup => paths.map((p) => `model.layers.${layer}.${p}.${end}`);

/** Which projections of a layer are one product. */
export interface Fusion {
  readonly qkv: boolean;
  readonly gateUp: boolean;
}

/**
 * Projections that read the same activation are one product where all weights are f32 and their rows leave no gap in memory; queries, keys and values
 * where nothing stands between them and the turn (Qwen3's norms). `adapted`: paths of projections with an adapter of their own, which fuse with none.
 * Not on WebAssembly: a launch costs it a microsecond, and a step of the tiny policy took as long fused (LOG.md, 2026-11-27).
 */
export function fusionOf(c: TransformerConfig, dtype: WeightType, backend: BackendKind, adapted: readonly string[] = []): Fusion {
  const noGap = (...lengths: readonly number[]) => lengths.every((n) => n % SLICE_ALIGN === 0);
  const plain = (paths: readonly string[]) =>
    backend !== 'wasm' && dtype === 'f32' && !adapted.some((a) => paths.some((p) => a.endsWith(p)));
  const [q, kv] = [c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim];
  return {
    qkv: c.model_type !== 'qwen3' && noGap(q * c.hidden_size, kv * c.hidden_size, ...(c.attention_bias ? [q, kv] : [])) && plain(QKV),
    gateUp: noGap(c.intermediate_size * c.hidden_size) && plain(GATE_UP),
  };
}

/** Projections of a layer that lie side by side; undefined where they do not. */
export interface FusedLayer {
  readonly qkv?: { readonly weight: Parameter; readonly bias?: Parameter };
  readonly gateUp?: Parameter;
}

/** What models that differ in their adapter alone have in common. Counted: the last of them frees it. */
export class TransformerWeights {
  /** All weights, or all but the matrices in `stored`. */
  readonly params: ParamStore;
  /** Frozen matrices that are kept in another format than f32. */
  readonly stored: StoredWeights | undefined;
  /** (max_position_embeddings, head_dim). */
  readonly cosSin: Tensor;
  /** By layer. */
  readonly fused: readonly FusedLayer[];
  readonly #ctx: Context;
  #users = 0;

  constructor(ctx: Context, config: TransformerConfig, dtype: WeightType) {
    this.#ctx = ctx;
    const specs = transformerParams(config);
    const isPacked = ({ shape }: ParamSpec) => dtype !== 'f32' && shape.length === 2;
    const { qkv, gateUp } = fusionOf(config, dtype, ctx.backend.kind);
    const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => ({
      qkv: qkv ? grouped(i, QKV, 'weight') : undefined,
      bias: qkv && config.attention_bias ? grouped(i, QKV, 'bias') : undefined,
      gateUp: gateUp ? grouped(i, GATE_UP, 'weight') : undefined,
    }));
    this.params = new ParamStore(
      ctx,
      specs.filter((s) => !isPacked(s)),
      layers.flatMap((l) => [l.qkv, l.bias, l.gateUp].flatMap((g) => (g ? [g] : []))),
    );
    const joined = (group?: ParamGroup) => group && this.params.joined(group);
    this.fused = layers.map((l) => {
      const [weight, bias] = [joined(l.qkv), joined(l.bias)];
      return { qkv: weight && (bias || !l.bias) ? { weight, bias } : undefined, gateUp: joined(l.gateUp) };
    });
    try {
      if (dtype !== 'f32') this.stored = new StoredWeights(ctx, specs.filter(isPacked), dtype);
      const { max_position_embeddings: positions, head_dim: dim } = config;
      this.cosSin = ctx.persist(ctx.from(ropeTable(config), [positions, dim]));
    } catch (error) {
      this.stored?.destroy();
      this.params.destroy();
      throw error;
    }
  }

  /** Models that use these weights now. */
  get users(): number {
    return this.#users;
  }

  /** By the name in the checkpoint. @throws Error when there is none. */
  get(name: string): Weight {
    return this.stored?.has(name) ? this.stored.get(name) : this.params.get(name);
  }

  retain(): void {
    this.#users++;
  }

  release(): void {
    if (--this.#users > 0) return;
    this.params.destroy();
    this.stored?.destroy();
    this.#ctx.free(this.cosSin);
  }
}
