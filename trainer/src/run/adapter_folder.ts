/** A low-rank adapter from and to a folder in PEFT's layout: adapter_config.json and adapter_model.safetensors (Node edge). */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  adapterConfig,
  checkParams,
  Engine,
  type LoraConfig,
  loadParams,
  loraParams,
  parseAdapterConfig,
  SafetensorsError,
  type StoredTensor,
  saveParams,
  type TransformerConfig,
  transformerParams,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { type ModelSource, refused } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { ConfigError } from '../util/errors.ts';
import { writeModelFolder } from './model_folder.ts';
import { withSafetensors, writeSafetensorsFile } from './weights.ts';

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

export interface AdapterFolder {
  readonly path: string;
  readonly lora: LoraConfig;
  /** What the adapter says it was trained on: a name or a path; empty when it says nothing. */
  readonly base: string;
}

/** The adapter that a run trains; undefined trains all weights. */
export const configuredAdapter = ({ model }: Pick<Config, 'model'>): LoraConfig | undefined =>
  model.use_peft
    ? { r: model.lora_r, alpha: model.lora_alpha, dropout: model.lora_dropout, target_modules: model.lora_target_modules }
    : undefined;

/** Reads adapter_config.json. @throws ConfigError naming the file that is missing or damaged. */
export function readAdapterFolder(path: string): AdapterFolder {
  const missing = [CONFIG, WEIGHTS].find((file) => !existsSync(join(path, file)));
  if (missing) throw new ConfigError(`adapter: ${basename(path)} has no ${missing}; expected a folder with ${CONFIG} and ${WEIGHTS}`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(join(path, CONFIG), 'utf8'));
  } catch (error) {
    throw new ConfigError(`adapter: ${CONFIG} is not JSON (${(error as Error).message}); restore it from its source`);
  }
  const lora = refused(`adapter: ${CONFIG}`, () => parseAdapterConfig(json));
  return { path, lora, base: String((json as Record<string, unknown>)['base_model_name_or_path'] ?? '') };
}

/** Gives an adapter's tensors to `use`; they are read by range. @throws ConfigError for a damaged file, and for what `use` refuses. */
export const withAdapterTensors = <T>({ path }: AdapterFolder, use: (tensors: ReadonlyMap<string, StoredTensor>) => T): T =>
  refused(`adapter: ${WEIGHTS}`, () => withSafetensors(join(path, WEIGHTS), ({ tensors }) => use(tensors)));

/** Whether an adapter is one of this model's; needs no device. @throws ConfigError when it is of another model. */
export function checkAdapter(adapter: AdapterFolder, config: TransformerConfig): void {
  const params = refused(`adapter: ${CONFIG}`, () => loraParams(transformerParams(config), adapter.lora));
  withAdapterTensors(adapter, (tensors) => {
    try {
      checkParams(params, tensors);
    } catch (error) {
      if (!(error instanceof SafetensorsError)) throw error;
      const trained = adapter.base === '' ? 'the model that it was trained on' : `the model that it was trained on, ${adapter.base}`;
      throw new ConfigError(`adapter: ${WEIGHTS}: ${error.message}; give ${trained}`);
    }
  });
}

/** Puts an adapter's weights into a policy that was made for it. @throws ConfigError when they are of another model. */
export function loadAdapter({ model }: Pick<Policy, 'model'>, folder: AdapterFolder): void {
  if (!model.adapter) throw new Error('loadAdapter: the policy has no adapter');
  const { adapter } = model;
  withAdapterTensors(folder, (tensors) => loadParams(adapter, tensors));
}

/** The same policy with another adapter, or with none: one set of weights for both, each is destroyed by itself. @throws ConfigError */
export function withAdapter(policy: Policy, folder: AdapterFolder | null): Policy {
  const { ctx, model } = policy;
  if (folder) checkAdapter(folder, model.config);
  const other = { ...policy, model: refused('adapter', () => model.withAdapter(folder?.lora)) };
  try {
    if (folder) loadAdapter(other, folder);
  } catch (error) {
    other.model.destroy();
    throw error;
  }
  return { ...other, engine: new Engine(ctx, other.model, { maxCacheBytes: policy.engine.maxCacheBytes }) };
}

/** Writes what a policy trains, with config, tokenizer and template: the adapter if it has one, else a whole model folder. */
export async function writeTrained(path: string, policy: Policy, source: ModelSource, base: string): Promise<void> {
  const { adapter, lora } = policy.model;
  if (!adapter || !lora) return writeModelFolder(path, policy, source);
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, CONFIG), `${JSON.stringify(adapterConfig(lora, base), null, 2)}\n`);
  await writeSafetensorsFile(join(path, WEIGHTS), saveParams(adapter), { format: 'pt' });
  writeFileSync(join(path, 'tokenizer.json'), JSON.stringify(source.tokenizerJson));
  if (source.chatTemplate !== null) writeFileSync(join(path, 'chat_template.jinja'), source.chatTemplate);
}
