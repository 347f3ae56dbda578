/**
 * Plan: words in, exit code and text out, for everything the CLI decides without a device.
 *   help; dry run with overrides; each mistake: code 2, one line, its cure; Ctrl-C: 130 and how to go on; faults keep their stack;
 *   a run folder in use and a finished run without --resume, through a pipeline that only opens its folder
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { configFromYaml, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { openRunFolder } from '../run/run_folder.ts';
import { main } from './main.ts';
import type { RunOptions } from './stages.ts';

const pipeline = vi.hoisted(() => ({ run: async (_config: Config, _options: RunOptions): Promise<null> => null }));
vi.mock('./stages.ts', async (load) => ({
  ...(await load<typeof import('./stages.ts')>()),
  loadStage: async () => ({ runPipeline: (config: Config, options: RunOptions) => pipeline.run(config, options) }),
}));

let out = '';
let err = '';
beforeEach(() => {
  [out, err] = ['', ''];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());
const folder = mkdtempSync(join(tmpdir(), 'eagrl-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('eagrl', () => {
  it('--help lists the commands', async () => {
    expect(await main(['--help'])).toBe(0);
    for (const command of [
      'env',
      'run',
      'demo',
      'pretrain',
      'expert',
      'mcts',
      'sft',
      'rl',
      'eval',
      'data',
      'chat',
      'report',
      'reproduce',
    ]) {
      expect(out).toMatch(new RegExp(`^ {2}${command} `, 'm'));
    }
  });

  it('--dry-run prints the resolved config as YAML or JSON and starts nothing', async () => {
    pipeline.run = async () => {
      throw new Error('started');
    };
    const words = ['--rl.max-steps', '3', '--seed=9', '--config', 'configs/smoke.yaml', '--dry-run'];
    expect(await main(['run', ...words])).toBe(0);
    const expected = loadConfig({ path: 'configs/smoke.yaml', overrides: ['--rl.max_steps', '3', '--seed', '9'] });
    expect(configFromYaml(out, 'stdout')).toEqual(expected);
    out = '';
    expect(await main(['rl', ...words, '--json'])).toBe(0);
    expect(JSON.parse(out)).toEqual(expected);
  });

  it('chat refuses flags by name, kebab or snake', async () => {
    for (const [words, message] of [
      [['--top_p', '2'], "eagrl: --top_p: expected a number above 0, up to 1, got '2'\n"],
      [['--max-new-tokens', 'many'], "eagrl: --max_new_tokens: expected a whole number above 0, got 'many'\n"],
      [['--prompt', ''], 'eagrl: chat: the question is empty; give --prompt TEXT, or text on stdin\n'],
    ] as const) {
      err = '';
      expect(await main(['chat', '--prompt', 'x', ...words])).toBe(2);
      expect(err).toBe(message);
    }
  });

  it('demo starts over, and goes on with --resume', async () => {
    const seen: RunOptions[] = [];
    pipeline.run = async (config, options) => {
      expect(config.run_name).toBe('demo');
      seen.push(options);
      return null;
    };
    expect(await main(['demo'])).toBe(0);
    expect(await main(['demo', '--resume'])).toBe(0);
    expect(seen.map(({ resume, clean, phases }) => ({ resume, clean, phases }))).toEqual([
      { resume: false, clean: true, phases: null },
      { resume: true, clean: false, phases: null },
    ]);
  });

  it.each([
    [['run', '--rl.learning_rte', '1'], 'did you mean rl.learning_rate?'],
    [['run', '--config', 'no.yaml'], 'no file no.yaml'],
    [['run', '--resume', '--clean'], 'exclude each other'],
    [['run', '--phases', 'rl,evil'], 'no phase evil'],
    [['run', '--seed', 'many'], 'got "many"'],
    [['run', 'stray'], 'got stray'],
    [['report', join(folder, 'none')], 'has no summary.json'],
    [['data', 'inspect', '--index', '-1'], 'whole number'],
    [['reproduce', '--only', 'no_atention'], 'did you mean no_attention?'],
    [['reproduce', '--shard', '3/2'], '1 <= i <= n'],
    [['reproduce', '--shard', '1/2', '--merge'], 'exclude each other'],
    [['reproduce', '--seeds', '0'], 'whole number from 1'],
    [['reproduce', '--quick', '--config', 'configs/demo.yaml'], '--quick is a config of its own'],
    [['reproduce', '--rl.clip_mode', 'fixed'], 'varied by the matrix'],
    [['rnu'], "unknown command 'rnu'"],
    [['report'], "missing required argument 'folder'"],
  ])('%j: exit code 2', async (words, message) => {
    expect(await main(words)).toBe(2);
    expect(err).toContain(message);
    expect(err).not.toContain('    at ');
  });

  it('a run folder in use, and a run already there: exit code 2', async () => {
    pipeline.run = async (config, options) => {
      openRunFolder(config, options).close();
      return null;
    };
    const words = ['run', '--output_dir', folder, '--run_name', 'a'];
    const held = openRunFolder(loadConfig({ overrides: words.slice(1) }));
    expect(await main([...words, '--resume'])).toBe(2);
    expect(err).toContain('in use by process');
    held.close();
    expect(await main(words)).toBe(2);
    expect(err).toContain('pass --resume');
    expect(await main([...words, '--resume'])).toBe(0);
  });

  it('Ctrl-C: the work is asked to stop, exit code 130, and how to go on', async () => {
    pipeline.run = (_config, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(Object.assign(new Error('stopped'), { name: 'Interrupted' })));
        process.emit('SIGINT');
      });
    for (const [words, again, more] of [
      [['run'], 'run', ''],
      [['demo', '--run-name', 'b'], 'run', ''],
      [['pretrain'], 'pretrain', ''],
      [['run', '--phases', 'rl'], 'rl', ''],
      [['run', '--phases', 'sft,rl'], 'run', ' --phases sft,rl'],
    ] as const) {
      err = '';
      expect(await main([...words, ...(words[0] === 'demo' ? [] : ['--run-name', 'b'])])).toBe(130);
      expect(err).toContain(`go on with: eagrl ${again} --config outputs/b/configs/resolved.yaml${more} --resume\n`);
    }
    expect(process.listenerCount('SIGINT')).toBe(0);
  });

  it('a fault: exit code 1 with its stack', async () => {
    pipeline.run = async () => {
      throw new TypeError('x is not a function');
    };
    expect(await main(['run'])).toBe(1);
    expect(err).toContain('    at ');
  });

  it('a damaged summary.json: exit code 2, named', async () => {
    mkdirSync(join(folder, 'torn'));
    writeFileSync(join(folder, 'torn', 'summary.json'), '{"device":');
    expect(await main(['report', join(folder, 'torn')])).toBe(2);
    expect(err).toContain('summary.json is damaged');
  });
});
