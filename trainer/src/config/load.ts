/**
 * Config files and flags (Node edge). Layers, later ones win: defaults, `preset`, the YAML file, dotted overrides.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import { ConfigError } from '../util/errors.ts';
import { CONFIG_KEYS, type ConfigLayer, isTextKey, mergeLayers, resolveConfig, unknownKeyMessage } from './resolve.ts';
import type { Config } from './schema.ts';

const presetFolder = fileURLToPath(new URL('../../configs/', import.meta.url));

/** Names of the configs shipped with the package. */
export function presetNames(): string[] {
  return readdirSync(presetFolder)
    .filter((file) => file.endsWith('.yaml'))
    .map((file) => basename(file, '.yaml'))
    .sort();
}

function presetPath(name: string, where: string): string {
  const names = presetNames();
  if (!names.includes(name)) throw new ConfigError(`${where}: no preset ${name}; there are ${names.join(', ')}`);
  return join(presetFolder, `${name}.yaml`);
}

/** The file as given; else, for `configs/tjh.yaml` and the like, the shipped config of that name. */
function locate(path: string): string {
  if (existsSync(path)) return path;
  const shipped = join(presetFolder, basename(path));
  if (/^(\.\/)?(configs\/)?[^/]+\.yaml$/.test(path) && existsSync(shipped)) return shipped;
  throw new ConfigError(`config: no file ${path}; give a YAML file, or a preset: ${presetNames().join(', ')}`);
}

function readLayer(path: string): ConfigLayer {
  let parsed: unknown;
  try {
    parsed = parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new ConfigError(`config: cannot read ${path}: ${(error as Error).message.split('\n')[0]}`);
  }
  if (parsed === null) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed))
    throw new ConfigError(`config: ${path} holds no keys; expected "key: value" lines`);
  return parsed as ConfigLayer;
}

/**
 * Turns `--rl.learning_rate 1e-5 --prompt.flags=false --seed 3` into a layer. Keys in kebab or snake case; values as in YAML;
 * a flag without a value is true.
 * @throws ConfigError on a word that is no flag, on an unknown key (with the nearest known one), or on one given twice.
 */
export function parseOverrides(args: readonly string[]): ConfigLayer {
  const layer: Record<string, unknown> = {};
  const seen = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    const match = /^--([A-Za-z][\w.-]*)(?:=(.*))?$/s.exec(args[i]);
    if (match === null) throw new ConfigError(`command line: expected --key value, got ${args[i]}`);
    const key = match[1].replaceAll('-', '_');
    if (!CONFIG_KEYS.includes(key)) throw new ConfigError(unknownKeyMessage(key, 'command line'));
    if (seen.has(key)) throw new ConfigError(`command line: --${key} given twice; keep one`);
    seen.add(key);
    const next = args[i + 1];
    const hasNext = match[2] === undefined && next !== undefined && !/^--[A-Za-z]/.test(next);
    const text = match[2] ?? (hasNext ? next : undefined);
    if (hasNext) i++;
    let value: unknown;
    try {
      value = text === undefined ? true : isTextKey(key) && text !== 'null' ? text : parse(text);
    } catch {
      throw new ConfigError(`command line: --${key}: cannot read ${JSON.stringify(text)} as a YAML value; quote it`);
    }
    const [section, name] = key.includes('.') ? key.split('.') : [null, key];
    if (section === null) layer[name] = value;
    else layer[section] = { ...(layer[section] as ConfigLayer | undefined), [name]: value };
  }
  return layer;
}

export interface LoadConfigOptions {
  /** YAML file, or the name of a shipped one (`configs/tjh.yaml`). */
  readonly path?: string;
  /** Preset under everything else, when neither the file nor an override names one. */
  readonly preset?: string;
  /** `--key value` words left over from the command line. */
  readonly overrides?: readonly string[];
}

/**
 * Reads, merges and checks a run's config.
 * @throws ConfigError (exit code 2) on a missing file, bad YAML, unknown key or wrong value.
 */
export function loadConfig(options: LoadConfigOptions): Config {
  const overrides = parseOverrides(options.overrides ?? []);
  const file = options.path === undefined ? {} : readLayer(locate(options.path));
  const where = options.path ?? 'config';
  const preset = overrides.preset ?? file.preset ?? options.preset ?? null;
  const base = typeof preset === 'string' ? readLayer(presetPath(preset, where)) : {};
  return resolveConfig(mergeLayers(mergeLayers(base, file), overrides), where);
}

/** The config as YAML, keys in the schema's order. */
export function configToYaml(config: Config): string {
  return stringify(config);
}

/** Reads what {@link configToYaml} wrote. */
export function configFromYaml(text: string, where: string): Config {
  return resolveConfig(parse(text) as ConfigLayer, where);
}

/**
 * SHA-256 of everything that decides the numbers of a run: the resolved config without run_name, output_dir and preset
 * (its values are in), keys sorted; hex, 64 characters.
 */
export function configHash(config: Config): string {
  const { run_name, output_dir, preset, ...decisive } = config;
  const sortKeys = (_key: string, value: unknown): unknown =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value;
  return createHash('sha256').update(JSON.stringify(decisive, sortKeys)).digest('hex');
}
