/** Model types of config.json that this transformer computes. SmolLM2 and its like are `llama`. */
export const MODEL_TYPES = ['qwen2', 'qwen3', 'llama'] as const;
export type ModelType = (typeof MODEL_TYPES)[number];

/** Llama 3.1's stretched rotary embedding, in the words of config.json; the formula is in ops/rope.ts. */
export interface Llama3Scaling {
  readonly rope_type: 'llama3';
  readonly factor: number;
  readonly low_freq_factor: number;
  readonly high_freq_factor: number;
  readonly original_max_position_embeddings: number;
}

/** Shape of a decoder-only transformer, in the words of Hugging Face's config.json. */
export interface TransformerConfig {
  readonly model_type: ModelType;
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rope_theta: number;
  /** Null: the plain rotary embedding of `rope_theta`. */
  readonly rope_scaling: Llama3Scaling | null;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
  /** Biases on q, k, v: always in Qwen2; in Llama and Qwen3 on q, k, v and o when the config says `attention_bias`. */
  readonly attention_bias: boolean;
}

/** A config.json asks for something this transformer does not do; the message names the key. */
export class ModelConfigError extends Error {
  override readonly name = 'ModelConfigError';
}

/** Keys that, when set to something else than given here, change the arithmetic in ways that are not implemented. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ['silu'],
  use_sliding_window: [false],
  mlp_bias: [false],
  attention_dropout: [0],
  partial_rotary_factor: [1],
  rope_interleaved: [false],
  quantization_config: [],
  num_experts: [],
  num_local_experts: [],
};

/** Why a key that names no allowed value is refused. */
const REASONS: Readonly<Record<string, string>> = {
  quantization_config: 'the checkpoint is quantised; take the bf16, f16 or f32 weights it was made from',
  num_experts: 'mixtures of experts are not computed',
  num_local_experts: 'mixtures of experts are not computed',
};

/**
 * What is made for each layer and each position before any weight is looked at: a file may not ask for more than there are models for. Other
 * sizes are compared with the weights.
 */
const MOST: Readonly<Record<string, number>> = { num_hidden_layers: 10_000, max_position_embeddings: 2 ** 21 };

/** Class names that config.json's `architectures` may hold. */
const ARCHITECTURES: Readonly<Record<ModelType, string>> = {
  qwen2: 'Qwen2ForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
  llama: 'LlamaForCausalLM',
};

/**
 * Reads a parsed config.json of the Qwen2, Qwen3 or Llama family; keys that do not enter the arithmetic are passed over.
 * @throws ModelConfigError naming the key, what was expected and what was found.
 */
