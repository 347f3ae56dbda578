/**
 * Checkpoints of a run folder (Node edge): checkpoints/<phase>/checkpoint-<step>/, a plain Hugging Face folder, or PEFT's of an adapter, plus what training needs
 * to go on: optimizer.safetensors (f32 weights and moments), trainer_state.json, scheduler.json, rng_state.json.
 * A new checkpoint is written whole before an older one goes.
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type AdamW, loadOptimizer, loadParams, type SafetensorsFile, type StoredTensor, saveOptimizer, saveParams } from '@eagrl/runtime';
import { type ModelSource, refused } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import type { CheckpointStore, LoopState } from '../stages/train_loop.ts';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import { writeTrained } from './adapter_folder.ts';
import { checkCheckpointConfig, type RunFolder, readJson } from './run_folder.ts';
import { withSafetensors, writeSafetensorsFile } from './weights.ts';

const WEIGHTS = 'param.';
const STATE = 'optimizer.safetensors';

interface TrainerState extends LoopState {
  readonly phase: string;
  readonly config_hash: string;
}

export class FolderCheckpoints implements CheckpointStore {
  readonly #run: RunFolder;
  readonly #source: ModelSource;
  readonly #base: string;

  /** `source`: config, tokenizer and template that go into every checkpoint; `base`: the folder that an adapter belongs to. */
  constructor(run: RunFolder, source: ModelSource, base = '') {
    this.#base = base;
    this.#run = run;
    this.#source = source;
  }

  /** Newest whole checkpoint of a phase: its folder and state. */
  newest(phase: string): { path: string; state: TrainerState } | null {
    const folder = this.#run.file('checkpoints', phase);
    if (!existsSync(folder)) return null;
    const steps = readdirSync(folder).flatMap((name) => /^checkpoint-(\d+)$/.exec(name)?.[1] ?? []);
    if (steps.length === 0) return null;
    const step = Math.max(...steps.map(Number));
    const path = join(folder, `checkpoint-${step}`);
    const state = readJson<TrainerState>(join(path, 'trainer_state.json'));
    checkCheckpointConfig(this.#run, `${phase}/checkpoint-${step}`, state.config_hash);
    return { path, state };
  }

  /** Exact f32 weights (of the adapter, if there is one) of a phase's newest checkpoint. @throws ConfigError when the phase has none. */
  loadWeights(phase: string, policy: Policy): LoopState {
    const found = this.newest(phase);
    if (!found) throw new ConfigError(`${this.#run.path} has no checkpoint of ${phase}; run that phase first: eagrl ${phase} --resume`);
    withTrainingState(found.path, (file) => setWeights(policy, file));
    return found.state;
  }

  async restore(phase: string, policy: Policy, optimizer: AdamW): Promise<LoopState | null> {
    const found = this.newest(phase);
    if (!found) return null;
    withTrainingState(found.path, (file) => {
      setWeights(policy, file);
      loadOptimizer(optimizer, file.tensors, file.metadata);
    });
    return { step: found.state.step, numTokens: found.state.numTokens };
  }

  async save(phase: string, policy: Policy, optimizer: AdamW, state: LoopState): Promise<void> {
    const folder = this.#run.file('checkpoints', phase);
    const name = `checkpoint-${state.step}`;
    const older = existsSync(folder) ? readdirSync(folder).filter((n) => n !== name) : [];
    await writeDirectoryAtomic(join(folder, name), async (path) => {
      await writeTrained(path, policy, this.#source, this.#base);
      const { tensors, metadata } = await saveOptimizer(optimizer);
      const weights = (await saveParams(policy.model.trainable)).map((t) => ({ ...t, name: WEIGHTS + t.name }));
      writeSafetensorsFile(join(path, STATE), [...weights, ...tensors], metadata);
      const json = (file: string, value: unknown) => writeFileSync(join(path, file), `${JSON.stringify(value, null, 2)}\n`);
      json('trainer_state.json', { phase, ...state, config_hash: this.#run.configHash } satisfies TrainerState);
      // Both are functions of the step: nothing else needs to be kept, and these say so.
      json('scheduler.json', { last_step: state.step });
      json('rng_state.json', { kind: 'counter-based', seed: this.#run.config.seed, step: state.step });
    });
    for (const n of older) rmSync(join(folder, n), { recursive: true, force: true });
  }
}

/** Weights and moments, read by range. @throws ConfigError for a damaged file, and one of another model. */
function withTrainingState(path: string, use: (file: SafetensorsFile) => void): void {
  refused(`checkpoint ${basename(path)}, ${STATE}`, () => withSafetensors(join(path, STATE), use));
}

function setWeights(policy: Policy, file: SafetensorsFile): void {
  const weights = new Map<string, StoredTensor>();
  for (const [name, tensor] of file.tensors) if (name.startsWith(WEIGHTS)) weights.set(name.slice(WEIGHTS.length), tensor);
  loadParams(policy.model.trainable, weights);
}
