/**
 * Plan: the README says what is so.
 *   the example prints what the README says; each command of the CLI has its row, and no other
 */
import { readFileSync } from 'node:fs';
import { readmeExample, runExample } from '@eagrl/testing';
import { expect, it } from 'vitest';
import { PHASES } from './commands/stages.ts';
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
