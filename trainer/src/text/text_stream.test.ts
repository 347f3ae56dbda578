/**
 * Plan. Three tokenizers of the families' kinds (test/golden/tokenizers.py), none of which has our tags as tokens.
 *   stream: pieces of any ids, broken UTF-8 included, join to what the tokenizer decodes at once (property); characters over several tokens
 *     are never shown in part
 *   stop: however the text is cut into pieces, what is shown is the text up to the first stop string to be complete (property, against a
 *     search in the whole text); what could still become one is held back
 *   mask: feature tokens of an answer whose tags are several tokens
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { featureTokenMask, formatFinal } from './answer.ts';
import { StopText, stopWatch, TextStream } from './text_stream.ts';
import { Tokenizer } from './tokenizer.ts';

const golden = (file: string) => JSON.parse(readFileSync(new URL(`../../../test/golden/${file}`, import.meta.url), 'utf8'));
const { texts } = golden('tokenizers.json') as { texts: string[] };

describe.each(['qwen2', 'llama3', 'smollm2'])('%s', (family) => {
  const tokenizer = Tokenizer.fromJson(golden(`tokenizer_${family}.json`));
  const pieces = (ids: ArrayLike<number>): string[] => {
    const stream = new TextStream(tokenizer);
    return [...Array.from(ids, (id) => stream.push(id)), stream.end()];
  };

  it('pieces of any ids join to their text', () => {
    const ids = fc.array(fc.nat(tokenizer.vocabSize - 1), { maxLength: 30 });
    fc.assert(
      fc.property(ids, (list) => {
        expect(pieces(list).join('')).toBe(tokenizer.decode(list));
      }),
      { numRuns: 300 },
    );
  });

  it('pieces of texts are whole characters', () => {
    for (const text of texts) {
      const ids = tokenizer.encode(text);
      const parts = pieces(ids);
      expect(parts.join('')).toBe(tokenizer.decode(ids));
      if (!text.includes('\uFFFD')) expect(parts.join('|')).not.toContain('\uFFFD');
    }
  });

  it('a tag of several tokens stops, with the token that completes it', () => {
    const answer = formatFinal(null, ['urea', 'age'], 0.25);
    const ids = [...tokenizer.encode(`${answer}\nmore`)];
    const stop = stopWatch(tokenizer, ['</Final answer>']) as (id: number) => boolean;
    const at = ids.findIndex((id) => stop(id));
    expect(at).toBeGreaterThan(3);
    expect(tokenizer.decode(ids.slice(0, at + 1)).trimEnd()).toBe(answer);
    expect(tokenizer.decode(ids.slice(0, at))).not.toContain('</Final answer>');
  });

  it('feature tokens lie between tags of several tokens', () => {
    const ids = tokenizer.encode(formatFinal('How likely is death?', ['urea', 'white cells'], 0.25));
    const mask = featureTokenMask(ids, tokenizer);
    const marked = tokenizer.decode([...ids].filter((_, t) => mask[t] === 1));
    expect(marked).toBe(' urea, white cells');
    expect([...featureTokenMask(tokenizer.encode('<Important Features> urea'), tokenizer)].lastIndexOf(1)).toBeGreaterThan(0);
  });
});

describe('StopText', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', '<'), maxLength: 12 });
  const stops = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', '<'), minLength: 1, maxLength: 4 }), { maxLength: 3 });

  it('cuts before the first stop string to be complete, however the text comes', () => {
    fc.assert(
      fc.property(fc.array(letters), stops, (parts, list) => {
        const watch = new StopText(list);
        const shown = parts.map((part) => watch.push(part)).join('');
        const text = parts.join('');
        // Shortest beginning of the text that ends in a stop string, and the longest such string.
        const ends = Array.from({ length: text.length + 1 }, (_, n) => text.slice(0, n));
        const first = ends.find((head) => list.some((stop) => head.endsWith(stop)));
        const found = first === undefined ? null : list.filter((stop) => first.endsWith(stop)).sort((a, b) => b.length - a.length)[0];
        expect(watch.found).toBe(found);
        if (first !== undefined) expect(shown).toBe(first.slice(0, first.length - (found as string).length));
        else expect(shown + watch.end()).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('holds back what may become a stop string', () => {
    const watch = new StopText(['</Answer>']);
    expect(['yes <', '/Ans', 'were> no </Ans', 'wer', '> later'].map((part) => watch.push(part))).toEqual([
      'yes ',
      '',
      '</Answere> no ',
      '',
      '',
    ]);
    expect(watch.found).toBe('</Answer>');
  });

  it('refuses an empty stop string', () => {
    expect(() => new StopText(['a', ''])).toThrow(/got an empty one/);
  });
});
