/**
 * The loop every phase of training shares: resume from the last checkpoint, step, log, save, stop between two steps when asked to.
 * All randomness of a step is a function of its number, so a resumed run takes the very steps an unbroken one would.
 */
import { AdamW, type AdamWOptions } from '@eagrl/runtime';
import type { Policy } from '../policy.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { ahead } from './ahead.ts';

/** Tokens of one forward and backward pass at most: activation memory of the shipped policy stays near 1 GB. */
export const MAX_TOKENS = 4096;

/** Where a phase keeps its state; the Node side writes folders (run/checkpoints.ts). */
export interface CheckpointStore {
  /** Restores weights and moments of the newest checkpoint of `phase`; null when there is none. */
  restore(phase: string, policy: Policy, optimizer: AdamW): Promise<LoopState | null>;
  /** Writes a checkpoint and removes the older ones of `phase` once it is whole. */
  save(phase: string, policy: Policy, optimizer: AdamW, state: LoopState): Promise<void>;
}

export interface LoopState {
  /** Optimiser steps taken. */
  readonly step: number;
  /** Tokens the model was trained on. */
  readonly numTokens: number;
  /** Steps that the phase takes in all: it is finished when `step` equals it. Checkpoints written before there was this mark lack it. */
  readonly maxSteps?: number;
}

export interface TrainingRun {
  readonly phase: string;
  /** Tokens of one forward and backward pass; bounds activation memory. */
  readonly maxTokens: number;
  readonly checkpointEvery: number;
  readonly checkpoints: CheckpointStore;
  readonly signal?: AbortSignal;
  log(step: number, metrics: Readonly<Record<string, number>>): void;
  warn(message: string): void;
  progress(done: number, total: number, note?: string): void;
}

export interface StepReport {
  readonly numTokens: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** One step: `step` counts from 0. */
export type StepFunction = (step: number, optimizer: AdamW) => Promise<StepReport>;

/** The first step for show, on a policy that computes nothing (ahead.ts): what it launches is compiled before the first that counts. */
export type StepRehearsal = (shadow: Policy, optimizer: AdamW) => Promise<unknown>;

/**
 * Takes steps until `maxSteps` are taken in all. @throws the signal's reason, once the state is saved, when it fires;
 * Error on a loss that is not finite, naming the checkpoint to go back to.
 */
export async function trainLoop(
  policy: Policy,
  run: TrainingRun,
  maxSteps: number,
  optimizerOptions: AdamWOptions,
  takeStep: StepFunction,
  rehearsal?: StepRehearsal,
): Promise<void> {
  const { phase, checkpoints } = run;
  const optimizer = new AdamW(policy.model.trainable, optimizerOptions);
  try {
    let state: LoopState = (await checkpoints.restore(phase, policy, optimizer)) ?? { step: 0, numTokens: 0 };
    run.progress(state.step, maxSteps);
    if (state.step === maxSteps && state.maxSteps === undefined) await checkpoints.save(phase, policy, optimizer, { ...state, maxSteps });
    if (rehearsal && state.step < maxSteps) {
      await ahead(policy, (shadow) => rehearsal(shadow, new AdamW(shadow.model.trainable, optimizerOptions)));
      run.signal?.throwIfAborted();
    }
    while (state.step < maxSteps) {
      const { metrics, numTokens } = await takeStep(state.step, optimizer);
      state = { step: state.step + 1, numTokens: state.numTokens + numTokens, maxSteps };
      run.log(state.step, { ...metrics, num_tokens: state.numTokens });
      if (!Number.isFinite(metrics.loss) || !Number.isFinite(metrics.grad_norm)) {
        throw new Error(
          `${phase}: loss or gradient norm of step ${state.step} is not finite, and the same steps would give it again; ` +
            'start over with a lower learning rate in another --run-name',
        );
      }
      run.progress(state.step, maxSteps, `loss ${metrics.loss.toFixed(4)}`);
      await yieldToEvents();
      const stop = run.signal?.aborted === true;
      if (stop || state.step === maxSteps || state.step % run.checkpointEvery === 0) {
        await checkpoints.save(phase, policy, optimizer, state);
      }
      if (stop && state.step < maxSteps) run.signal?.throwIfAborted();
    }
  } finally {
    optimizer.destroy();
  }
}

/** `trainLoop` with steps that any policy of the shape can take: the first of them is its own rehearsal. */
export const trainSteps = (
  policy: Policy,
  run: TrainingRun,
  maxSteps: number,
  options: AdamWOptions,
  takeStep: (learner: Policy, step: number, optimizer: AdamW) => Promise<StepReport>,
): Promise<void> =>
  trainLoop(
    policy,
    run,
    maxSteps,
    options,
    (step, optimizer) => takeStep(policy, step, optimizer),
    (shadow, optimizer) => takeStep(shadow, 0, optimizer),
  );
