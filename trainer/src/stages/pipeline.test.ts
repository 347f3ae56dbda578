/**
 * Plan: what a run folder must hold before a phase may start from it; refused before any work is done.
 *   a track that was never trained, that has steps left, or whose checkpoint does not say: refused with the command that mends it
 *   a finished track, one that an earlier phase of the same sitting trains, and answers that are kept without weights pass
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Phase } from '../commands/stages.ts';
import { loadConfig } from '../config/load.ts';
import { openRunFolder } from '../run/run_folder.ts';
import { ConfigError } from '../util/errors.ts';
import { runPipeline } from './pipeline.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-pipeline-'));
afterAll(() => rmSync(work, { recursive: true }));
const configOf = (...overrides: string[]) =>
  loadConfig({ path: 'configs/smoke.yaml', overrides: ['--output_dir', work, '--device', 'wasm', ...overrides] });
const folder = join(work, 'smoke');
const config = configOf();
const run = (phases: readonly Phase[], signal = new AbortController().signal) =>
  runPipeline(config, { phases, resume: true, clean: false, signal });

beforeEach(() => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  rmSync(folder, { recursive: true, force: true });
});

describe('a phase that another is to start from', () => {
  /** A checkpoint without weights: what is refused is refused before they are read. */
  function checkpoint(track: string, step: number, maxSteps?: number): void {
    const { configHash, close } = openRunFolder(config, { resume: true });
    close();
    const path = join(folder, 'checkpoints', track, `checkpoint-${step}`);
    mkdirSync(path, { recursive: true });
    const state = { phase: track, step, numTokens: 1, maxSteps, config_hash: configHash };
    writeFileSync(join(path, 'trainer_state.json'), JSON.stringify(state));
  }
  async function refused(phases: readonly Phase[], message: RegExp): Promise<void> {
    const started = run(phases);
    await expect(started).rejects.toThrow(ConfigError);
    await expect(started).rejects.toThrow(message);
    expect(existsSync(join(folder, 'state'))).toBe(false);
  }
  const command = (phase: string) => `eagrl ${phase} --config .*smoke/configs/resolved\\.yaml --resume$`;

  it('was never trained', () => refused(['rl'], new RegExp(`has no checkpoint of sft; run that phase first: ${command('sft')}`)));

  it('has steps left: policy optimisation does not start from it', async () => {
    checkpoint('sft', 12, 40);
    await refused(['rl'], new RegExp(`sft of .* is at step 12 of 40; finish it first: ${command('sft')}`));
    await refused(['expert', 'mcts', 'rl'], /sft of .* is at step 12 of 40/);
  });

  it('has steps left: the evaluation does not take it for the result', async () => {
    checkpoint('sft', 40, 40);
    checkpoint('sft_answer', 3, 40);
    checkpoint('rl', 10, 40);
    await refused(['eval'], new RegExp(`sft_answer of .* is at step 3 of 40; finish it first: ${command('sft')}`));
    rmSync(join(folder, 'checkpoints', 'sft_answer'), { recursive: true });
    checkpoint('sft_answer', 40, 40);
    await refused(['eval'], new RegExp(`rl of .* is at step 10 of 40; finish it first: ${command('rl')}`));
  });

  it('does not say whether it is finished', async () => {
    checkpoint('sft', 12);
    await refused(['rl'], new RegExp(`sft of .* is at step 12, .* does not say .*; go on with it, .*: ${command('sft')}`));
  });

  it('passes when it is finished, or trained in the same sitting', async () => {
    const stopped = AbortSignal.abort(new Error('asked to'));
    checkpoint('sft', 40, 40);
    await expect(run(['rl'], stopped)).rejects.toThrow('asked to');
    rmSync(folder, { recursive: true });
    await expect(run(['expert', 'mcts', 'sft', 'rl', 'eval'], stopped)).rejects.toThrow('asked to');
  });

  it('is not asked for when its answers are kept and its weights are gone', async () => {
    checkpoint('sft', 40, 40);
    checkpoint('sft_answer', 40, 40);
    mkdirSync(join(folder, 'state'), { recursive: true });
    writeFileSync(join(folder, 'state', 'eval-stage2.json'), '{}');
    await expect(run(['eval'], AbortSignal.abort(new Error('asked to')))).rejects.toThrow('asked to');
    expect(readdirSync(join(folder, 'checkpoints')).sort()).toEqual(['sft', 'sft_answer']);
  });
});
