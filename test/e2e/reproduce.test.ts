/**
 * Plan: `eagrl reproduce` as a process of its own, at the smoke preset's sizes.
 *   every cell, from plan to figures: each row there, its numbers finite, tables and verdicts drawn from the rows
 *   kill -9 between two nodes and while a checkpoint of one is written, Ctrl-C inside another: what was done is not done again, and the end
 *   equals the unbroken run byte for byte
 *   two shards in folders of their own, then --merge: the same bytes again; --merge before they are done names what is missing
 *   a folder of `eagrl run` is left alone
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cliCommand, eagrl, type Finished, type Flags, hasEntry, signalAt, start, words } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-reproduce-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));

const TINY: Flags = {
  config: 'configs/smoke.yaml',
  'run-name': 'tiny',
  device: 'wasm',
  'data.num-test': '12',
  'mcts.num-simulations': '2',
  'mcts.max-depth': '3',
  'mcts.max-step-tokens': '64',
  'sft.train-batch-size': '2',
  'rl.num-generations': '4',
  'rl.max-steps': '2',
  'rl.max-completion-length': '112',
  'eval.max-completion-length': '112',
};
const reproduce = (name: string, ...more: string[]): string[] => reproduceWith({}, name, ...more);
const reproduceWith = (flags: Flags, name: string, ...more: string[]): string[] => [
  'reproduce',
  ...words({ ...TINY, ...flags, 'output-dir': join(work, name) }),
  ...more,
];
const folder = (name: string): string => join(work, name, 'tiny');
/** What the rows are drawn into. */
const WRITTEN = [
  'reproduction.json',
  'REPRODUCTION.md',
  'tables/method.md',
  'tables/rows.csv',
  'figures/methods.svg',
  'figures/methods.png',
];
/** `output_dir` stands in REPRODUCTION.md by its last part. */
const written = (name: string): string[] =>
  WRITTEN.map((file) => readFileSync(join(folder(name), file), 'utf8').replace(/^output_dir: .*$/m, ''));

interface PlanJson {
  readonly cells: readonly { readonly cell: string; readonly node: string }[];
  readonly nodes: readonly { readonly title: string; readonly hash: string; readonly done: boolean }[];
}
async function planned(command: readonly string[]): Promise<PlanJson> {
  const { code, stdout, stderr } = await eagrl(...command, '--dry-run', '--json');
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout) as PlanJson;
}

describe('every cell', () => {
  let finished: Finished;
  beforeAll(async () => {
    const other = join(work, 'other.yaml');
    writeFileSync(other, 'data: {kind: synthetic, seed: 1, effects: shifted, num_train: 12, num_val: 12, num_test: 12}\n');
    finished = await eagrl(...reproduce('all', '--transfer-config', other));
  }, 1_800_000);

  test('has a row with finite numbers, bounds around them', () => {
    expect(finished.code, finished.stderr).toBe(0);
    const { rows, verdicts } = JSON.parse(readFileSync(join(folder('all'), 'reproduction.json'), 'utf8'));
    expect(rows).toHaveLength(38);
    for (const row of rows) {
      expect(row, row.cell).toMatchObject({ seed: 42, n: 12 });
      for (const bounds of Object.values<Record<string, number>>(row.stats)) {
        expect(Object.values(bounds).every(Number.isFinite), row.cell).toBe(true);
        expect(bounds.upper).toBeGreaterThanOrEqual(bounds.lower);
      }
      expect(row.difference === null, row.cell).toBe(/^(other_)?eagrl$/.test(row.cell));
      // Only answers in words name features and can be unreadable.
      expect('jaccard' in row.stats, row.cell).toBe(!/^(vanilla|sft_answer|bayes)$|expert/.test(row.cell));
      expect('parse_failure_rate' in row.stats, row.cell).toBe(!/^bayes$|expert/.test(row.cell));
    }
    expect(verdicts.length).toBeGreaterThan(6);
    for (const { missing } of verdicts) expect(missing).toEqual([]);
  });

  test('tables in three forms, figures, the cost of every node', () => {
    const figures = ['ablations', 'methods', 'robustness', 'transfer'].flatMap((name) => [`${name}.png`, `${name}.svg`]);
    expect(readdirSync(join(folder('all'), 'figures')).sort()).toEqual(figures);
    const named = ['ablation', 'cost', 'experts', 'method', 'phases', 'robustness', 'transfer', 'transfer_other'];
    const tables = named.flatMap((name) => ['csv', 'md', 'tex'].map((form) => `${name}.${form}`));
    expect(readdirSync(join(folder('all'), 'tables')).sort()).toEqual([...tables, 'rows.csv'].sort());
    const cost = readFileSync(join(folder('all'), 'tables', 'cost.csv'), 'utf8')
      .trimEnd()
      .split('\n');
    for (const line of cost.slice(1)) expect(Number(line.split(',')[3]), line).toBeGreaterThan(0); // every piece computes
    expect(cost).toHaveLength(1 + readdirSync(join(folder('all'), 'cells')).length);
  });

  test('each method trained its own weights', async () => {
    const { nodes } = await planned(reproduce('all', '--transfer-config', join(work, 'other.yaml')));
    expect(nodes.every((node) => node.done)).toBe(true);
    // Not among them: without the adaptive clip, which two steps at a small rate never reach.
    const methods = [
      'sft_answer sft_answer',
      'stage1 stage1',
      'rl grpo',
      'rl dapo',
      'rl eagrl',
      'rl no_stage1',
      'rl no_attention',
      'stage1 star',
    ];
    const weights = methods.map((title) => {
      const { hash } = nodes.find((node) => node.title.startsWith(`${title} `))!;
      const checkpoints = join(folder('all'), 'cells', hash, 'checkpoints');
      const [phase] = readdirSync(checkpoints);
      const [last] = readdirSync(join(checkpoints, phase));
      return createHash('sha256')
        .update(readFileSync(join(checkpoints, phase, last, 'model.safetensors')))
        .digest('hex');
    });
    expect(new Set(weights).size).toBe(methods.length);
  });

  test('shuffled lines and removed values reach the policy: its answers change', () => {
    const { rows } = JSON.parse(readFileSync(join(folder('all'), 'reproduction.json'), 'utf8'));
    const tokens = (cell: string) => rows.find((row: { cell: string }) => row.cell === cell).stats.tokens.value;
    expect(new Set(['eagrl', 'shuffled_100', 'removed_40'].map(tokens)).size).toBeGreaterThan(1);
  });
});

