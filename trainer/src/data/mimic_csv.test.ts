/**
 * Plan: text cut into parts, whatever the lines, the quotes, the size of a part and the packing.
 *   together the parts are the text; each ends with a line; what a quote encloses is never cut; behind the end of any part the rest is the same
 *   a cut or damaged file is refused, also when what was asked for lies before the damage; a quote that never closes
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { DataError } from './errors.ts';
import { type Source, textParts } from './mimic_csv.ts';

const folder = mkdtempSync(join(tmpdir(), 'eagrl-csv-'));
afterAll(() => rmSync(folder, { recursive: true }));

function written(bytes: Uint8Array | string, gzip: boolean): Source {
  const path = join(folder, gzip ? 'rows.csv.gz' : 'rows.csv');
  writeFileSync(path, gzip ? gzipSync(bytes) : bytes);
  return { path, gzip, header: [] };
}

async function partsOf(source: Source, from: number, partBytes: number): Promise<{ text: string; end: number; share: number }[]> {
  const parts = [];
  for await (const { blocks, end, share } of textParts(source, from, partBytes)) {
    parts.push({ text: Buffer.concat(blocks).toString('latin1'), end, share });
  }
  return parts;
}

/** A cell: bare, or in quotes with commas, line breaks and doubled quotes in it. */
const cell = fc.oneof(
  fc.stringMatching(/^[a-z0-9 .]{0,12}$/),
  fc.stringMatching(/^[a-z,\n"]{0,12}$/).map((inner) => `"${inner.replaceAll('"', '""')}"`),
);
const line = fc.array(cell, { minLength: 1, maxLength: 5 }).map((cells) => `${cells.join(',')}\n`);

describe('parts of a CSV text', () => {
  it('hold it in order, end with lines, leave quotes whole, and go on from the end of any of them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 60 }), fc.integer({ min: 64, max: 300 }), fc.boolean(), async (lines, size, gzip) => {
        const text = lines.join('');
        const source = written(text, gzip);
        const parts = await partsOf(source, 0, size);
        expect(parts.map((part) => part.text).join('')).toBe(text);
        const ends = new Set(lines.map((_, i) => lines.slice(0, i + 1).join('').length));
        for (const { end } of parts) expect(ends.has(end)).toBe(true);
        expect(parts.every(({ share }, i) => share > 0 && share <= 1 && share >= (parts[i - 1]?.share ?? 0))).toBe(true);
        for (const { end } of parts) {
          const rest = await partsOf(source, end, size);
          expect(rest.map((part) => part.text).join('')).toBe(text.slice(end));
          expect(rest.at(-1)?.end ?? end).toBe(text.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('are about as large as asked for, for a file of many', async () => {
    const text = '1,22,333\n'.repeat(20_000);
    for (const gzip of [false, true]) {
      const parts = await partsOf(written(text, gzip), 0, 10_000);
      expect(parts).toHaveLength(18);
      for (const { text: own } of parts.slice(0, -1)) expect(own.length).toBeGreaterThan(9_000);
    }
  });

  it('a cut or damaged file is refused, and so is one behind whose damage nothing is left to read', async () => {
    const text = Array.from({ length: 5000 }, (_, i) => `${(i * 7919) % 1000},${i}\n`).join('');
    const whole = gzipSync(text);
    const source = written(text, true);
    const refused = async (bytes: Uint8Array | string, from: number, of = source) => {
      writeFileSync(of.path, bytes);
      return partsOf(of, from, 4096).then(
        () => expect.fail('expected an error'),
        (error: Error) => error,
      );
    };
    for (const from of [0, text.length]) {
      expect((await refused(whole.subarray(0, -9), from)).message).toBe(
        'CSV_FOLDER/rows.csv.gz: the compressed file is cut; copy it again'.replace('CSV_FOLDER', folder.split('/').at(-1) as string),
      );
      expect((await refused(Buffer.concat([whole.subarray(0, -8), Buffer.alloc(8, 1)]), from)).message).toContain('is damaged');
    }
    const plain = written(text, false);
    expect((await refused(text.slice(0, -1), 0, plain)).message).toContain('the last line does not end');
    const open = await refused(`a,"b\n${text}`, 0, plain);
    expect(open).toBeInstanceOf(DataError);
    expect(open.message).toContain('a quote does not close');
  });
});
