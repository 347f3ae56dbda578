/**
 * Plan. config.json files in the shape of published ones (Qwen2.5, Qwen3, Llama 3.1, SmolLM2) and as transformers 5 writes them; every
 * key that this transformer does not compute is refused by its name; any JSON value at any key gives a config or ModelConfigError.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ropeFrequencies } from '../ops/rope.ts';
import { ModelConfigError, parseTransformerConfig } from './config.ts';
import { transformerParams } from './transformer_weights.ts';

const common = { hidden_act: 'silu', initializer_range: 0.02, torch_dtype: 'bfloat16', use_cache: true, attention_dropout: 0.0 };
/** Qwen/Qwen2.5-0.5B-Instruct. */
const qwen2 = {
  ...common,
  architectures: ['Qwen2ForCausalLM'],
  model_type: 'qwen2',
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  max_position_embeddings: 32_768,
  max_window_layers: 21,
  rms_norm_eps: 1e-6,
  rope_theta: 1_000_000.0,
  sliding_window: 32_768,
  use_sliding_window: false,
  tie_word_embeddings: true,
};
/** Qwen/Qwen3-0.6B. */
const qwen3 = {
  ...qwen2,
  architectures: ['Qwen3ForCausalLM'],
  model_type: 'qwen3',
  attention_bias: false,
  head_dim: 128,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  max_position_embeddings: 40_960,
  rope_scaling: null,
  sliding_window: null,
};
/** meta-llama/Llama-3.1-8B-Instruct. */
const llama3 = {
  ...common,
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  attention_bias: false,
  mlp_bias: false,
  pretraining_tp: 1,
  vocab_size: 128_256,
  hidden_size: 4096,
  intermediate_size: 14_336,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  max_position_embeddings: 131_072,
  rms_norm_eps: 1e-5,
  rope_scaling: { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 8192, rope_type: 'llama3' },
  rope_theta: 500_000.0,
  tie_word_embeddings: false,
};
/** HuggingFaceTB/SmolLM2-135M-Instruct. */
const smollm2 = {
  ...llama3,
  vocab_size: 49_152,
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  max_position_embeddings: 8192,
  is_llama_config: true,
  rope_interleaved: false,
  rope_scaling: null,
  rope_theta: 100_000,
  tie_word_embeddings: true,
};

/** Parameter counts as the model cards and safetensors indices give them. */
test.each([
  ['Qwen2.5-0.5B', qwen2, 494_032_768],
  ['Qwen3-0.6B', qwen3, 596_049_920],
  ['Llama-3.1-8B', llama3, 8_030_261_248],
  ['SmolLM2-135M', smollm2, 134_515_008],
])('%s: as published', (_title, json, parameters) => {
  const config = parseTransformerConfig(json);
  const count = transformerParams(config).reduce((n, p) => n + p.shape.reduce((a, b) => a * b, 1), 0);
  expect(count).toBe(parameters);
  expect(parseTransformerConfig(JSON.parse(JSON.stringify(config)))).toEqual(config);
});

test('rope_parameters of transformers 5 says what rope_theta and rope_scaling say', () => {
  const { rope_theta, rope_scaling, ...rest } = llama3;
  const want = parseTransformerConfig(llama3);
  expect(parseTransformerConfig({ ...rest, rope_parameters: { rope_theta, ...rope_scaling } })).toEqual(want);
  const { rope_type, ...factors } = rope_scaling;
  expect(parseTransformerConfig({ ...llama3, rope_scaling: { type: rope_type, ...factors } })).toEqual(want);
  expect(parseTransformerConfig({ ...qwen2, rope_scaling: { rope_type: 'default' } })).toEqual(parseTransformerConfig(qwen2));
});

test('Llama 3.1 frequencies: short waves stay, long ones are 8 times as long, between them a blend', () => {
  const scaled = ropeFrequencies(parseTransformerConfig(llama3));
  const plain = ropeFrequencies(parseTransformerConfig({ ...llama3, rope_scaling: null }));
  const ratio = scaled.map((f, d) => plain[d] / f);
  const wave = plain.map((f) => (2 * Math.PI) / f);
  wave.forEach((w, d) => {
    if (w < 8192 / 4) expect(ratio[d]).toBe(1);
    else if (w > 8192) expect(ratio[d]).toBeCloseTo(8, 12);
    else expect(ratio[d] > 1 && ratio[d] < 8).toBe(true);
  });
  expect(wave.filter((w) => w >= 8192 / 4 && w <= 8192).length).toBeGreaterThan(2);
});

