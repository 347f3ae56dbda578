/**
 * Plan: a TJH workbook whose every lab value and id is unlike anything else, through `eagrl run` and two cells of `eagrl reproduce`, tiny,
 * without any network: in a network namespace of its own where the system permits it, and with Node's sockets refusing everywhere.
 *   both commands end well and never try the network (control: the guard does refuse)
 *   no planted value, id or date in what they print, log, count, draw or tabulate; only in the files that are about single patients
 *   asked for: `eagrl data inspect` shows one patient's values, so that the search is known to find what is there
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type XlsxCell, xlsx } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LABS } from '../../trainer/src/data/lab_dictionary.ts';
import { cliCommand, type Finished, type Flags, start, TINY, words } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-privacy-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

// ---------------------------------------------------------------- the planted cohort

const PEOPLE = 18;
/** Ids of six digits that begin alike; each lab value 7.7123 times a power of ten and a little, so that the prompt shows it as 77100. */
const idOf = (n: number): number => 918_270 + n;
const labValue = (n: number, lab: number): number => 77_123.4567 + n / 1000 + lab / 100_000;
const DAY = new Date(Date.UTC(1987, 2, 19));
/** What must not be found: values as they are and as a prompt rounds them, ids, the day. */
const PLANTED = /77123\.4|(?<![\d.])(77100|9182[78]\d|19870319)(?!\d)|1987-03-19/;

function writeCohort(): Flags {
  const labs = LABS.flatMap((lab) => lab.tjh ?? []);
  const header = ['PATIENT_ID', 'RE_DATE', 'age', 'gender', 'Admission time', 'Discharge time', 'outcome', ...labs];
  const rows = Array.from({ length: PEOPLE }, (_, n): XlsxCell[] => {
    const measured = labs.map((_lab, l) => ((n + l) % 6 === 0 ? labValue(n, l) : null));
    return [idOf(n), DAY, 60, 1 + (n % 2), DAY, DAY, n % 2, ...measured];
  });
  const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => idOf(from + i));
  writeFileSync(join(work, 'cohort.xlsx'), xlsx([header, ...rows]));
  writeFileSync(join(work, 'split.json'), JSON.stringify({ train: ids(0, 8), val: ids(8, 12), test: ids(12, PEOPLE) }));
  const { 'data.num-test': _generated, ...tiny } = TINY;
  return {
    ...tiny,
    'data.kind': 'tjh',
    'data.path': join(work, 'cohort.xlsx'),
    'data.split': join(work, 'split.json'),
    'output-dir': work,
    'rl.max-steps': '1',
    'eval.max-completion-length': '8',
  };
}

// ---------------------------------------------------------------- without a network

const guard = fileURLToPath(new URL('no_network.mjs', import.meta.url));
/** A namespace of its own with no interface but a loopback that is down; empty where the system does not permit it. */
const namespace = spawnSync('unshare', ['-rn', 'true']).status === 0 ? ['unshare', '-rn'] : [];

function offline(commandWords: readonly string[]): Promise<Finished> {
  const [node, ...args] = cliCommand(commandWords);
  return start([...namespace, node, '--import', guard, ...args]).finished;
}

/** Files below a folder that hold something planted. */
function holding(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => PLANTED.test(readFileSync(path, 'latin1')))
    .map((path) => relative(folder, path));
}

let flags: Flags;
beforeAll(() => {
  flags = writeCohort();
});

it('the guard refuses', () => {
  const script = "require('node:http').get('http://127.0.0.1:9').on('error', () => {})";
  const { status, stderr } = spawnSync(process.execPath, ['--import', guard, '-e', script], { encoding: 'utf8' });
  expect([status === 0, stderr.includes('NETWORK: ')]).toEqual([false, true]);
});

it('asked for: data inspect shows the planted values', async () => {
  const { code, stdout } = await offline(['data', 'inspect', ...words(flags)]);
  expect(code).toBe(0);
  expect(stdout).toMatch(PLANTED);
});

describe('eagrl run', () => {
  /** Files about single patients, as the README has it. */
  const PERSONAL = /^(splits\.json|trajectories\.jsonl|mcts\/|state\/|completions\/|eval\/tjh\/\w+\/predictions\.jsonl$)/;
  let finished: Finished;
  beforeAll(async () => {
    finished = await offline(['run', ...words({ ...flags, 'run-name': 'run' })]);
  }, 300_000);

  it('ends well without a network', () => {
    expect(finished.code, finished.stderr).toBe(0);
    expect(finished.stderr).not.toContain('NETWORK');
  });
  it('prints, logs and reports nothing planted; the files about patients do hold it', () => {
    expect(`${finished.stdout}${finished.stderr}`).not.toMatch(PLANTED);
    const found = holding(join(work, 'run'));
    expect(found.filter((file) => !PERSONAL.test(file))).toEqual([]);
    expect(found).toContain('splits.json');
  });
});

describe('eagrl reproduce', () => {
  it('holds nothing planted outside cells/, prints nothing of it, and wants no network', { timeout: 300_000 }, async () => {
    const { code, stdout, stderr } = await offline([
      'reproduce',
      ...words({ ...flags, 'run-name': 'cells' }),
      '--only',
      'decompose,noise_20',
    ]);
    expect(code, stderr).toBe(0);
    expect(stderr).not.toContain('NETWORK');
    expect(`${stdout}${stderr}`).not.toMatch(PLANTED);
    const found = holding(join(work, 'cells'));
    expect(found.filter((file) => !file.startsWith('cells/'))).toEqual([]);
    expect(found.length).toBeGreaterThan(0);
    // Of a cell's files, those that count or log are as clean as a run's.
    expect(found.filter((file) => /metrics\.jsonl|run\.log|node\.json|tfevents/.test(file))).toEqual([]);
  });
});
