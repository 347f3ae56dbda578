/** A policy from and to a folder in Hugging Face's layout (Node edge). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Context,
  checkParams,
  Engine,
  type FloatType,
  type LoadOptions,
  type LoraConfig,
  loadWeights,
  ModelConfigError,
  parseSafetensors,
  parseTransformerConfig,
  SafetensorsError,
  type SafetensorsFile,
  Transformer,
  type TransformerConfig,
  transformerParams,
  type WeightType,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import type { Policy } from '../policy.ts';
import { CHATML_TEMPLATE, type Chat, ChatTemplateError, templateChat } from '../text/chat.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import { ConfigError } from '../util/errors.ts';
import { hasWeights, withWeights, writeWeights } from './weights.ts';

/** The base policy shipped with this package. */
export const BASE_POLICY = fileURLToPath(new URL('../../assets/base-policy/', import.meta.url));

type Json = Readonly<Record<string, unknown>>;

/** What a model folder says beside its weights; it is written back as it was read. */
export interface ModelSource {
  readonly config: Json;
  readonly tokenizerJson: unknown;
  readonly tokenizerConfig: Json | null;
  readonly generationConfig: Json | null;
  /** Jinja, from chat_template.jinja or tokenizer_config.json. */
  readonly chatTemplate: string | null;
  /** How it is trained: `model.gradient_checkpointing`. */
  readonly gradientCheckpointing?: boolean;
}

export interface ModelFolder extends ModelSource {
  readonly path: string;
}

/**
 * Reads everything but the weights. `chatTemplate`: `model` is the folder's own, `chatml` puts ours in its place.
 * @throws ConfigError naming the file that is missing or damaged.
 */
export function readModelFolder(path: string, chatTemplate: 'model' | 'chatml' = 'model'): ModelFolder {
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
  const policy = emptyPolicy(ctx, folder, lora, dtype);
  const { model } = policy;
  try {
    refused('model', () => withWeights(folder.path, (tensors) => loadWeights(model, tensors, untied(model.config))));
  } catch (error) {
    destroyPolicy(policy);
    throw error;
  }
  return policy;
}

/** A tied model's file may hold the head as well. */
const untied = (config: TransformerConfig): LoadOptions => ({ ignore: config.tie_word_embeddings ? ['lm_head.weight'] : [] });

/** A safetensors file whose refusals name it as `what`. @throws ConfigError */
export function readSafetensors(path: string, what: string): SafetensorsFile {
  return refused(what, () => parseSafetensors(readFileSync(path)));
}

/** What `read` gives; files that the runtime refuses become the user's mistake, with the file's name and the cure. */
export function refused<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SafetensorsError || error instanceof ModelConfigError || error instanceof ChatTemplateError)) throw error;
    throw new ConfigError(`${what}: ${error.message}; restore the file from its source`);
  }
}

/** What a model's texts go through: its tokenizer, its chat template, the tokens that end a turn. Needs no device. @throws ConfigError */
export function readWords(source: ModelSource): {
  tokenizer: Tokenizer;
  chat: Chat;
  endTokens: readonly number[];
  config: TransformerConfig;
} {
  let tokenizer: Tokenizer;
  try {
    tokenizer = Tokenizer.fromJson(source.tokenizerJson);
  } catch (error) {
    throw new ConfigError(`model: tokenizer.json: ${(error as Error).message}; restore the file from its source`);
  }
  const config = refused('model: config.json', () => parseTransformerConfig(source.config));
  if (tokenizer.vocabSize > config.vocab_size) {
    throw new ConfigError(
      `model: the tokenizer has ${tokenizer.vocabSize} ids, the embedding ${config.vocab_size} rows; they belong to different models`,
    );
  }
  const { chatTemplate } = source;
  if (chatTemplate === null) {
    throw new ConfigError(
      'model: no chat template, neither chat_template.jinja nor chat_template in tokenizer_config.json; ' +
        'take an instruct model, or set model.chat_template chatml',
    );
  }
  const chat = refused('model', () => templateChat(chatTemplate, specialTokens(source.tokenizerConfig)));
  return { tokenizer, chat, endTokens: endTokensOf(source, config.vocab_size), config };
}

/** `bos_token` and the like of tokenizer_config.json: texts, or objects with `content`. */
function specialTokens(tokenizerConfig: Json | null): Record<string, string> {
  const entries = Object.entries(tokenizerConfig ?? {}).flatMap(([key, value]): [string, string][] => {
    const text = typeof value === 'object' && value !== null ? (value as Json)['content'] : value;
    return key.endsWith('_token') && typeof text === 'string' ? [[key, text]] : [];
  });
  return Object.fromEntries(entries);
}

/** Ids that end a turn: eos_token_id of generation_config.json, else of config.json; one or several. */
function endTokensOf({ config, generationConfig }: ModelSource, vocab: number): readonly number[] {
  const given = generationConfig?.['eos_token_id'] ?? config['eos_token_id'];
  const ids: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (ids.length === 0 || ids.some((id) => !Number.isInteger(id) || (id as number) < 0 || (id as number) >= vocab)) {
    throw new ConfigError(
      `model: eos_token_id is ${JSON.stringify(given) ?? 'missing'} in generation_config.json and config.json; expected token ids below ${vocab}`,
    );
  }
  return ids as readonly number[];
}

/** A policy of the folder's shape whose weights are still to be set. */
export function emptyPolicy(ctx: Context, source: ModelSource, lora?: LoraConfig, dtype: WeightType = 'f32'): Policy {
  const { config, ...words } = readWords(source);
  const model = refused('model', () => new Transformer(ctx, config, lora, dtype));
  model.gradientCheckpointing = source.gradientCheckpointing ?? false;
  return { backend: ctx.backend, ctx, model, engine: new Engine(ctx, model), ...words };
}

export function destroyPolicy({ engine, model }: Policy): void {
  engine.destroy();
  model.destroy();
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
  mkdirSync(path, { recursive: true });
  const write = (file: string, value: unknown) => writeFileSync(join(path, file), `${JSON.stringify(value, null, 2)}\n`);
  write('config.json', source.config);
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(source.tokenizerJson));
  if (source.tokenizerConfig) write('tokenizer_config.json', source.tokenizerConfig);
  if (source.chatTemplate !== null) writeFileSync(join(path, 'chat_template.jinja'), source.chatTemplate);
  const sampling = { do_sample: true, temperature: 1, top_p: 1, eos_token_id: source.config['eos_token_id'] ?? null };
  write('generation_config.json', source.generationConfig ?? sampling);
  const { model } = policy;
  await writeWeights(path, transformerParams(model.config), (name) => model.readWeight(name), dtype, maxShardBytes);
}
