/** Plan: the README's example prints what the README says. */
import { readmeExample, runExample } from '@eagrl/testing';
import { expect, test } from 'vitest';
import * as runtime from './index.ts';

test('README example', async () => {
  const { code, printed } = readmeExample(new URL('../README.md', import.meta.url));
  expect(await runExample(code, { '@eagrl/runtime': runtime })).toBe(printed);
});
