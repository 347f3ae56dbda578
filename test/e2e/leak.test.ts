/**
 * Plan: nothing of a held-out patient reaches training. The stages run twice on the synthetic cohort; the second time every test patient
 * has the opposite label and another patient's record. Experts, searched trees, trajectories and every checkpoint stay, byte for byte.
 *   control: the experts, asked about the changed patients, answer otherwise
 *   who was searched and learnt from: train patients only; splits are disjoint and hold everybody; id, label and text stay together
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { loadConfig } from '../../trainer/src/config/load.ts';
import { loadCohort } from '../../trainer/src/stages/cohort.ts';
import { runPipeline } from '../../trainer/src/stages/pipeline.ts';
import { promptOptions, taskOf } from '../../trainer/src/tasks/configured.ts';
import { buildPrompt } from '../../trainer/src/text/prompt.ts';
import type { Cohort, SplitName } from '../../trainer/src/types.ts';
import { essenceOf, type Flags, TINY, words } from './cli.ts';

const cohort = vi.hoisted(() => ({ change: (generated: Cohort): Cohort => generated }));
vi.mock('../../trainer/src/data/synthetic.ts', async (load) => {
  const synthetic = await load<typeof import('../../trainer/src/data/synthetic.ts')>();
  const generateSyntheticCohort: typeof synthetic.generateSyntheticCohort = (options) =>
    cohort.change(synthetic.generateSyntheticCohort(options));
  return { ...synthetic, generateSyntheticCohort };
});

/** Test patients exchange their records in a circle, and all labels of theirs are turned round. */
function tamper(generated: Cohort): Cohort {
  const test = generated.patients.filter((p) => generated.splits.test.includes(p.id));
  const patients = generated.patients.map((patient) => {
    const at = test.indexOf(patient);
    if (at < 0) return patient;
    const { values, visitTimes } = test[(at + 1) % test.length];
    return { ...patient, values, visitTimes, label: patient.label === 1 ? (0 as const) : (1 as const) };
  });
  return { ...generated, patients };
}

const work = mkdtempSync(join(tmpdir(), 'eagrl-leak-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const tiny: Flags = { ...TINY, 'rl.max-steps': '2' };
const { config: path, ...flags } = tiny;
const configOf = (name: string) => loadConfig({ path, overrides: words({ ...flags, 'output-dir': join(work, name) }) });
const folder = (name: string): string => join(work, name, 'tiny');

async function train(name: string): Promise<void> {
  const { signal } = new AbortController();
  await runPipeline(configOf(name), { resume: false, clean: false, signal, phases: ['expert', 'mcts', 'sft', 'rl'] });
}

beforeAll(async () => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  await train('untouched');
  cohort.change = tamper;
  await train('tampered');
  cohort.change = (generated) => generated;
}, 240_000);

/** Everything of a run but the cohort's digest and what the experts say of single patients. */
function learnt(name: string): Map<string, string> {
  const files = essenceOf(folder(name));
  for (const file of files.keys()) if (/^state\/(expert-\d+|cohort)\.json$/.test(file)) files.delete(file);
  return files;
}

it('test patients with other labels and records: the same trees, trajectories and checkpoints', () => {
  const [want, got] = [learnt('untouched'), learnt('tampered')];
  const checkpoints = [...want.keys()].filter((file) => /^checkpoints\/(sft|sft_answer|rl)\/.*\.safetensors$/.test(file));
  expect(checkpoints).toHaveLength(6);
  expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
  for (const [file, essence] of want) expect(got.get(file), file).toBe(essence);
});

it('the experts are the same models; only their answers about the changed patients differ', async () => {
  const { patients, splits } = (await loadCohort(configOf('untouched'))).cohort;
  const expert = (name: string) => JSON.parse(readFileSync(join(folder(name), 'state', 'expert-1.json'), 'utf8'));
  const [want, got] = [expert('untouched'), expert('tampered')];
  const about = (split: SplitName, { probabilities }: { probabilities: number[] }) =>
    probabilities.filter((_, i) => splits[split].includes(patients[i].id));
  for (const split of ['train', 'val'] as const) expect(about(split, got)).toEqual(about(split, want));
  expect(about('test', got)).not.toEqual(about('test', want));
  expect([got.valAuroc, got.epochs]).toEqual([want.valAuroc, want.epochs]);
});

it('searched and learnt from: train patients only', async () => {
  const train = new Set((await loadCohort(configOf('untouched'))).cohort.splits.train);
  const searched = readdirSync(join(folder('untouched'), 'mcts')).map((file) => file.replace('.json', ''));
  const trajectories = readFileSync(join(folder('untouched'), 'trajectories.jsonl'), 'utf8')
    .trimEnd()
    .split('\n');
  expect(searched.length).toBe(8);
  for (const id of [...searched, ...trajectories.map((line) => JSON.parse(line).id)]) expect(train.has(id), id).toBe(true);
});

it('splits are disjoint and hold everybody; id, label and text of an example are one patient’s', async () => {
  const config = configOf('untouched');
  const loaded = (await loadCohort(config)).cohort;
  const ids = Object.values(loaded.splits).flat();
  expect(new Set(ids).size).toBe(ids.length);
  expect([...ids].sort()).toEqual(loaded.patients.map((p) => p.id).sort());
  const task = taskOf(loaded, config);
  for (const split of ['train', 'val', 'test'] as const) {
    for (let i = 0; i < task.numExamples(split); i++) {
      const { id, label, prompt } = task.getExample(split, i);
      const patient = loaded.patients.find((p) => p.id === id)!;
      expect([id, label]).toEqual([loaded.splits[split][i], patient.label]);
      expect(prompt).toBe(buildPrompt(patient, loaded, promptOptions(config)));
    }
  }
});
