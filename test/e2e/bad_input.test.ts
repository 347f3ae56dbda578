/**
 * Plan: what a user can get wrong, each through the CLI: exit code 2, one line that says what was expected, what was found and the cure,
 * no stack, no value of a patient, and nothing changed on disk.
 *   config   unknown key (flag and file), wrong type, contradiction, missing file, unknown device and phase
 *   cohort   missing workbook, no such sheet, missing column, a non-number in a lab, empty split, one class only (file and generated)
 *   model    missing and truncated weights, header beyond the file, overlapping tensors, integer weights, another shape, no JSON, another
 *            architecture, a tokenizer of another kind or model, prompts longer than the context
 *   folder   in use, used, another config, foreign, a file in its way; a checkpoint of another config, a damaged one
 *   process  the exit code as a shell sees it; a device that is not there leaves no folder. A full disk is in resume.test.ts.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type XlsxCell, xlsx } from '@eagrl/testing';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../trainer/src/commands/main.ts';
import { loadConfig } from '../../trainer/src/config/load.ts';
import { LABS } from '../../trainer/src/data/lab_dictionary.ts';
import { BASE_POLICY } from '../../trainer/src/run/model_folder.ts';
import { openRunFolder } from '../../trainer/src/run/run_folder.ts';
import { cliCommand, eagrl, type Flags, start, TINY, words } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-bad-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const outputs = join(work, 'outputs');
const folder = join(outputs, 'tiny');
const tiny: Flags = { ...TINY, 'output-dir': outputs };

let err = '';
beforeEach(() => {
  err = '';
  rmSync(outputs, { recursive: true, force: true });
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

/** `eagrl run` with these flags over the tiny run's ends with exit code 2 and one line of complaint. */
async function refused(flags: Flags, message: RegExp, ...more: string[]): Promise<void> {
  expect(await main(['run', ...words({ ...tiny, ...flags }), ...more]), err).toBe(2);
  expect(err).not.toMatch(/^ {4}at /m);
  const complaints = err.split('\n').filter((line) => line.startsWith('eagrl: '));
  expect(complaints, err).toHaveLength(1);
  expect(complaints[0]).toMatch(message);
}

/** The same before any work: there is no other line, and no folder. */
async function refusedAtOnce(flags: Flags, message: RegExp, ...more: string[]): Promise<void> {
  await refused(flags, message, ...more);
  expect(err.trimEnd()).not.toContain('\n');
  expect(existsSync(outputs)).toBe(false);
}

describe('config', () => {
  const yaml = join(work, 'typo.yaml');
  writeFileSync(yaml, 'rl:\n  max_step: 3\n');
  it.each<[string, Flags, RegExp]>([
    ['an unknown key', { 'rl.learning-rte': '1' }, /unknown key rl\.learning_rte; did you mean rl\.learning_rate\?/],
    ['an unknown key in a file', { config: yaml }, /typo\.yaml: unknown key rl\.max_step; did you mean rl\.max_steps\?/],
    ['a missing file', { config: join(work, 'none.yaml') }, /no file .*none\.yaml; give a YAML file, or a preset: /],
    ['a wrong type', { 'rl.beta': 'many' }, /rl\.beta: .*expected number.*; got "many"/],
    ['a value out of range', { 'rl.top-p': '1.5' }, /rl\.top_p: .*<=1; got 1\.5/],
    ['keys that contradict each other', { 'rl.epsilon-high-min': '0.5' }, /epsilon_high_min 0\.5 is above rl\.epsilon_high_max 0\.4/],
    ['an unknown device', { device: 'cuda' }, /device: .*"wasm".*; got "cuda"/],
    ['an unknown phase', { phases: 'rl,evil' }, /no phase evil; expected some of pretrain,expert,mcts,sft,rl,eval/],
    ['a cohort whose files nobody named', { 'data.kind': 'tjh' }, /needs data\.path .* pass --data\.path FILE --data\.split FILE/],
  ])('%s', (_title, flags, message) => refusedAtOnce(flags, message));

  it('two ways to open a folder', () => refusedAtOnce({}, /exclude each other; keep one/, '--resume', '--clean'));
});