describe('refuses', () => {
  const scaling = llama3.rope_scaling;
  test.each<[Record<string, unknown>, object, RegExp]>([
    [{ model_type: 'mistral' }, llama3, /model_type is "mistral"; expected qwen2, qwen3, llama/],
    [{ model_type: 'qwen3_moe' }, qwen3, /model_type is "qwen3_moe"/],
    [{ architectures: ['Qwen2ForSequenceClassification'] }, qwen2, /architectures is .*expected \["Qwen2ForCausalLM"\]/],
    [{ architectures: 'LlamaForCausalLM' }, llama3, /architectures is/],
    [{ use_sliding_window: true }, qwen2, /use_sliding_window = true is not supported; expected false/],
    [{ layer_types: ['full_attention', 'sliding_attention'] }, qwen3, /layer_types holds "sliding_attention"/],
    [{ rope_scaling: { type: 'yarn', factor: 4 } }, qwen2, /rope_scaling.rope_type = "yarn" is not supported/],
    [{ rope_scaling: { type: 'linear', factor: 2 } }, llama3, /rope_type = "linear"/],
    [{ rope_scaling: 8 }, llama3, /rope_scaling is 8; expected an object or null/],
    [{ rope_scaling: { ...scaling, factor: undefined } }, llama3, /rope_scaling.factor is missing/],
    [{ rope_scaling: { ...scaling, low_freq_factor: 4 } }, llama3, /must be above low_freq_factor 4/],
    [{ rope_parameters: { rope_type: 'dynamic' } }, llama3, /rope_parameters.rope_type = "dynamic"/],
    [{ rope_parameters: { partial_rotary_factor: 0.5 } }, llama3, /partial_rotary_factor = 0.5/],
    [{ partial_rotary_factor: 0.5 }, llama3, /partial_rotary_factor = 0.5/],
    [{ rope_interleaved: true }, smollm2, /rope_interleaved = true/],
    [{ quantization_config: { quant_method: 'gptq', bits: 4 } }, qwen2, /quantization_config = .*is quantised; take the bf16/],
    [{ num_experts: 128 }, qwen3, /num_experts = 128 is not supported; mixtures/],
    [{ num_local_experts: 8 }, llama3, /mixtures of experts/],
    [{ attention_dropout: 0.1 }, qwen2, /attention_dropout = 0.1/],
    [{ hidden_act: 'gelu' }, llama3, /hidden_act = "gelu"/],
    [{ mlp_bias: true }, llama3, /mlp_bias = true/],
    [{ attention_bias: false }, qwen2, /qwen2 always has biases/],
    [{ head_dim: 256 }, qwen3, /head_dim is 256; expected a multiple of 4, at most 128/],
    [{ hidden_size: 900 }, qwen2, /head_dim is missing; expected a whole number/],
    [{ rms_norm_eps: '1e-6' }, qwen2, /rms_norm_eps is "1e-6"/],
  ])('%j', (change, base, message) => {
    expect(() => parseTransformerConfig({ ...base, ...change })).toThrow(ModelConfigError);
    expect(() => parseTransformerConfig({ ...base, ...change })).toThrow(message);
  });
});

test('any JSON at any key gives a config or ModelConfigError', () => {
  const keys = Object.keys({ ...llama3, ...qwen2, rope_parameters: 0, layer_types: 0 });
  fc.assert(
    fc.property(fc.constantFrom(qwen2, qwen3, llama3), fc.constantFrom(...keys), fc.jsonValue(), (base, key, value) => {
      try {
        const c = parseTransformerConfig({ ...base, [key]: value });
        expect(Number.isInteger(c.head_dim) && c.rope_theta > 0).toBe(true);
      } catch (error) {
        expect(error).toBeInstanceOf(ModelConfigError);
      }
    }),
    { numRuns: 2000 },
  );
});
