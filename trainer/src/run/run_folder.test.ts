/**
 * Plan: who may open a run folder, and what is in it afterwards.
 *   fresh; a run there already; --resume with the same and another config; --clean of a run and of a foreign folder;
 *   a damaged file is named and not quoted;
 *   in use by this, by another living and by a dead process; a torn lock; a reused pid; killed before the config was written
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import { ConfigError } from '../util/errors.ts';
import { checkCheckpointConfig, openRunFolder, readJson } from './run_folder.ts';

let outputDir: string;
let config: Config;
let folder: string;
beforeEach(() => {
  outputDir = mkdtempSync(join(tmpdir(), 'eagrl-run-'));
  config = resolveConfig({ output_dir: outputDir, run_name: 'a' });
  folder = join(outputDir, 'a');
});
afterEach(() => rmSync(outputDir, { recursive: true }));
const refused = (open: () => unknown, message: string): void => {
  expect(open).toThrow(ConfigError);
  expect(open).toThrow(message);
};

describe('openRunFolder', () => {
  it('writes the resolved config and env.json, and no host name', () => {
    const run = openRunFolder(config);
    const env = readFileSync(run.file('env.json'), 'utf8');
    expect(JSON.parse(env)).toMatchObject({ node: process.versions.node, config_hash: run.configHash });
    if (hostname().length > 3) expect(env).not.toContain(hostname());
    expect(readFileSync(run.file('configs', 'resolved.yaml'), 'utf8')).toContain('epsilon_high_max: 0.4');
    expect(run.resumed).toBe(false);
    run.close();
    run.close();
    expect(readdirSync(folder).sort()).toEqual(['configs', 'env.json']);
  });

  it('a run is never overwritten unasked', () => {
    openRunFolder(config).close();
    writeFileSync(join(folder, 'metrics.jsonl'), 'precious\n');
    refused(() => openRunFolder(config), 'pass --resume');
    const run = openRunFolder(config, { resume: true });
    expect(run.resumed).toBe(true);
    expect(existsSync(run.file('metrics.jsonl'))).toBe(true);
    run.close();
    const clean = openRunFolder(config, { clean: true });
    expect(clean.resumed).toBe(false);
    expect(existsSync(clean.file('metrics.jsonl'))).toBe(false);
    clean.close();
  });

  it('resuming with another config names the keys', () => {
    openRunFolder(config).close();
    const other = resolveConfig({ output_dir: outputDir, run_name: 'a', seed: 7, rl: { beta: 0.1 } });
    refused(() => openRunFolder(other, { resume: true }), 'differs in seed, rl.beta');
  });

  it('never cleans or fills a folder that is no run', () => {
    mkdirSync(folder);
    writeFileSync(join(folder, 'thesis.tex'), 'x');
    refused(() => openRunFolder(config, { clean: true }), 'no run folder');
    refused(() => openRunFolder(config), 'no run folder');
    expect(readdirSync(folder)).toEqual(['thesis.tex']);
  });

  it('killed before the config was written: starts', () => {
    mkdirSync(join(folder, 'configs'), { recursive: true });
    writeFileSync(join(folder, 'configs', 'resolved.yaml.tmp-1'), 'rl');
    const run = openRunFolder(config, { resume: true });
    expect(run.resumed).toBe(false);
    expect(readdirSync(join(folder, 'configs'))).toEqual(['resolved.yaml']);
    run.close();
  });

  it('what a killed process left unfinished goes when the run is opened again', () => {
    const first = openRunFolder(config);
    first.write('eval/a.json', '{}');
    first.close();
    mkdirSync(join(folder, 'checkpoints', 'checkpoint-2.tmp-77'), { recursive: true });
    writeFileSync(join(folder, 'checkpoints', 'checkpoint-2.tmp-77', 'model.safetensors'), 'half');
    writeFileSync(join(folder, 'eval', 'a.json.tmp-77'), '{');
    openRunFolder(config, { resume: true }).close();
    expect(readdirSync(join(folder, 'checkpoints'))).toEqual([]);
    expect(readdirSync(join(folder, 'eval'))).toEqual(['a.json']);
  });

  it('resume and clean exclude each other', () => {
    refused(() => openRunFolder(config, { resume: true, clean: true }), 'exclude');
  });
});

describe('readJson', () => {
  it.each([
    ['cut', '{"id": "4711", "text": "Mr Smith'],
    ['another text in it', '{"id": "4711", "text": Smith}'],
    ['a comma too many', '{"id": "4711", "text": "Mr Smith",}'],
  ])('%s: the file is named, what stands in it is not', (_title, text) => {
    mkdirSync(folder);
    const file = join(folder, 'eval-stage2.json');
    writeFileSync(file, text);
    refused(() => readJson(file), 'eval-stage2.json is damaged (it is no JSON any more); remove it');
    expect(() => readJson(file)).not.toThrow(/4711|Smith|text/);
  });
  it('a file that is not there: so it says', () => refused(() => readJson(join(outputDir, 'none.json')), 'ENOENT'));
});

describe('the lock', () => {
  it('held by this process', () => {
    const run = openRunFolder(config);
    refused(() => openRunFolder(config, { resume: true }), `in use by process ${process.pid}`);
    refused(() => openRunFolder(config, { clean: true }), 'in use');
    run.close();
    openRunFolder(config, { resume: true }).close();
  });

  it('held by another living process', () => {
    const other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    try {
      mkdirSync(folder);
      writeFileSync(join(folder, '.lock'), JSON.stringify({ pid: other.pid, host: hostname(), started: null }));
      refused(() => openRunFolder(config), `in use by process ${other.pid}`);
    } finally {
      other.kill('SIGKILL');
    }
  });

  const dead = (): number => spawnSync(process.execPath, ['-e', '']).pid;
  const locks: [string, () => string][] = [
    ['a dead process', () => JSON.stringify({ pid: dead(), host: hostname(), started: '1' })],
    ['a killed writer that left it empty', () => ''],
    ...(process.platform === 'linux'
      ? [
          ['a process whose pid was given to another', () => JSON.stringify({ pid: process.pid, host: hostname(), started: '1' })] as [
            string,
            () => string,
          ],
        ]
      : []),
  ];
  it.each(locks)('of %s is taken over', (_title, lock) => {
    mkdirSync(folder);
    writeFileSync(join(folder, '.lock'), lock());
    openRunFolder(config).close();
    expect(readdirSync(folder).sort()).toEqual(['configs', 'env.json']);
  });

  it('of another machine is respected', () => {
    mkdirSync(folder);
    writeFileSync(join(folder, '.lock'), JSON.stringify({ pid: 1, host: 'elsewhere', started: null }));
    refused(() => openRunFolder(config), 'on elsewhere');
  });
});

describe('checkCheckpointConfig', () => {
  it('refuses another config and a missing hash', () => {
    checkCheckpointConfig({ configHash: 'aa' }, 'checkpoint-3', 'aa');
    refused(() => checkCheckpointConfig({ configHash: 'aa' }, 'checkpoint-3', 'bb'), 'belongs to another config');
    refused(() => checkCheckpointConfig({ configHash: 'aa' }, 'checkpoint-3', undefined), 'checkpoint-3');
  });
});
