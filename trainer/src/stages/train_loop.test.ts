/**
 * Plan: what the loop of every phase leaves in its checkpoints, with a model of one weight matrix on wasm.
 *   each checkpoint says how many steps the phase takes in all; a finished one that an earlier eagrl wrote without saying so gains the
 *     mark and takes no step; a loss that is not finite names a cure that can be followed
 */
import { Context, openDevice, ParamStore } from '@eagrl/runtime';
import { afterAll, expect, it } from 'vitest';
import type { Policy } from '../policy.ts';
import { type CheckpointStore, type LoopState, type TrainingRun, trainLoop } from './train_loop.ts';

const backend = await openDevice({ device: 'wasm', threads: 1 });
afterAll(() => backend.destroy());
const trainable = new ParamStore(new Context(backend), [{ name: 'w', shape: [8, 8], decay: true }]);
trainable.enableGrad();
const policy = { model: { trainable } } as unknown as Policy;

function runOf(restored: LoopState | null, signal?: AbortSignal) {
  const saved: LoopState[] = [];
  const checkpoints: CheckpointStore = {
    restore: async () => restored,
    save: async (_phase, _policy, _optimizer, state) => {
      saved.push(state);
    },
  };
  const run: TrainingRun = {
    phase: 'sft',
    maxTokens: 64,
    checkpointEvery: 2,
    checkpoints,
    signal,
    log: () => {},
    warn: () => {},
    progress: () => {},
  };
  return { run, saved };
}

it('checkpoints know the last step', async () => {
  const stop = new AbortController();
  const { run, saved } = runOf(null, stop.signal);
  const steps = trainLoop(policy, run, 5, {}, async (step) => {
    if (step === 2) stop.abort(new Error('asked to'));
    return { numTokens: 10, metrics: { loss: 1, grad_norm: 1 } };
  });
  await expect(steps).rejects.toThrow('asked to');
  expect(saved).toEqual([
    { step: 2, numTokens: 20, maxSteps: 5 },
    { step: 3, numTokens: 30, maxSteps: 5 },
  ]);
});

it('a finished phase without the mark gains it, and takes no step', async () => {
  const unmarked = runOf({ step: 5, numTokens: 50 });
  const never = async () => {
    throw new Error('a step was taken');
  };
  await trainLoop(policy, unmarked.run, 5, {}, never);
  expect(unmarked.saved).toEqual([{ step: 5, numTokens: 50, maxSteps: 5 }]);
  const marked = runOf({ step: 5, numTokens: 50, maxSteps: 5 });
  await trainLoop(policy, marked.run, 5, {}, never);
  expect(marked.saved).toEqual([]);
});

it('a loss that is not finite: start over, since a resume with another rate is refused', async () => {
  const { run, saved } = runOf(null);
  const steps = trainLoop(policy, run, 5, {}, async () => ({ numTokens: 10, metrics: { loss: Number.NaN, grad_norm: 1 } }));
  await expect(steps).rejects.toThrow(
    /sft: loss .* of step 1 is not finite, .*; start over with a lower learning rate in another --run-name$/,
  );
  expect(saved).toEqual([]);
});
