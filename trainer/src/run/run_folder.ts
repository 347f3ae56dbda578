/**
 * The folder of one run, never shared by two and never overwritten unasked:
 *
 *   <output_dir>/<run_name>/
 *     configs/resolved.yaml  env.json  logs/run.log  metrics.jsonl  tensorboard/<phase>/events.out.tfevents.*
 *     completions/completions_<step>.parquet  mcts/<case>.json  trajectories.jsonl  checkpoints/<phase>/checkpoint-<step>/
 *     eval/<cohort>/<row>/  summary.json  report_data.json  report.html
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { configFromYaml, configHash, configToYaml } from '../config/load.ts';
import { differingKeys } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import { asStorageError, removeUnfinished, writeFileAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import { collectEnvironment, type Environment } from './environment.ts';
import { takeLock } from './lock.ts';

export interface OpenRunOptions {
  /** Go on with the run that is in the folder; starts one when there is none yet. */
  readonly resume?: boolean;
  /** Remove the run that is in the folder first. */
  readonly clean?: boolean;
}

export interface RunFolder {
  readonly path: string;
  readonly config: Config;
  readonly configHash: string;
  readonly environment: Environment;
  /** True when an earlier run is being continued. */
  readonly resumed: boolean;
  /** Path of a file in the folder. */
  file(...parts: string[]): string;
  /** Atomic; creates folders. @throws StorageError */
  write(relativePath: string, content: string | Uint8Array): void;
  /** Atomic, indented JSON, final newline. @throws StorageError */
  writeJson(relativePath: string, value: unknown): void;
  /** Appends a dated line to logs/run.log: what happened when, for whoever looks later. @throws StorageError */
  log(line: string): void;
  /** Gives the lock back. Safe to call twice. */
  close(): void;
}

const resolvedYaml = join('configs', 'resolved.yaml');
const isLockFile = (name: string): boolean => name.startsWith('.lock');

function checkSameConfig(path: string, config: Config): void {
  const before = configFromYaml(readFileSync(join(path, resolvedYaml), 'utf8'), join(path, resolvedYaml));
  if (configHash(before) === configHash(config)) return;
  const keys = differingKeys(before, config).filter((key) => !['run_name', 'output_dir', 'preset'].includes(key));
  throw new ConfigError(
    `cannot resume ${path}: its config differs in ${keys.join(', ')}; resume with the config it was started with, or choose another --run-name`,
  );
}

/** The folder at `path` as its files are read and written; nothing is opened, created or locked. `configHash` marks its checkpoints. */
export function folderAt(path: string, config: Config, configHash: string, resumed: boolean, unlock: () => void = () => {}): RunFolder {
  const logFile = join(path, 'logs', 'run.log');
  let held = true;
  return {
    path,
    config,
    configHash,
    environment: collectEnvironment(),
    resumed,
    file: (...parts) => join(path, ...parts),
    write: (relativePath, text) => writeFileAtomic(join(path, relativePath), text),
    writeJson: (relativePath, value) => writeFileAtomic(join(path, relativePath), `${JSON.stringify(value, null, 2)}\n`),
    log: (line) => {
      try {
        mkdirSync(dirname(logFile), { recursive: true });
        appendFileSync(logFile, `${new Date().toISOString()} ${line}\n`);
      } catch (error) {
        throw asStorageError(error, logFile);
      }
    },
    close: () => {
      if (held) unlock();
      held = false;
    },
  };
}

/**
 * Opens the folder of one piece of work for this process alone, to begin it or to go on with it; `identity` is the hash of all it depends
 * on, so what lies there belongs to it. @throws ConfigError when another process is at it. @throws StorageError when the disk refuses.
 */
export function openWorkFolder(path: string, config: Config, identity: string): RunFolder {
  try {
    const resumed = existsSync(path);
    mkdirSync(path, { recursive: true });
    const unlock = takeLock(path);
    removeUnfinished(path);
    return folderAt(path, config, identity, resumed, unlock);
  } catch (error) {
    throw asStorageError(error, path);
  }
}

/**
 * Opens `<output_dir>/<run_name>` for this process alone.
 * @throws ConfigError when another process uses it, when it holds a run and neither resume nor clean is given, when the run to
 *   resume had another config, or when a folder to clean is no run folder. @throws StorageError when the disk refuses.
 */
export function openRunFolder(config: Config, options: OpenRunOptions = {}): RunFolder {
  if (options.resume && options.clean) throw new ConfigError('--resume and --clean exclude each other; keep one');
  const path = join(config.output_dir, config.run_name);
  let unlock: () => void;
  try {
    mkdirSync(path, { recursive: true });
    unlock = takeLock(path);
  } catch (error) {
    throw asStorageError(error, path);
  }
  try {
    const content = readdirSync(path).filter((name) => !isLockFile(name));
    const isRun = existsSync(join(path, resolvedYaml));
    // A run killed before it wrote its config has left nothing but an unfinished file in configs/; `data prepare` leaves data/.
    const isForeign = !isRun && content.some((name) => name !== 'configs' && name !== 'data');
    if (isForeign) throw new ConfigError(`${path} holds files but no ${resolvedYaml}, so it is no run folder; choose another --run-name`);
    if (isRun && !options.resume && !options.clean) {
      throw new ConfigError(`${path} holds a run already; pass --resume to go on with it, --clean to start over, or another --run-name`);
    }
    if (options.clean) {
      // The config goes last: a folder cleaned half-way must still be known as a run.
      for (const name of content.filter((name) => name !== 'configs')) rmSync(join(path, name), { recursive: true });
      rmSync(join(path, 'configs'), { recursive: true, force: true });
    }
    const resumed = isRun && options.resume === true;
    if (resumed) checkSameConfig(path, config);
    removeUnfinished(path);
    const hash = configHash(config);
    const run = folderAt(path, config, hash, resumed, unlock);
    run.writeJson('env.json', { ...run.environment, config_hash: hash });
    if (!resumed) run.write(resolvedYaml, configToYaml(config));
    return run;
  } catch (error) {
    unlock();
    throw error;
  }
}

/** A JSON file that a run wrote whole. @throws ConfigError when it is no JSON any more. */
export function readJson<T>(path: string): T {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch (error) {
    // JSON.parse quotes the text around the fault, and these files hold patient ids and model texts.
    const why = error instanceof SyntaxError ? 'it is no JSON any more' : (error as Error).message;
    throw new ConfigError(`${path} is damaged (${why}); remove it, or the checkpoint it belongs to, then go on with --resume`);
  }
}

/**
 * Refuses a checkpoint of another config.
 * @param found config_hash in the checkpoint's trainer_state.json; @throws ConfigError naming both.
 */
export function checkCheckpointConfig(run: Pick<RunFolder, 'configHash'>, checkpoint: string, found: unknown): void {
  if (found === run.configHash) return;
  throw new ConfigError(
    `checkpoint ${checkpoint} belongs to another config (${String(found).slice(0, 12)}, this run is ${run.configHash.slice(0, 12)}); ` +
      'resume with the config it was written under',
  );
}
