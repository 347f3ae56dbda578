/** The shape of Qwen2.5-0.5B, 494,032,768 weights, and a folder of random ones: 1 GB as bf16. */
import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ParamSpec, parseTransformerConfig, sizeOf, streamOf, type TransformerConfig, transformerParams } from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { BASE_POLICY } from '../../trainer/src/run/model_folder.ts';
import { writeWeights } from '../../trainer/src/run/weights.ts';

export const CONFIG: TransformerConfig = parseTransformerConfig({
  model_type: 'qwen2',
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  max_position_embeddings: 32_768,
  rope_theta: 1_000_000,
  tie_word_embeddings: true,
});

/** All seven projections. */
export const LORA = {
  r: 16,
  alpha: 32,
  dropout: 0,
  target_modules: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
};

/** Uniform within 0.035, deviation 0.02; norms are 1. In pieces of 4 MiB. */
export async function* randomWeights({ name, shape }: Pick<ParamSpec, 'name' | 'shape'>): AsyncGenerator<Float32Array> {
  const random = new Random(streamOf(name));
  const piece = new Float32Array(2 ** 20);
  for (let left = sizeOf(shape); left > 0; left -= piece.length) {
    const values = piece.subarray(0, Math.min(left, piece.length));
    for (let i = 0; i < values.length; i++) values[i] = name.includes('norm') ? 1 : (random.next() - 0.5) * 0.07;
    yield values;
  }
}

/** Writes such a folder unless it is there; tokenizer and template are the shipped policy's, whose 1,408 ids the vocabulary has room for. */
export async function writeHalfBillion(folder: string): Promise<void> {
  if (existsSync(join(folder, 'config.json'))) return;
  mkdirSync(folder, { recursive: true });
  const specs = transformerParams(CONFIG);
  await writeWeights(
    folder,
    specs.map((spec) => ({ name: spec.name, shape: spec.shape, dtype: 'BF16', pieces: () => randomWeights(spec) })),
  );
  for (const file of ['tokenizer.json', 'chat_template.jinja']) cpSync(join(BASE_POLICY, file), join(folder, file));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...CONFIG, torch_dtype: 'bfloat16', eos_token_id: 1397 }));
}
