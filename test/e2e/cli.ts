/** `eagrl` as a process of its own, straight from the TypeScript sources, and a run small enough to be started many times. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const loader = new URL('./typescript_loader.mjs', import.meta.url).href;
const root = fileURLToPath(new URL('../../', import.meta.url));
const cli = fileURLToPath(new URL('eagrl.ts', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
}

/** The command that runs `eagrl` with some words. */
export const cliCommand = (commandWords: readonly string[]): string[] => [
  process.execPath,
  '--conditions=@eagrl/source',
  '--import',
  loader,
  cli,
  ...commandWords,
];

/** Starts a command in the repository's root; its output is kept. */
export function start([program, ...args]: readonly string[], env: NodeJS.ProcessEnv = {}): RunningCli {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], cwd: root, env: { ...process.env, NODE_OPTIONS: '', ...env } });
  // A test that runs out of time leaves no process behind.
  const reap = () => child.kill('SIGKILL');
  process.once('exit', reap);
  child.once('exit', () => process.off('exit', reap));
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (text) => (stdout += text));
  child.stderr.on('data', (text) => (stderr += text));
  const finished = new Promise<Finished>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  return { child, finished };
}

/** Runs `eagrl` to its end. */
export const eagrl = (...commandWords: string[]): Promise<Finished> => start(cliCommand(commandWords)).finished;

/**
 * Sends a signal as soon as `moment` holds, looked at every millisecond, then `delay` ms later. @throws Error when the process ended
 * before: the moment was missed.
 */
export async function signalAt(
  { child, finished }: RunningCli,
  signal: NodeJS.Signals,
  moment: () => boolean,
  delay = 0,
): Promise<Finished> {
  const isOver = (): boolean => child.exitCode !== null || child.signalCode !== null;
  while (!moment() && !isOver()) await sleep(1);
  if (delay > 0) await sleep(delay);
  const missed = isOver() || !child.kill(signal);
  const result = await finished;
  if (missed) throw new Error(`the process ended with code ${child.exitCode} before the moment:\n${result.stderr}`);
  return result;
}

export type Flags = Readonly<Record<string, string>>;

/** Both stages and the evaluation, a few steps each, on a cohort of 36: every phase, and nothing about its quality. */
export const TINY: Flags = {
  config: 'configs/smoke.yaml',
  'run-name': 'tiny',
  device: 'wasm',
  'data.num-test': '12',
  'expert.ensemble': '2',
  'mcts.num-simulations': '2',
  'mcts.max-depth': '3',
  'mcts.batch-size': '4',
  'mcts.max-step-tokens': '64',
  'sft.train-batch-size': '2',
  'rl.max-steps': '4',
  'rl.max-completion-length': '64',
  'eval.max-completion-length': '64',
  'checkpoint.every-steps': '2',
};

/** Flags as words of a command line. */
export const words = (flags: Flags): string[] => Object.entries(flags).flatMap(([key, value]) => [`--${key}`, value]);

/** Keys of metrics that measure time. */
const isTime = (key: string): boolean => /^(time|perf)\/|^step_time$|seconds/.test(key);

/** What a file of a run folder says, apart from when, how long and where it was said. */
function essence(path: string, name: string): string {
  if (name.startsWith('tensorboard/')) return `${readFileSync(path).length} bytes`; // records of fixed size, each with its wall time
  if (/\.(safetensors|parquet)$/.test(name)) return createHash('sha256').update(readFileSync(path)).digest('hex');
  const text = readFileSync(path, 'utf8');
  if (name === 'metrics.jsonl') {
    const records = text
      .trimEnd()
      .split('\n')
      .map((line) => Object.entries(JSON.parse(line)).filter(([key]) => !isTime(key)));
    return records.map((entries) => JSON.stringify(Object.fromEntries(entries))).join('\n');
  }
  if (name === 'configs/resolved.yaml') return text.replace(/^output_dir: .*$/m, '');
  if (name === 'env.json' || name === 'summary.json') {
    // The commit may be another one by the time a test ends, when somebody works on this tree meanwhile.
    const { seconds, peak_rss_bytes, commit, ...rest } = JSON.parse(text);
    return JSON.stringify(rest);
  }
  return text;
}

/** Files that are about wall time, and the report drawn from them. */
const TIMED = new Set(['report.html', 'state/seconds.json', 'logs/run.log']);

/** Every file of a finished run with its essence, but those of TIMED. */
export function essenceOf(folder: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path);
    if (entry.isDirectory() || TIMED.has(name)) continue;
    files.set(name.replace(/events\.out\.tfevents\.\d+/, 'events.out.tfevents'), essence(path, name));
  }
  return files;
}

/** Whether a file exists whose path below `folder` matches; `directory` is looked into, not below. */
export function hasEntry(folder: string, directory: string, name: RegExp): boolean {
  const path = join(folder, directory);
  return existsSync(path) && readdirSync(path).some((entry) => name.test(entry));
}

/** Whether metrics.jsonl has the record of a step. */
export function isLogged(folder: string, phase: string, step: number): boolean {
  const path = join(folder, 'metrics.jsonl');
  return existsSync(path) && readFileSync(path, 'utf8').includes(`{"phase":"${phase}","step":${step},`);
}