describe('cohort', () => {
  const labs = LABS.flatMap((lab) => lab.tjh ?? []);
  const header = ['PATIENT_ID', 'RE_DATE', 'age', 'gender', 'Admission time', 'Discharge time', 'outcome', ...labs];
  const day = new Date(Date.UTC(2020, 0, 5));
  const split = { train: [1, 2], val: [3, 4], test: [5, 6] };
  const path = join(work, 'cohort.xlsx');

  /** Flags of a workbook of six patients, every lab 4321.5, after `change`. */
  function tjh(change: (table: XlsxCell[][]) => unknown, ids: object = split): Flags {
    const patients = [0, 1, 0, 1, 0, 1].map((outcome, i) => [i + 1, day, 60, 1, day, day, outcome, ...labs.map(() => 4321.5)]);
    const table: XlsxCell[][] = [header.slice(), ...patients];
    change(table);
    const splitPath = join(work, 'split.json');
    writeFileSync(path, xlsx(table));
    writeFileSync(splitPath, JSON.stringify(ids));
    return { 'data.kind': 'tjh', 'data.path': path, 'data.split': splitPath };
  }
  const creatinine = header.indexOf('creatinine');

  it.each<[string, () => Flags, RegExp]>([
    [
      'a missing workbook',
      () => ({ ...tjh(() => {}), 'data.path': 'none.xlsx' }),
      /none\.xlsx: cannot read the TJH spreadsheet \(ENOENT\); check the path/,
    ],
    [
      'no such sheet',
      () => tjh((t) => (t[0][0] = 'subject')),
      /no sheet has a column PATIENT_ID .*"Sheet1".*; expected the TJH spreadsheet/,
    ],
    ['a missing column', () => tjh((t) => (t[0][6] = null)), /column "outcome" is missing; expected/],
    [
      'a non-number in a lab',
      () => tjh((t) => (t[3][creatinine] = '>98765')),
      /cohort\.xlsx, sheet "Sheet1", column "creatinine", row 4: expected a number, got text/,
    ],
    ['an empty split', () => tjh(() => {}, { ...split, val: [] }), /split "val" is empty; expected/],
    ['one class only', () => tjh(() => {}, { ...split, test: [5] }), /split "test" has one class only \(1 patients\)/],
    ['one class only in a generated cohort', () => ({ 'data.num-test': '1' }), /split "test" has one class only \(1 patients\)/],
  ])('%s', async (_title, flags, message) => {
    await refusedAtOnce(flags(), message);
    expect(err).not.toMatch(/98765|4321/);
  });
});

describe('model', () => {
  const model = join(work, 'model');
  const weights = join(model, 'model.safetensors');
  const file = (name: string): string => join(model, name);
  const json = (name: string): Record<string, any> => JSON.parse(readFileSync(file(name), 'utf8'));
  const change = (name: string, values: object): void => writeFileSync(file(name), JSON.stringify({ ...json(name), ...values }));
  /** Rewrites the header of the weights; the data stay. */
  function changeHeader(edit: (tensors: Record<string, { dtype: string; shape: number[]; data_offsets: number[] }>) => void): void {
    const bytes = readFileSync(weights);
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, 8 + length));
    const { __metadata__, ...tensors } = header;
    edit(tensors);
    const text = Buffer.from(JSON.stringify(tensors));
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(text.length));
    writeFileSync(weights, Buffer.concat([size, text, bytes.subarray(8 + length)]));
  }

  beforeEach(() => {
    rmSync(model, { recursive: true, force: true });
    cpSync(BASE_POLICY, model, { recursive: true });
  });

  it.each<[string, () => void, RegExp]>([
    [
      'no weights',
      () => rmSync(weights),
      /model has no model\.safetensors; expected a folder with config\.json, tokenizer\.json, and model\.safetensors or/,
    ],
    [
      'weights cut short',
      () => writeFileSync(weights, readFileSync(weights).subarray(0, 100_000)),
      /model\.safetensors: .*truncated.*; restore the file/,
    ],
    ['weights of 5 bytes', () => writeFileSync(weights, 'hello'), /model\.safetensors: .*; restore the file/],
    [
      'a header longer than the file',
      () => writeFileSync(weights, Buffer.from('ffffffffffffff00', 'hex')),
      /model\.safetensors: header claims \d+ bytes; the file has 0/,
    ],
    [
      'a header that is no JSON',
      () => writeFileSync(weights, Buffer.from('0400000000000000deadbeef', 'hex')),
      /model\.safetensors: header is not valid UTF-8 JSON/,
    ],
    [
      'tensors that overlap',
      () => changeHeader((t) => Object.assign(t['model.norm.weight'], { data_offsets: [0, 512] })),
      /model\.safetensors: .*(overlap|span)/,
    ],
    [
      'integer weights',
      () => changeHeader((t) => Object.assign(t['model.norm.weight'], { dtype: 'I16' })),
      /'model\.norm\.weight': dtype "I16" is not supported; expected F32, F16, BF16/,
    ],
    [
      'weights of another model',
      () =>
        changeHeader((t) => {
          t['transformer.norm.weight'] = t['model.norm.weight'];
          delete t['model.norm.weight'];
        }),
      /the file holds another model\. Missing: 'model\.norm\.weight'/,
    ],
    ['another shape', () => change('config.json', { intermediate_size: 96 }), /mlp\.\w+\.weight': expected shape \(.*96.*\), the file has/],
    ['a config that is no JSON', () => writeFileSync(file('config.json'), '{"model_type":'), /config\.json is not JSON .*; restore it/],
    [
      'another architecture',
      () => change('config.json', { model_type: 'gpt2' }),
      /config\.json: .*model_type is "gpt2"; expected qwen2, qwen3, llama/,
    ],
    [
      'a tokenizer of another kind',
      () => writeFileSync(file('tokenizer.json'), '{"model":{"type":"Unigram"}}'),
      /tokenizer\.json: .*expected a tokenizer\.json with a BPE model/,
    ],
    ['a tokenizer of another model', () => change('config.json', { vocab_size: 300 }), /tokenizer has \d+ ids, the embedding 300 rows/],
    [
      'prompts longer than the context',
      () => change('config.json', { max_position_embeddings: 128 }),
      /prompt of \d+ tokens .* exceed the model's context of 128; lower prompt\.last_visits/,
    ],
  ])('%s', (_title, damage, message) => {
    damage();
    return refusedAtOnce({ 'model.model-name-or-path': model }, message);
  });
  it('no such folder', () =>
    refusedAtOnce({ 'model.model-name-or-path': join(work, 'nowhere') }, /nowhere has no config\.json; expected a folder/));
});

