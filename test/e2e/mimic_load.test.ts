/**
 * Plan: `eagrl data prepare` on a generated MIMIC-IV folder, killed by kill -9 while a small table is read, at three moments of the chart's
 * first part, and inside its second; then run to its end.
 *   what it writes is that of an unbroken load, byte for byte, and so is what a load from the finished cache writes
 *   whole tables and whole parts of the chart are not read again, what was at work is; nothing half-read is taken for whole
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { generateMimicFolder } from '../../trainer/src/data/mimic_synthetic.ts';
import { cliCommand, type Finished, hasEntry, signalAt, start } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-mimic-load-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

/** Large enough that the chart takes a while, small enough that all loads together take some seconds. */
const SIZE = { stays: 300, rowsPerStay: 2000, seed: 5, gzip: true };
beforeAll(() => generateMimicFolder({ ...SIZE, out: join(work, 'mimic') }), 120_000);

const prepare = (name: string) =>
  start(
    cliCommand([
      'data',
      'prepare',
      '--config',
      'configs/mimic4.yaml',
      '--data.path',
      join(work, 'mimic'),
      '--output-dir',
      join(work, name),
    ]),
  );

/** What was written, by file. */
function written(name: string): string[] {
  const folder = join(work, name, 'mimic4', 'data');
  return readdirSync(folder).map((file) => `${file} ${readFileSync(join(folder, file), 'utf8')}`);
}

/** Whether the second part of the chart is at work: the file it is handed over in is named after the text before it. */
const inSecondPart = (name: string): boolean => hasEntry(join(work, name), 'cache', /\.duckdb\.[1-9]\d*\.csv$/);

/** Starts a load and kills it `delay` ms after it says that it reads `table`. */
async function killedAt(name: string, table: string, delay: number): Promise<Finished> {
  const running = prepare(name);
  let said = '';
  running.child.stderr?.on('data', (text) => {
    said += text;
  });
  return signalAt(running, 'SIGKILL', () => said.includes(`read ${table}`), delay);
}
/** The tables that a load read. */
const tables = ({ stderr }: Finished): string[] => [...new Set([...stderr.matchAll(/read (\w+)/g)].map(([, table]) => table))];

let whole: Finished;
/** Milliseconds from the first word of the chart to the end of an unbroken load: machines differ. */
let chartMs: number;
beforeAll(async () => {
  const running = prepare('whole');
  let began = Number.NaN;
  running.child.stderr?.on('data', (text) => {
    if (Number.isNaN(began) && String(text).includes('read chartevents')) began = performance.now();
  });
  whole = await running.finished;
  chartMs = performance.now() - began;
}, 120_000);

test('the unbroken load reads four tables', () => {
  expect(whole.code, whole.stderr).toBe(0);
  expect(tables(whole)).toEqual(['patients', 'admissions', 'icustays', 'chartevents']);
  expect(written('whole')).toHaveLength(3);
});

test('killed five times, then finished: the same bytes, and nothing whole read twice', { timeout: 300_000 }, async () => {
  for (const [table, share] of [
    ['admissions', 0],
    ['chartevents', 0],
    ['chartevents', 0],
    ['chartevents', 0.1],
  ] as const) {
    const killed = await killedAt('broken', table, share * chartMs);
    expect(killed.signal, `${table} ${share}`).toBe('SIGKILL');
  }
  const inside = await signalAt(prepare('broken'), 'SIGKILL', () => inSecondPart('broken'));
  expect(inside.signal).toBe('SIGKILL');
  const last = await prepare('broken').finished;
  expect(last.code, last.stderr).toBe(0);
  expect(tables(last)).toEqual(['chartevents']);
  expect(last.stderr).toMatch(/^read chartevents 0\/100, .*, going on after [1-9]\d* rows$/m);
  expect(written('broken')).toEqual(written('whole'));
  // Only the cache itself is left of the cache's folder.
  expect(readdirSync(join(work, 'broken', 'cache')).filter((name) => !name.endsWith('.duckdb'))).toEqual([]);

  const again = await prepare('broken').finished;
  expect([again.code, tables(again)]).toEqual([0, []]);
  expect(written('broken')).toEqual(written('whole'));
});
