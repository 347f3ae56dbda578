/**
 * Plan: the README says what is so.
 *   the example prints what the README says; each command of the CLI has its row, and no other; so have the presets their names, here, in
 *   PAPER.md and at the config's key
 */
import { readFileSync } from 'node:fs';
import { readmeExample, runExample } from '@eagrl/testing';
import { expect, it } from 'vitest';
import { PHASES } from './commands/stages.ts';
import { presetNames } from './config/load.ts';
import * as trainer from './index.ts';

const file = new URL('../README.md', import.meta.url);

it('README example', async () => {
  const { code, printed } = readmeExample(file);
  expect(await runExample(code, { '@eagrl/trainer': trainer })).toBe(printed);
});

it('has a row for each command, and no other', () => {
  const commands = [...readFileSync(file, 'utf8').matchAll(/^\| `eagrl ([a-z-]+)/gm)].map((match) => match[1]);
  expect(commands.sort()).toEqual(['env', 'demo', 'run', 'data', 'report', 'plan', 'merge-lora', 'chat', 'reproduce', ...PHASES].sort());
});

it('every list of presets has those that are shipped, and no other', () => {
  const read = (path: string) => readFileSync(new URL(path, import.meta.url), 'utf8');
  const readme = read('../README.md');
  const lists = [
    [...readme.matchAll(/`configs\/(\w+)\.yaml`/g)].map(([, name]) => name),
    (/^ {4}configs\/ +(.+)$/m.exec(readme)?.[1] ?? '').split(', '),
    ...[read('../PAPER.md'), read('config/schema.ts')].map((text) =>
      [...(/onfig (?:of this|shipped with the) package \(([^)]+)\)/.exec(text)?.[1] ?? '').matchAll(/`(\w+)`/g)].map(([, name]) => name),
    ),
  ];
  for (const list of lists) expect([...new Set(list)].sort()).toEqual(presetNames().sort());
});
