/**
 * Plan: one run unbroken, and one that is stopped at every kind of moment and resumed: both end with the same files, byte for byte,
 * apart from wall times. That the same seed gives the same numbers is shown on the way.
 *   search:  kill -9 between two experts; at a random moment of the first wave; between two waves
 *   SFT:     a disk without room for a checkpoint (exit code 2, nothing half-written); kill -9 while a checkpoint is written, at a
 *            random moment inside a step, and when a step is logged but not saved
 *   RL:      kill -9 at a random moment of the first rollouts, when a step is logged but not saved, while a checkpoint is written;
 *            Ctrl-C (exit code 130), which saves between two checkpoints and names the command to go on with
 *   eval:    kill -9 between two predictors, and after the metrics but before the summary
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Random } from '@eagrl/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cliCommand, eagrl, essenceOf, hasEntry, isLogged, signalAt, start, TINY, words } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-resume-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const run = (name: string, ...more: string[]): string[] => ['run', ...words({ ...TINY, 'output-dir': join(work, name) }), ...more];
const unbroken = join(work, 'unbroken', 'tiny');
const broken = join(work, 'broken', 'tiny');

beforeAll(async () => {
  const { code, stderr } = await eagrl(...run('unbroken'));
  expect(code, stderr).toBe(0);
}, 300_000);

const kept = (name: string) => () => existsSync(join(broken, 'state', `${name}.json`));
/** The last checkpoint of a phase, which the unbroken run still has. */
const finished = (phase: string) => () => {
  const [last] = readdirSync(join(unbroken, 'checkpoints', phase));
  return existsSync(join(broken, 'checkpoints', phase, last));
};
const saving = (phase: string) => () => hasEntry(broken, `checkpoints/${phase}`, /\.tmp-\d+$/);
const logged = (phase: string, step: number) => () => isLogged(broken, phase, step);
const resume = run('broken', '--resume');

/** Starts the run, or goes on with it, and kills it at `moment`; `spread`: at random, up to so many ms later. */
function kill(title: string, moment: () => boolean, { command = () => resume, spread = 0 } = {}): void {
  test(`kill -9, ${title}`, { timeout: 300_000 }, async () => {
    const delay = Math.floor(new Random(title).next() * spread);
    const { signal } = await signalAt(start(cliCommand(command())), 'SIGKILL', moment, delay);
    expect(signal).toBe('SIGKILL');
    expect(existsSync(join(broken, 'summary.json'))).toBe(false);
  });
}

kill('search: between two experts', kept('expert-1'), { command: () => run('broken') });
kill('search: inside the first wave', kept('expert-2'), { spread: 600 });
kill('search: between two waves', kept('mcts-4'));

test('sft: a checkpoint finds no room on the disk', { timeout: 300_000 }, async () => {
  // Files of 4 MiB at most (blocks of 512 bytes): room for everything but weights. Needs no privilege, as a small mount would.
  const limited = ['sh', '-c', 'ulimit -f 8192 && exec "$@"', 'sh', ...cliCommand(resume)];
  const { code, stderr } = await start(limited).finished;
  expect(code, stderr).toBe(2);
  expect(stderr).toMatch(
    /^eagrl: cannot write .*checkpoint-\d+: .*ulimit -f, then go on with --resume\. What was written before is intact\.$/m,
  );
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(readdirSync(join(broken, 'checkpoints', 'sft'))).toEqual([]);
});

kill('sft: while a checkpoint is written', saving('sft'));
kill('sft: inside a step', finished('sft'), { spread: 200 });
kill('sft: a step logged and not saved', logged('sft_answer', 1));
kill('rl: inside the first rollouts', finished('sft_answer'), { spread: 300 });

let hint: string[] = [];
test('rl: Ctrl-C saves between two checkpoints and says how to go on', { timeout: 300_000 }, async () => {
  const { code, stderr } = await signalAt(start(cliCommand(resume)), 'SIGINT', logged('rl', 1));
  expect(code, stderr).toBe(130);
  expect(readdirSync(join(broken, 'checkpoints', 'rl')), stderr).toEqual(['checkpoint-1']);
  hint = /go on with: eagrl (.+)$/m.exec(stderr)?.[1].split(' ') ?? [];
});

kill('rl: a step logged and not saved, resumed as Ctrl-C said', logged('rl', 3), { command: () => hint });
kill('rl: while a checkpoint is written', saving('rl'));
kill('eval: between two predictors', kept('eval-sft_answer'));
kill('eval: metrics logged, no summary yet', kept('eval-logged'));

test('stopped thirteen times, then finished: the files of the unbroken run', { timeout: 300_000 }, async () => {
  const { code, stderr } = await eagrl(...resume);
  expect(code, stderr).toBe(0);
  const want = essenceOf(unbroken);
  const got = essenceOf(broken);
  expect([...got.keys()].sort()).toEqual([...want.keys()].sort());
  for (const [file, essence] of want) expect(got.get(file), file).toBe(essence);
});

test('there was something to compare: each stage changed the weights', () => {
  const weights = (phase: string): string | undefined => {
    const path = join(unbroken, 'checkpoints', phase);
    return essenceOf(join(path, readdirSync(path)[0])).get('model.safetensors');
  };
  expect(new Set([weights('sft'), weights('sft_answer'), weights('rl')]).size).toBe(3);
});
