/**
 * Plan: PAPER.md and the schema say the same.
 *   every config key has one row, every row a key; the default printed there is the schema's; mark, source and reason are given
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { CONFIG_KEYS, resolveConfig } from './config/resolve.ts';

/** `| `key` | `default` | [mark] | source | reason |`, of tables whose first column is a config key. */
const ROW = /^\| `([\w.]+)` \| `([^`]*)` \| (\S+) \| (.+?) \| (.+) \|$/;
const paper = readFileSync(new URL('../PAPER.md', import.meta.url), 'utf8');
const rows = paper.split('\n').flatMap((line) => {
  const match = ROW.exec(line);
  return match === null ? [] : [{ key: match[1], printed: match[2], mark: match[3], source: match[4], reason: match[5] }];
});
const defaults = resolveConfig({}) as Readonly<Record<string, unknown>>;
const defaultOf = (key: string): unknown =>
  key.split('.').reduce<unknown>((value, part) => (value as Readonly<Record<string, unknown>>)[part], defaults);

describe('PAPER.md', () => {
  it('has one row for each config key, and no other', () => {
    expect(rows.map((row) => row.key).sort()).toEqual([...CONFIG_KEYS].sort());
  });
  it.each(rows)('$key: default, mark, source and reason', ({ key, printed, mark, source, reason }) => {
    expect(parse(printed)).toEqual(defaultOf(key));
    expect(['[p]', '[a]', '[d]']).toContain(mark);
    expect(source.trim()).not.toBe('');
    expect(reason.trim()).not.toBe('');
  });
});
