/**
 * Plan: one config from defaults, preset, file and overrides; every mistake named with its cure.
 *   layers and their order; kebab and snake; YAML values; text keys; unknown key at each depth; wrong type and range;
 *   keys that contradict each other; hash: moved runs equal, changed values differ; shipped presets resolve; round trip
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ConfigError } from '../util/errors.ts';
import { configFromYaml, configHash, configToYaml, loadConfig, parseOverrides, presetNames } from './load.ts';
import { CONFIG_KEYS, differingKeys, resolveConfig } from './resolve.ts';

const folder = mkdtempSync(join(tmpdir(), 'eagrl-config-'));
afterAll(() => rmSync(folder, { recursive: true }));
function yaml(text: string): string {
  const path = join(folder, 'run.yaml');
  writeFileSync(path, text);
  return path;
}

describe('loadConfig', () => {
  it('layers: defaults < preset < file < overrides', () => {
    const path = yaml('preset: smoke\nseed: 5\nrl: {max_steps: 7}\n');
    const config = loadConfig({ path, overrides: ['--rl.max-steps', '9', '--rl.learning_rate=2e-5'] });
    expect(config.rl.max_steps).toBe(9);
    expect(config.rl.learning_rate).toBe(2e-5);
    expect(config.seed).toBe(5);
    expect(config.rl.num_generations).toBe(2); // smoke.yaml
    expect(config.rl.epsilon_high_max).toBe(0.4); // default
  });

  it.each(presetNames())('shipped config %s resolves', (name) => {
    const tjh = ['--data.path', 'a.xlsx', '--data.split', 'b.json'];
    const files: Record<string, string[]> = { tjh, tjh_matrix: tjh, mimic4: ['--data.path', 'folder'] };
    const overrides = files[name] ?? [];
    expect(loadConfig({ path: `configs/${name}.yaml`, overrides }).run_name).toBe(name);
  });

  it.each([
    ['a missing file', () => loadConfig({ path: 'no/such.yaml' }), 'no file no/such.yaml'],
    ['bad YAML', () => loadConfig({ path: yaml('rl: [1') }), 'cannot read'],
    ['a list for a config', () => loadConfig({ path: yaml('- 1') }), 'holds no keys'],
    [
      'an unknown preset',
      () => loadConfig({ overrides: ['--preset', 'demos'] }),
      'there are demo, mimic4, pretrain, quick, quick_other, smoke, tjh, tjh_matrix',
    ],
    ['tjh without files', () => loadConfig({ path: 'configs/tjh.yaml' }), 'needs data.path'],
    ['mimic4 without a folder', () => loadConfig({ path: 'configs/mimic4.yaml' }), 'needs data.path'],
  ])('refuses %s', (_title, load, message) => {
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(message);
  });
});

describe('parseOverrides', () => {
  it('reads YAML values, = and space, kebab and snake, bare flags, negative numbers, text that looks like a number', () => {
    expect(
      parseOverrides(['--run-name', '12', '--prompt.units', '--prompt.flags=false', '--sft.weight_decay', '-1', '--data.path', 'null']),
    ).toEqual({ run_name: '12', prompt: { units: true, flags: false }, sft: { weight_decay: -1 }, data: { path: null } });
  });
  it.each([
    [['--rl.learning_rte', '1'], 'did you mean rl.learning_rate?'],
    [['--learning-rate', '1'], 'pretrain.learning_rate or expert.learning_rate or sft.learning_rate or rl.learning_rate'],
    [['--sed', '1'], 'did you mean seed?'],
    [['--zzzzzzz', '1'], 'unknown key zzzzzzz'],
    [['stray'], 'expected --key value, got stray'],
    [['--seed', '1', '--seed', '2'], 'given twice'],
  ])('refuses %j', (args, message) => {
    expect(() => parseOverrides(args)).toThrow(ConfigError);
    expect(() => parseOverrides(args)).toThrow(message);
  });
});

describe('resolveConfig', () => {
  it('takes what the refused keys are for', () => {
    resolveConfig({ data: { kind: 'tjh', path: 'f', split: 's.json', min_visits: 2 } });
    resolveConfig({ data: { kind: 'mimic4', path: 'f', max_stays: 9 } });
    resolveConfig({ data: { kind: 'mimic4', path: 'f', split: 's.json' } });
    resolveConfig({ data: { kind: 'meds', path: 'f', split: 's.json' } });
    resolveConfig({ seed: 2 ** 32 - 1, rl: { prompts_per_step: 2, mini_batches: 2 } });
  });
  it('fills every key from nothing', () => {
    const config = resolveConfig({});
    expect(config.reward).toEqual({ preset: 'paper', lambda: 0.6, beta: 0.5 });
    expect(CONFIG_KEYS).toContain('rl.epsilon_high_max');
    expect(new Set(CONFIG_KEYS).size).toBe(CONFIG_KEYS.length);
  });
  it.each([
    [{ rl: { learning_rte: 1 } }, 'did you mean rl.learning_rate?'],
    [{ rewards: {} }, 'did you mean reward?'],
    [{ rl: { learning_rate: -1 } }, 'rl.learning_rate'],
    [{ rl: { learning_rate: 'fast' } }, 'got "fast"'],
    [{ rl: 3 }, 'rl'],
    [{ device: 'cuda' }, 'got "cuda"'],
    [{ run_name: '../up' }, 'run_name'],
    [{ rl: { num_generations: 1 } }, 'rl.num_generations'],
    [{ rl: { epsilon_high_min: 0.5 } }, 'above rl.epsilon_high_max'],
    [{ rl: { max_completion_length: 64, soft_punish_cache: 64 } }, 'no unpunished length'],
    [{ prompt: { shuffle_fraction: 1.2 } }, 'prompt.shuffle_fraction'],
    [{ model: { dtype: 'int4' } }, 'set model.use_peft true'],
    [{ model: { dtype: 'fp4', use_peft: true } }, 'model.dtype'],
    [{ expert: { hidden_size: 10, num_heads: 4 } }, 'no multiple'],
    [{ data: { task: 'readmission' } }, 'needs data.kind mimic4'],
    [{ data: { horizon_days: 2 } }, 'mortality of tjh or mimic4'],
    [{ data: { kind: 'mimic4', path: 'f', task: 'readmission', horizon_days: 2 } }, 'mortality of tjh or mimic4'],
    [{ data: { path: 'TJH.xlsx' } }, 'data.path is given, and data.kind synthetic reads no file'],
    [{ data: { split: 's.json' } }, 'set data.kind tjh, mimic4 or meds'],
    [{ data: { min_visits: 2 } }, 'data.min_visits 2 is a rule of data.kind tjh; synthetic keeps every patient'],
    [{ data: { kind: 'mimic4', path: 'f', min_visits: 2 } }, 'mimic4 keeps every patient: leave it 1'],
    [{ data: { kind: 'meds', path: 'f', min_visits: 2 } }, 'leave it 1'],
    [{ data: { kind: 'mimic4', path: 'f', split: 's.json', max_stays: 9 } }, 'the stays of data.split are all used: name fewer there'],
    [{ data: { max_stays: 9 } }, 'synthetic has no stays, and leave it null'],
    [{ rl: { prompts_per_step: 1 } }, 'rl.mini_batches 2 exceeds rl.prompts_per_step 1'],
    [{ rl: { prompts_per_step: 16, mini_batches: 64 } }, 'lower it to 16, and take more updates by rl.num_iterations'],
    [{ seed: 2 ** 32 }, 'seed: Too big: expected number to be <=4294967295; got 4294967296'],
    [{ data: { val_fraction: 0.5, test_fraction: 0.5 } }, 'nobody to train on'],
  ])('refuses %j', (layer, message) => {
    expect(() => resolveConfig(layer)).toThrow(ConfigError);
    expect(() => resolveConfig(layer)).toThrow(message);
  });
});

describe('configHash', () => {
  const config = resolveConfig({});
  it('does not see where the run lives, sees every value that decides its numbers', () => {
    const hash = configHash(config);
    expect(hash).toMatch(/^[0-9a-f]{64}$/);
    expect(configHash(resolveConfig({ run_name: 'other', output_dir: 'elsewhere' }))).toBe(hash);
    expect(configHash(resolveConfig({ seed: 1 }))).not.toBe(hash);
    expect(configHash(resolveConfig({ rl: { beta: 0.001 } }))).not.toBe(hash);
  });
  it('survives the way through YAML', () => {
    expect(configHash(configFromYaml(configToYaml(config), 'resolved.yaml'))).toBe(configHash(config));
  });
  it('differingKeys names what changed', () => {
    expect(differingKeys(config, resolveConfig({ seed: 1, rl: { beta: 0.1 } }))).toEqual(['seed', 'rl.beta']);
  });
});