describe('stopped and resumed, sharded and merged', () => {
  /** Steps enough that a signal at the first finds the run in its middle. */
  const few = (name: string, ...more: string[]) => reproduceWith({ 'rl.max-steps': '5' }, name, '--only', 'decompose,dapo', ...more);
  let plan: PlanJson;
  beforeAll(async () => {
    const { code, stderr } = await eagrl(...few('whole'));
    expect(code, stderr).toBe(0);
    plan = await planned(few('whole'));
  }, 600_000);
  const nodeOf = (title: string): string => plan.nodes.find((node) => node.title.startsWith(`${title} `))!.hash;
  const done = (name: string, hash: string) => (): boolean => existsSync(join(folder(name), 'cells', hash, 'result.json'));
  const writtenAt = (name: string, hash: string): number => statSync(join(folder(name), 'cells', hash, 'result.json')).mtimeMs;

  test('the plan: eight nodes, three cells, all done', () => {
    expect(plan.cells.map((c) => c.cell)).toEqual(['decompose', 'dapo', 'eagrl']);
    expect(plan.nodes.map((node) => node.title.split(' ')[0])).toEqual([
      ...['expert', 'answers', 'trees', 'stage1', 'rl', 'answers', 'rl', 'answers'],
    ]);
    expect(plan.nodes.every((node) => node.done)).toBe(true);
  });

  test('killed three ways, then finished: the bytes of the unbroken run, and nothing done twice', { timeout: 900_000 }, async () => {
    const command = () => start(cliCommand(few('broken')));
    const killed = await signalAt(command(), 'SIGKILL', done('broken', nodeOf('expert')));
    expect(killed.signal).toBe('SIGKILL');
    const expert = writtenAt('broken', nodeOf('expert'));

    const stage1 = nodeOf('stage1');
    await signalAt(command(), 'SIGKILL', () => hasEntry(folder('broken'), `cells/${stage1}/checkpoints/sft`, /\.tmp-\d+$/));
    expect(done('broken', stage1)()).toBe(false);

    const rl = nodeOf('rl');
    const logged = () => {
      const path = join(folder('broken'), 'cells', rl, 'metrics.jsonl');
      return existsSync(path) && readFileSync(path, 'utf8').includes('"step":1,');
    };
    const interrupted = await signalAt(command(), 'SIGINT', logged);
    expect(interrupted.code, interrupted.stderr).toBe(130);
    expect(interrupted.stderr).toContain('go on with the same command');
    expect(done('broken', rl)()).toBe(false);

    const { code, stderr } = await command().finished;
    expect(code, stderr).toBe(0);
    expect(written('broken')).toEqual(written('whole'));
    expect(writtenAt('broken', nodeOf('expert'))).toBe(expert);
  });

  test('two shards and --merge: the same bytes', { timeout: 900_000 }, async () => {
    for (const part of ['1/2', '2/2']) {
      const { code, stderr } = await eagrl(...few(`part${part[0]}`, '--shard', part));
      expect(code, stderr).toBe(0);
      expect(existsSync(join(folder(`part${part[0]}`), 'reproduction.json'))).toBe(false);
    }
    const early = await eagrl(...few('part1', '--merge'));
    expect(early.code).toBe(2);
    expect(early.stderr).toMatch(/^eagrl: --merge: \d+ of 8 nodes are not done, first trees dapo 42/m);
    const { code, stderr } = await eagrl(...few('part1', '--merge', folder('part2')));
    expect(code, stderr).toBe(0);
    expect(written('part1')).toEqual(written('whole'));
  });

  test('a folder of eagrl run is left alone', async () => {
    mkdirSync(join(folder('foreign'), 'configs'), { recursive: true });
    writeFileSync(join(folder('foreign'), 'configs', 'resolved.yaml'), 'seed: 1\n');
    const { code, stderr } = await eagrl(...few('foreign'));
    expect(code).toBe(2);
    expect(stderr).toContain('something other than a run of eagrl reproduce');
    expect(readdirSync(folder('foreign'))).toEqual(['configs']);
  });
});