export function parseTransformerConfig(json: unknown): TransformerConfig {
  if (typeof json !== 'object' || json === null)
    throw new ModelConfigError(`config: expected an object, got ${json === null ? 'null' : typeof json}`);
  const raw = json as Readonly<Record<string, unknown>>;
  const model_type = MODEL_TYPES.find((known) => known === raw['model_type']);
  if (model_type === undefined) {
    throw new ModelConfigError(`config: model_type is ${show(raw['model_type'])}; expected ${MODEL_TYPES.join(', ')}`);
  }
  checkUnsupported(raw, model_type);
  const size = (key: string, fallback?: number): number => {
    const value = raw[key] ?? fallback;
    if (!Number.isInteger(value) || (value as number) < 1)
      throw new ModelConfigError(`config: ${key} is ${show(raw[key])}; expected a whole number above 0`);
    const most = MOST[key] ?? 2 ** 31 - 1;
    if ((value as number) > most) throw new ModelConfigError(`config: ${key} is ${show(raw[key])}; expected at most ${most}`);
    return value as number;
  };
  const real = (key: string, fallback: number): number => {
    const value = raw[key] ?? fallback;
    if (typeof value !== 'number' || !(value > 0))
      throw new ModelConfigError(`config: ${key} is ${show(value)}; expected a number above 0`);
    return value;
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const value = raw[key] ?? fallback;
    if (typeof value !== 'boolean') throw new ModelConfigError(`config: ${key} is ${show(value)}; expected true or false`);
    return value;
  };
  const rope = readRope(raw);
  const heads = size('num_attention_heads');
  const config: TransformerConfig = {
    model_type,
    vocab_size: size('vocab_size'),
    hidden_size: size('hidden_size'),
    intermediate_size: size('intermediate_size'),
    num_hidden_layers: size('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads: size('num_key_value_heads', heads),
    head_dim: size('head_dim', model_type === 'qwen3' ? 128 : size('hidden_size') / heads),
    max_position_embeddings: size('max_position_embeddings'),
    rope_theta: rope.theta,
    rope_scaling: rope.scaling,
    rms_norm_eps: real('rms_norm_eps', 1e-6),
    tie_word_embeddings: flag('tie_word_embeddings', false),
    attention_bias: flag('attention_bias', model_type === 'qwen2'),
  };
  if (config.head_dim % 4 !== 0 || config.head_dim > 128) {
    throw new ModelConfigError(`config: head_dim is ${config.head_dim}; expected a multiple of 4, at most 128`);
  }
  if (model_type === 'qwen2' && !config.attention_bias) {
    throw new ModelConfigError('config: attention_bias is false; qwen2 always has biases on q, k and v');
  }
  if (heads % config.num_key_value_heads !== 0) {
    throw new ModelConfigError(`config: num_attention_heads ${heads} is no multiple of num_key_value_heads ${config.num_key_value_heads}`);
  }
  return config;
}

/** Values come from the file: keep messages short. */
function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function checkUnsupported(raw: Readonly<Record<string, unknown>>, type: ModelType): void {
  for (const [key, allowed] of Object.entries(UNSUPPORTED)) {
    const value = raw[key] ?? undefined;
    if (value === undefined || allowed.includes(value)) continue;
    throw new ModelConfigError(`config: ${key} = ${show(value)} is not supported; ${REASONS[key] ?? `expected ${show(allowed[0])}`}`);
  }
  const { architectures, layer_types: layers } = raw;
  if (architectures !== undefined && architectures !== null) {
    if (!Array.isArray(architectures) || architectures.some((a) => a !== ARCHITECTURES[type]))
      throw new ModelConfigError(`config: architectures is ${show(architectures)}; expected ["${ARCHITECTURES[type]}"] for ${type}`);
  }
  if (layers !== undefined && layers !== null) {
    const other = Array.isArray(layers) ? layers.find((l) => l !== 'full_attention') : layers;
    if (other !== undefined) throw new ModelConfigError(`config: layer_types holds ${show(other)}; expected "full_attention" alone`);
  }
}

/**
 * The rotary embedding: `rope_theta` and `rope_scaling` as transformers 4 writes them, or both in one `rope_parameters`, as 5 does.
 * The type stood under `type` before it stood under `rope_type`.
 */
function readRope(raw: Readonly<Record<string, unknown>>): { theta: number; scaling: Llama3Scaling | null } {
  const key = isObject(raw['rope_parameters']) ? 'rope_parameters' : 'rope_scaling';
  const given = raw[key] ?? {};
  if (!isObject(given)) throw new ModelConfigError(`config: ${key} is ${show(given)}; expected an object or null`);
  const at = (name: string, value: unknown): number => {
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value))
      throw new ModelConfigError(`config: ${name} is ${show(value)}; expected a number above 0`);
    return value;
  };
  const theta = at('rope_theta', given['rope_theta'] ?? raw['rope_theta'] ?? 10_000);
  if (given['partial_rotary_factor'] !== undefined && given['partial_rotary_factor'] !== 1)
    throw new ModelConfigError(
      `config: ${key}.partial_rotary_factor = ${show(given['partial_rotary_factor'])} is not supported; expected 1`,
    );
  const type = given['rope_type'] ?? given['type'] ?? 'default';
  if (type === 'default') return { theta, scaling: null };
  if (type !== 'llama3')
    throw new ModelConfigError(`config: ${key}.rope_type = ${show(type)} is not supported; expected "default" or "llama3"`);
  const number = (name: string): number => at(`${key}.${name}`, given[name]);
  const scaling: Llama3Scaling = {
    rope_type: 'llama3',
    factor: number('factor'),
    low_freq_factor: number('low_freq_factor'),
    high_freq_factor: number('high_freq_factor'),
    original_max_position_embeddings: number('original_max_position_embeddings'),
  };
  if (!(scaling.high_freq_factor > scaling.low_freq_factor)) {
    throw new ModelConfigError(
      `config: ${key}.high_freq_factor ${scaling.high_freq_factor} must be above low_freq_factor ${scaling.low_freq_factor}`,
    );
  }
  return { theta, scaling };
}

const isObject = (x: unknown): x is Readonly<Record<string, unknown>> => typeof x === 'object' && x !== null && !Array.isArray(x);
