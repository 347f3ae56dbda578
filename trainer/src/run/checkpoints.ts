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
import type { Track } from '../stages/sitting.ts';
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

  /** @throws ConfigError, with the command that mends it, unless a phase has a checkpoint that says that all its steps are taken. */
  requireFinished(phase: Track): void {
    const state = this.#weightsOf(phase).state;
    if (state.maxSteps === undefined) {
      throw new ConfigError(
        `${phase} of ${this.#run.path} is at step ${state.step}, and its checkpoint, written by an earlier eagrl, does not say whether that is ` +
          `the last one; go on with it, which takes no step if it is: ${this.#command(phase)}`,
      );
    }
  }

  /** Exact f32 weights (of the adapter, if there is one) that a phase ended with. @throws ConfigError when it has none, or is not finished. */
  loadWeights(phase: Track, policy: Policy): LoopState {
    const found = this.#weightsOf(phase);
    withTrainingState(found.path, (file) => setWeights(policy, file));
    return found.state;
  }

  #weightsOf(phase: Track): { path: string; state: TrainerState } {
    const found = this.newest(phase);
    if (!found) throw new ConfigError(`${this.#run.path} has no checkpoint of ${phase}; run that phase first: ${this.#command(phase)}`);
    const { step, maxSteps = step } = found.state;
    if (step < maxSteps) {
      throw new ConfigError(`${phase} of ${this.#run.path} is at step ${step} of ${maxSteps}; finish it first: ${this.#command(phase)}`);
    }
    return found;
  }

  #command(phase: Track): string {
    return `eagrl ${phase === 'sft_answer' ? 'sft' : phase} --config ${this.#run.file('configs', 'resolved.yaml')} --resume`;
  }

  async restore(phase: string, policy: Policy, optimizer: AdamW): Promise<LoopState | null> {
    const found = this.newest(phase);
    if (!found) return null;
    withTrainingState(found.path, (file) => {
      setWeights(policy, file);
      loadOptimizer(optimizer, file.tensors, file.metadata);
    });
    const { step, numTokens, maxSteps } = found.state;
    return { step, numTokens, maxSteps };
  }

  async save(phase: string, policy: Policy, optimizer: AdamW, state: LoopState): Promise<void> {
    const folder = this.#run.file('checkpoints', phase);
    const name = `checkpoint-${state.step}`;
    const older = existsSync(folder) ? readdirSync(folder).filter((n) => n !== name) : [];
    await writeDirectoryAtomic(join(folder, name), async (path) => {
      await writeTrained(path, policy, this.#source, this.#base);
      const { tensors, metadata } = saveOptimizer(optimizer);
      const weights = saveParams(policy.model.trainable).map((t) => ({ ...t, name: WEIGHTS + t.name }));
      await writeSafetensorsFile(join(path, STATE), [...weights, ...tensors], metadata);
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
