/**
 * Plan: what a run folder must hold before a phase may start from it; refused before any work is done, no patient named.
 *   another cohort under the same config: another value, another label, other splits; a folder without a digest is known by its splits
 *   pretraining puts its policy in place whole: what lay there goes
 *   a track that was never trained, that has steps left, or whose checkpoint does not say: refused with the command that mends it
 *   a finished track, one that an earlier phase of the same sitting trains, and answers that are kept without weights pass
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Phase } from '../commands/stages.ts';
import { loadConfig } from '../config/load.ts';
import { checkModelFolder, readModelFolder } from '../run/model_folder.ts';
import { openRunFolder } from '../run/run_folder.ts';
import type { Cohort } from '../types.ts';
import { ConfigError } from '../util/errors.ts';
import { runPipeline } from './pipeline.ts';

const cohort = vi.hoisted(() => ({ change: (generated: Cohort): Cohort => generated }));
vi.mock('../data/synthetic.ts', async (load) => {
  const synthetic = await load<typeof import('../data/synthetic.ts')>();
  const generateSyntheticCohort: typeof synthetic.generateSyntheticCohort = (options) =>
    cohort.change(synthetic.generateSyntheticCohort(options));
  return { ...synthetic, generateSyntheticCohort };
});

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

describe('the cohort of a folder', () => {
  const stopped = AbortSignal.abort(new Error('asked to'));
  const start = () => expect(run(['expert'], stopped)).rejects.toThrow('asked to');
  beforeEach(start);
  afterEach(() => {
    cohort.change = (generated) => generated;
  });
  const refused = async () => {
    const resumed = run(['expert'], stopped);
    await expect(resumed).rejects.toThrow(ConfigError);
    await expect(resumed).rejects.toThrow(/cannot resume .*smoke: its cohort is not the one it was started on .*; put them back/);
  };
  const kept = () => readdirSync(join(folder, 'state'));

  it('is the same: goes on', async () => {
    await start();
    expect(kept()).toContain('cohort.json');
  });
  it.each<[string, (generated: Cohort) => Cohort]>([
    ['a label', ({ patients: [first, ...rest], ...c }) => ({ ...c, patients: [{ ...first, label: first.label === 1 ? 0 : 1 }, ...rest] })],
    [
      'a value',
      ({ patients: [first, ...rest], ...c }) => ({ ...c, patients: [{ ...first, values: first.values.map(() => [1]) }, ...rest] }),
    ],
    ['two patients in other places', ({ patients: [a, b, ...rest], ...c }) => ({ ...c, patients: [b, a, ...rest] })],
    ['test and val exchanged', ({ splits: { train, val, test }, ...c }) => ({ ...c, splits: { train, val: test, test: val } })],
  ])('differs in %s', async (_title, change) => {
    const before = readFileSync(join(folder, 'splits.json'), 'utf8');
    cohort.change = change;
    await refused();
    expect(readFileSync(join(folder, 'splits.json'), 'utf8')).toBe(before);
  });
  it('is known by its splits where an earlier eagrl kept no digest', async () => {
    rmSync(join(folder, 'state', 'cohort.json'));
    cohort.change = ({ splits: { train, val, test }, ...c }) => ({ ...c, splits: { train, val: test, test: val } });
    await refused();
    cohort.change = (generated) => generated;
    await start();
    expect(kept()).toContain('cohort.json');
  });
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
    expect(existsSync(join(folder, 'state', 'expert-1.json'))).toBe(false);
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

it('pretraining puts base-policy in place whole', async () => {
  const pretrained = configOf('--pretrain.max_steps', '1', '--pretrain.groups_per_step', '1', '--pretrain.vocab_size', '400');
  const path = join(folder, 'base-policy');
  const options = { phases: ['pretrain'], resume: true, clean: false, signal: new AbortController().signal } as const;
  openRunFolder(pretrained).close();
  mkdirSync(path);
  // A kill left half of it: an index of shards that are not there.
  writeFileSync(join(path, 'model.safetensors.index.json'), '{}');
  await runPipeline(pretrained, options);
  checkModelFolder(readModelFolder(path));
  expect(readdirSync(path).sort()).toEqual([
    'chat_template.jinja',
    'config.json',
    'generation_config.json',
    'model.safetensors',
    'tokenizer.json',
  ]);
  expect(readdirSync(folder).filter((name) => name.startsWith('base-policy'))).toEqual(['base-policy']);
});