describe('run folder', () => {
  const { config, ...flags } = tiny;
  const resolved = loadConfig({ path: config, overrides: words(flags) });
  /** A run that was begun, with a file nobody may lose. */
  function begun(): void {
    openRunFolder(resolved).close();
    writeFileSync(join(folder, 'precious.txt'), 'kept');
  }
  afterEach(() => {
    if (existsSync(join(folder, 'configs'))) expect(readFileSync(join(folder, 'precious.txt'), 'utf8')).toBe('kept');
  });
  function checkpoint(phase: string, configHash: string): void {
    const path = join(folder, 'checkpoints', phase, 'checkpoint-1');
    mkdirSync(path, { recursive: true });
    writeFileSync(join(path, 'trainer_state.json'), JSON.stringify({ phase, step: 1, numTokens: 1, maxSteps: 1, config_hash: configHash }));
    writeFileSync(join(path, 'optimizer.safetensors'), 'torn');
  }

  it('in use', async () => {
    begun();
    const held = openRunFolder(resolved, { resume: true });
    await refused({}, /is in use by process \d+; wait for it, or choose another --run-name/, '--resume');
    held.close();
  });
  it('used, without --resume or --clean', () => {
    begun();
    return refused({}, /holds a run already; pass --resume to go on with it, --clean to start over/);
  });
  it('resumed with another config', () => {
    begun();
    return refused({ 'rl.beta': '0.1' }, /its config differs in rl\.beta; resume with the config it was started with/, '--resume');
  });
  it('of somebody else', async () => {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'thesis.tex'), 'x');
    await refused({}, /holds files but no configs.resolved\.yaml, so it is no run folder; choose another --run-name/, '--clean');
    expect(readdirSync(folder)).toEqual(['thesis.tex']);
  });
  it('a file in its way', () => {
    mkdirSync(outputs);
    writeFileSync(folder, 'x');
    return refused({}, /a file stands where a folder is needed; choose another output_dir/);
  });
  it('a checkpoint of another config', () => {
    begun();
    checkpoint('rl', '0123456789abcdef');
    return refused({}, /checkpoint rl\/checkpoint-1 belongs to another config \(0123456789ab, .*; resume with the config/, '--resume');
  });
  it('a damaged checkpoint', () => {
    begun();
    const held = openRunFolder(resolved, { resume: true });
    checkpoint('sft', held.configHash);
    held.close();
    return refused({ phases: 'rl' }, /checkpoint checkpoint-1, optimizer\.safetensors: .*; restore the file/, '--resume');
  });
});

describe('process', () => {
  it('the exit code as a shell sees it', async () => {
    const { code, stdout, stderr } = await eagrl('run', '--rl.learning-rte', '1');
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^eagrl: .*did you mean rl\.learning_rate\?\n$/);
  });

  it.runIf(process.platform === 'linux')('a device that is not there leaves no folder', async () => {
    const command = cliCommand(['run', ...words({ ...tiny, device: 'webgpu' })]);
    const { code, stderr } = await start(command, { VK_DRIVER_FILES: join(work, 'no_driver.json') }).finished;
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(/^eagrl: webgpu: .*; install .*or use --device wasm$/m);
    expect(existsSync(outputs)).toBe(false);
  });
});
