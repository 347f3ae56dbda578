/** A policy from and to a folder in Hugging Face's layout (Node edge). */
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Context, checkParams, type FloatType, type LoraConfig, saveParams, transformerParams, type WeightType } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { type Json, type ModelSource, policyOf, readWords, refused, untied } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { CHATML_TEMPLATE } from '../text/chat.ts';
import { ConfigError } from '../util/errors.ts';
import { hasWeights, withWeights, writeWeights } from './weights.ts';

/** The base policy shipped with this package. */
export const BASE_POLICY = fileURLToPath(new URL('../../assets/base-policy/', import.meta.url));

export interface ModelFolder extends ModelSource {
  readonly path: string;
}

/**
 * Reads everything but the weights. `chatTemplate`: `model` is the folder's own, `chatml` puts ours in its place.
 * @throws ConfigError naming the file that is missing or damaged.
 */
export function readModelFolder(path: string, chatTemplate: 'model' | 'chatml' = 'model'): ModelFolder {
  if (existsSync(path) && !statSync(path).isDirectory()) throw new ConfigError(`model: ${path} is a file; give the folder that it lies in`);
  const has = (file: string): boolean => existsSync(join(path, file));
  const missing = ['config.json', 'tokenizer.json'].find((file) => !has(file)) ?? (hasWeights(path) ? null : 'model.safetensors');
  if (missing !== null) {
    throw new ConfigError(
      `model: ${basename(path)} has no ${missing}; expected a folder with config.json, tokenizer.json, ` +
        'and model.safetensors or model.safetensors.index.json',
    );
  }
  const json = (file: string): unknown => {
    try {
      return JSON.parse(readFileSync(join(path, file), 'utf8'));
    } catch (error) {
      throw new ConfigError(`model: ${file} is not JSON (${(error as Error).message}); restore it from the original model`);
    }
  };
  const object = (file: string): Json => {
    const value = json(file);
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw new ConfigError(`model: ${file} is no JSON object; restore it from the original model`);
    return value as Json;
  };
  const optional = (file: string): Json | null => (has(file) ? object(file) : null);
  const tokenizerConfig = optional('tokenizer_config.json');
  const own = has('chat_template.jinja') ? readFileSync(join(path, 'chat_template.jinja'), 'utf8') : templateOf(tokenizerConfig);
  return {
    path,
    config: object('config.json'),
    tokenizerJson: json('tokenizer.json'),
    tokenizerConfig,
    generationConfig: optional('generation_config.json'),
    chatTemplate: chatTemplate === 'chatml' ? CHATML_TEMPLATE : own,
  };
}

/** The model folder of a run's config, without its weights. @throws ConfigError */
export const configuredModel = ({ model }: Pick<Config, 'model'>): ModelFolder => ({
  ...readModelFolder(model.model_name_or_path ?? BASE_POLICY, model.chat_template),
  gradientCheckpointing: model.gradient_checkpointing,
});

/** tokenizer_config.json's `chat_template`: a text, or a list of named ones of which `default` counts. */
function templateOf(tokenizerConfig: Json | null): string | null {
  const template = tokenizerConfig?.['chat_template'];
  if (typeof template === 'string') return template;
  const named: readonly Json[] = Array.isArray(template) ? template : [];
  const found = named.find((t) => t?.['name'] === 'default')?.['template'];
  return typeof found === 'string' ? found : null;
}

/**
 * Whether tokenizer, config and weights are whole and of one model; needs no device.
 * @throws ConfigError naming the file and what is wrong with it.
 */
export function checkModelFolder(folder: ModelFolder): void {
  const { config } = readWords(folder);
  refused('model', () => withWeights(folder.path, (tensors) => checkParams(transformerParams(config), tensors, untied(config))));
}

/**
 * A policy with the folder's weights, its matrices kept as `dtype`, on the context's device; an adapter's are still to be set.
 * @throws ConfigError
 */
export function loadPolicy(ctx: Context, folder: ModelFolder, lora?: LoraConfig, dtype: WeightType = 'f32'): Policy {
  return refused('model', () => withWeights(folder.path, (tensors) => policyOf(ctx, folder, tensors, lora, dtype)));
}

/** The dtype a config says its weights have: `dtype` in transformers 5, `torch_dtype` before; float32 where it says nothing. */
function storedType(config: Json): FloatType {
  const types: Readonly<Record<string, FloatType>> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' };
  const name = config['dtype'] ?? config['torch_dtype'] ?? 'float32';
  const type = types[String(name)];
  if (!type) throw new ConfigError(`model: config.json has dtype ${JSON.stringify(name)}; expected ${Object.keys(types).join(', ')}`);
  return type;
}

/** Writes config, weights in the dtype that the config names, tokenizer, template and generation settings into a folder. */
export async function writeModelFolder(path: string, policy: Policy, source: ModelSource, maxShardBytes?: number): Promise<void> {
  const dtype = storedType(source.config);
  writeModelSource(path, source);
  const { model } = policy;
  if (model.stored) throw new ConfigError(`model: weights kept as ${model.stored.dtype} cannot be written; load the model as f32`);
  await writeWeights(path, saveParams(model.params, dtype), maxShardBytes);
}

/** Writes a model folder without its weights. */
export function writeModelSource(path: string, source: ModelSource): void {
  mkdirSync(path, { recursive: true });
  const write = (file: string, value: unknown) => writeFileSync(join(path, file), `${JSON.stringify(value, null, 2)}\n`);
  write('config.json', source.config);
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(source.tokenizerJson));
  if (source.tokenizerConfig) write('tokenizer_config.json', source.tokenizerConfig);
  if (source.chatTemplate !== null) writeFileSync(join(path, 'chat_template.jinja'), source.chatTemplate);
  const sampling = { do_sample: true, temperature: 1, top_p: 1, eos_token_id: source.config['eos_token_id'] ?? null };
  write('generation_config.json', source.generationConfig ?? sampling);
}
