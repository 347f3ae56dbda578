/** Shape of a decoder-only transformer, in the words of Hugging Face's config.json. */
export interface TransformerConfig {
  readonly model_type: 'qwen2' | 'llama';
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rope_theta: number;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
  /** Biases on q, k, v: always in Qwen2; in Llama on q, k, v and o when its config says `attention_bias`. */
  readonly attention_bias: boolean;
}

/** A config.json asks for something this transformer does not do; the message names the key. */
export class ModelConfigError extends Error {
  override readonly name = 'ModelConfigError';
}

/** Keys that, when set to something else than given here, change the arithmetic in ways that are not implemented. */
const UNSUPPORTED: Readonly<Record<string, readonly unknown[]>> = {
  hidden_act: ['silu'],
  rope_scaling: [null],
  use_sliding_window: [false],
  mlp_bias: [false],
};

/**
 * Reads a parsed config.json of the Qwen2 or Llama family.
 * @throws ModelConfigError naming the key, what was expected and what was found.
 */
export function parseTransformerConfig(json: unknown): TransformerConfig {
  if (typeof json !== 'object' || json === null)
    throw new ModelConfigError(`config: expected an object, got ${json === null ? 'null' : typeof json}`);
  const raw = { ...(json as Record<string, unknown>) };
  const { model_type } = raw;
  if (model_type !== 'qwen2' && model_type !== 'llama') {
    throw new ModelConfigError(`config: model_type is ${JSON.stringify(model_type)}; expected "qwen2" or "llama"`);
  }
  for (const [key, allowed] of Object.entries(UNSUPPORTED)) {
    if (raw[key] !== undefined && !allowed.includes(raw[key])) {
      throw new ModelConfigError(`config: ${key} = ${JSON.stringify(raw[key])} is not supported; expected ${JSON.stringify(allowed[0])}`);
    }
  }
  const size = (key: string, fallback?: number): number => {
    const value = raw[key] ?? fallback;
    if (!Number.isInteger(value) || (value as number) < 1)
      throw new ModelConfigError(`config: ${key} is ${JSON.stringify(raw[key])}; expected a whole number above 0`);
    return value as number;
  };
  const real = (key: string, fallback: number): number => {
    const value = raw[key] ?? fallback;
    if (typeof value !== 'number' || !(value > 0))
      throw new ModelConfigError(`config: ${key} is ${JSON.stringify(value)}; expected a number above 0`);
    return value;
  };
  const flag = (key: string, fallback: boolean): boolean => {
    const value = raw[key] ?? fallback;
    if (typeof value !== 'boolean') throw new ModelConfigError(`config: ${key} is ${JSON.stringify(value)}; expected true or false`);
    return value;
  };
  // transformers 5 writes the rotary settings as one object and no top-level rope_theta.
  const rope = raw['rope_parameters'];
  if (rope !== undefined && rope !== null) {
    const { rope_type: type, rope_theta: theta } = rope as Record<string, unknown>;
    if (type !== 'default')
      throw new ModelConfigError(`config: rope_parameters.rope_type = ${JSON.stringify(type)} is not supported; expected "default"`);
    raw['rope_theta'] ??= theta;
  }
  const heads = size('num_attention_heads');
  const config: TransformerConfig = {
    model_type,
    vocab_size: size('vocab_size'),
    hidden_size: size('hidden_size'),
    intermediate_size: size('intermediate_size'),
    num_hidden_layers: size('num_hidden_layers'),
    num_attention_heads: heads,
    num_key_value_heads: size('num_key_value_heads', heads),
    head_dim: size('head_dim', size('hidden_size') / heads),
    max_position_embeddings: size('max_position_embeddings'),
    rope_theta: real('rope_theta', 10_000),
    rms_norm_eps: real('rms_norm_eps', 1e-6),
    tie_word_embeddings: flag('tie_word_embeddings', false),
    attention_bias: flag('attention_bias', model_type === 'qwen2'),
  };
  if (config.head_dim % 4 !== 0 || config.head_dim > 128) {
    throw new ModelConfigError(`config: head_dim is ${config.head_dim}; expected a multiple of 4, at most 128`);
  }
  if (heads % config.num_key_value_heads !== 0) {
    throw new ModelConfigError(`config: num_attention_heads ${heads} is no multiple of num_key_value_heads ${config.num_key_value_heads}`);
  }
  return config;
}
