/** A policy from what a model folder holds, wherever that was read. */
import {
  type Context,
  Engine,
  type LoadOptions,
  type LoraConfig,
  loadWeights,
  ModelConfigError,
  parseTransformerConfig,
  SafetensorsError,
  type StoredTensor,
  Transformer,
  type TransformerConfig,
  type WeightType,
} from '@eagrl/runtime';
import type { Policy } from './policy.ts';
import { type Chat, ChatTemplateError, templateChat } from './text/chat.ts';
import { Tokenizer } from './text/tokenizer.ts';
import { ConfigError } from './util/errors.ts';

export type Json = Readonly<Record<string, unknown>>;

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
  /** Limit of its KV cache, from the plan of the memory (@eagrl/runtime); the engine's own without. */
  readonly cacheBytes?: number;
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
  return { backend: ctx.backend, ctx, model, engine: new Engine(ctx, model, { maxCacheBytes: source.cacheBytes }), ...words };
}

export function destroyPolicy({ engine, model }: Policy): void {
  engine.destroy();
  model.destroy();
}

/** Frees the policy whatever becomes of the work. */
export async function withPolicy<T>(policy: Policy, work: (policy: Policy) => Promise<T>): Promise<T> {
  try {
    return await work(policy);
  } finally {
    destroyPolicy(policy);
  }
}

/** A policy of the folder's shape with the weights of its files; an adapter's are still to be set. @throws SafetensorsError, ConfigError */
export function policyOf(
  ctx: Context,
  source: ModelSource,
  tensors: ReadonlyMap<string, StoredTensor>,
  lora?: LoraConfig,
  dtype: WeightType = 'f32',
): Policy {
  const policy = emptyPolicy(ctx, source, lora, dtype);
  try {
    loadWeights(policy.model, tensors, untied(policy.model.config));
    return policy;
  } catch (error) {
    destroyPolicy(policy);
    throw error;
  }
}

/** A tied model's file may hold the head as well. */
export const untied = (config: TransformerConfig): LoadOptions => ({ ignore: config.tie_word_embeddings ? ['lm_head.weight'] : [] });
