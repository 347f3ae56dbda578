/** The policy at the start of training, and as a phase left it: all weights, or the base's with an adapter. (Node edge.) */
import type { Context } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { emptyPolicy } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { configuredAdapter } from '../run/adapter_folder.ts';
import type { FolderCheckpoints } from '../run/checkpoints.ts';
import { loadPolicy, type ModelFolder } from '../run/model_folder.ts';
import type { Track } from './sitting.ts';

interface Surroundings {
  readonly ctx: Context;
  readonly source: ModelFolder;
  readonly config: Config;
  readonly checkpoints: FolderCheckpoints;
}

/** The base as it is; with an adapter's training, as that training sees it. */
export const basePolicy = ({ ctx, source, config }: Omit<Surroundings, 'checkpoints'>): Policy =>
  loadPolicy(ctx, source, undefined, config.model.dtype);

/** The base, ready to be trained: a fresh adapter changes nothing yet. */
export function freshPolicy({ ctx, source, config }: Omit<Surroundings, 'checkpoints'>): Policy {
  const policy = loadPolicy(ctx, source, configuredAdapter(config), config.model.dtype);
  if (policy.model.adapter) policy.model.initAdapter(config.seed);
  return policy;
}

/** As `track` left it. @throws ConfigError when it has no checkpoint, or has steps left to take. */
export function trainedPolicy({ ctx, source, config, checkpoints }: Surroundings, track: Track): Policy {
  const lora = configuredAdapter(config);
  const policy = lora ? loadPolicy(ctx, source, lora, config.model.dtype) : emptyPolicy(ctx, source);
  checkpoints.loadWeights(track, policy);
  return policy;
}
