/** A policy from and to a folder in Hugging Face's layout (Node edge). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type Context,
  checkParams,
  Engine,
  type LoadOptions,
  loadParams,
  ModelConfigError,
  parseSafetensors,
  parseTransformerConfig,
  SafetensorsError,
  type SafetensorsFile,
  saveParams,
  Transformer,
  type TransformerConfig,
  transformerParams,
  writeSafetensors,
} from '@eagrl/runtime';
import type { Policy } from '../policy.ts';
import { IM_END, IM_START } from '../text/special_tokens.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import { ConfigError } from '../util/errors.ts';

/** The base policy shipped with this package. */
export const BASE_POLICY = fileURLToPath(new URL('../../assets/base-policy/', import.meta.url));

/** ChatML without tools or system turn. */
const CHAT_TEMPLATE =
  `{% for message in messages %}{{ '${IM_START}' + message['role'] + '\\n' + message['content'] + '${IM_END}\\n' }}{% endfor %}` +
  `{% if add_generation_prompt %}{{ '${IM_START}assistant\\n' }}{% endif %}`;

const FILES = ['config.json', 'tokenizer.json', 'model.safetensors'] as const;

/** The text files of a model folder, parsed. */
export interface ModelFolder {
  readonly path: string;
  readonly config: Record<string, unknown>;
  readonly tokenizerJson: unknown;
}

/** Reads config and tokenizer. @throws ConfigError naming the file that is missing or damaged. */
export function readModelFolder(path: string): ModelFolder {
  for (const file of FILES) {
    if (!existsSync(join(path, file))) {
      throw new ConfigError(`model: ${basename(path)} has no ${file}; expected a folder with ${FILES.join(', ')}`);
    }
  }
  const json = (file: string): unknown => {
    try {
      return JSON.parse(readFileSync(join(path, file), 'utf8'));
    } catch (error) {
      throw new ConfigError(`model: ${file} is not JSON (${(error as Error).message}); restore it from the original model`);
    }
  };
  return { path, config: json('config.json') as Record<string, unknown>, tokenizerJson: json('tokenizer.json') };
}

/**
 * Whether tokenizer, config and weights are whole and of one model; needs no device.
 * @throws ConfigError naming the file and what is wrong with it.
 */
export function checkModelFolder(folder: ModelFolder): void {
  const { config } = tokenizerAndConfig(folder);
  refused('model: model.safetensors', () => checkParams(transformerParams(config), readWeights(folder), untied(config)));
}

/** A policy with the folder's weights, on the context's device. @throws ConfigError */
export function loadPolicy(ctx: Context, folder: ModelFolder): Policy {
  const policy = emptyPolicy(ctx, folder);
  loadParams(policy.model.params, readWeights(folder), untied(policy.model.config));
  return policy;
}

const readWeights = ({ path }: ModelFolder) => readSafetensors(join(path, 'model.safetensors'), 'model: model.safetensors').tensors;

/** A tied model's file may hold the head as well. */
const untied = (config: TransformerConfig): LoadOptions => ({ ignore: config.tie_word_embeddings ? ['lm_head.weight'] : [] });

/** A safetensors file whose refusals name it as `what`. @throws ConfigError */
export function readSafetensors(path: string, what: string): SafetensorsFile {
  return refused(what, () => parseSafetensors(readFileSync(path)));
}

/** What `read` gives; files that the runtime refuses become the user's mistake, with the file's name and the cure. */
function refused<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SafetensorsError || error instanceof ModelConfigError)) throw error;
    throw new ConfigError(`${what}: ${error.message}; restore the file from its source`);
  }
}

function tokenizerAndConfig(folder: Pick<ModelFolder, 'config' | 'tokenizerJson'>): { tokenizer: Tokenizer; config: TransformerConfig } {
  let tokenizer: Tokenizer;
  try {
    tokenizer = Tokenizer.fromJson(folder.tokenizerJson);
  } catch (error) {
    throw new ConfigError(`model: tokenizer.json: ${(error as Error).message}; restore the file from its source`);
  }
  const config = refused('model: config.json', () => parseTransformerConfig(folder.config));
  if (tokenizer.vocabSize > config.vocab_size) {
    throw new ConfigError(
      `model: the tokenizer has ${tokenizer.vocabSize} ids, the embedding ${config.vocab_size} rows; they belong to different models`,
    );
  }
  return { tokenizer, config };
}

/** A policy of the folder's shape whose weights are still to be set. */
export function emptyPolicy(ctx: Context, folder: Pick<ModelFolder, 'config' | 'tokenizerJson'>): Policy {
  const { tokenizer, config } = tokenizerAndConfig(folder);
  const model = new Transformer(ctx, config);
  return { backend: ctx.backend, ctx, model, engine: new Engine(ctx, model), tokenizer };
}

export function destroyPolicy({ engine, model }: Policy): void {
  engine.destroy();
  model.destroy();
}

/** Writes config, weights (f16 or what the config's torch_dtype says), tokenizer and template into an existing folder. */
export async function writeModelFolder(path: string, policy: Policy, source: Pick<ModelFolder, 'config' | 'tokenizerJson'>): Promise<void> {
  mkdirSync(path, { recursive: true });
  const write = (file: string, content: string | Uint8Array) => writeFileSync(join(path, file), content);
  const dtypes = { float32: 'F32', float16: 'F16', bfloat16: 'BF16' } as const;
  const dtype = dtypes[(source.config.torch_dtype ?? source.config.dtype ?? 'float32') as keyof typeof dtypes] ?? 'F32';
  write('config.json', `${JSON.stringify(source.config, null, 2)}\n`);
  write('tokenizer.json', JSON.stringify(source.tokenizerJson));
  write('chat_template.jinja', CHAT_TEMPLATE);
  write(
    'generation_config.json',
    `${JSON.stringify({ do_sample: true, temperature: 1, top_p: 1, eos_token_id: source.config.eos_token_id ?? null }, null, 2)}\n`,
  );
  write('model.safetensors', writeSafetensors(await saveParams(policy.model.params, dtype), { format: 'pt' }));
}
