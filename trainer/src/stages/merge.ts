/** eagrl merge-lora: an adapter added to its base, as a plain Hugging Face folder in the base's dtype. (Node edge.) */
import { existsSync, readdirSync } from 'node:fs';
import { Context, openDevice } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { destroyPolicy } from '../model_source.ts';
import { loadAdapter, readAdapterFolder } from '../run/adapter_folder.ts';
import { checkModelFolder, loadPolicy, readModelFolder, writeModelFolder } from '../run/model_folder.ts';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';

export interface MergeOptions {
  /** Folder of the adapter. */
  readonly adapter: string;
  /** Folder of the base; null takes the one that adapter_config.json names. */
  readonly model: string | null;
  readonly out: string;
  readonly device: Config['device'];
  /** Bytes of one weight file at most. */
  readonly maxShardBytes?: number;
}

/** Merges and writes; gives what was written, in words. @throws ConfigError before any work for folders that do not fit together. */
export async function mergeLora({ adapter: path, model, out, device, maxShardBytes }: MergeOptions): Promise<readonly string[]> {
  const adapter = readAdapterFolder(path);
  const base = model ?? adapter.base;
  if (!existsSync(base)) {
    throw new ConfigError(
      `merge-lora: no folder ${base || '(adapter_config.json names no base)'}; pass --model with the folder of the base model`,
    );
  }
  if (existsSync(out) && readdirSync(out).length > 0) throw new ConfigError(`merge-lora: ${out} is not empty; give a new folder`);
  const source = readModelFolder(base);
  checkModelFolder(source);
  const backend = await openDevice({ device });
  try {
    const policy = loadPolicy(new Context(backend), source, adapter.lora);
    loadAdapter(policy, adapter);
    policy.model.mergeAdapter();
    await writeDirectoryAtomic(out, (folder) => writeModelFolder(folder, policy, source, maxShardBytes));
    destroyPolicy(policy);
  } finally {
    await backend.destroy();
  }
  const { r, alpha, target_modules: targets } = adapter.lora;
  return [`merged r ${r}, alpha ${alpha}, on ${targets.length > 7 ? `${targets.length} projections` : targets.join(' ')}`, `wrote ${out}`];
}
