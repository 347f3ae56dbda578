/**
 * Plan: tokenizer and corpus together, on 1,200 documents.
 * - tokenizer: round trips over Unicode, digits one by one, special tokens whole; same text, same file; Yes and No are single
 * - corpus: reproducible by (seed, i); every completion parses; answers are true of the prompt as text; probes balanced;
 *   probabilities spread over 0.01..0.99 and weakly tied to the flags; lengths within their budgets
 */

import { describe, expect, it } from 'vitest';
import { labByName } from '../data/lab_dictionary.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import { featureTokenMask, matchFeatures, parseAnswer, parseSteps } from './answer.ts';
import { trainTokenizer } from './bpe_train.ts';
import { chatPrompt } from './chat.ts';
import { type DocumentKind, generateDocuments } from './corpus.ts';
import { probeTokens } from './probe.ts';
import { buildPrompt } from './prompt.ts';
import { SPECIAL_TOKENS, TAGS } from './special_tokens.ts';
import { Tokenizer } from './tokenizer.ts';

const documents = [...generateDocuments({ seed: 1, count: 1200 })];
const texts = documents.map((d) => d.prompt + d.completion);
const json = trainTokenizer(texts, 2048, SPECIAL_TOKENS);
const tokenizer = Tokenizer.fromJson(JSON.parse(JSON.stringify(json)));
const length = (text: string) => tokenizer.encode(text).length;
const ofKind = (...kinds: DocumentKind[]) => documents.filter((d) => kinds.includes(d.kind));

/** Feature lines of the prompt of a document: name -> latest value as written with its flag. */
function readPrompt(prompt: string): Map<string, { value: string; flag: string }> {
  const shown = new Map<string, { value: string; flag: string }>();
  for (const [, flag, name, values] of prompt.split('<|im_end|>')[0].matchAll(/^(H{0,2}|L{0,2}) ([^:(]+?)(?: \([^)]*\))?:(.+)$/gm)) {
    shown.set(name, { value: values.split(',').at(-1) as string, flag });
  }
  return shown;
}

describe('tokenizer', () => {
  it.each([
    'urea:12.5 HH, D-dimer',
    'Größe γ-GT 10 µmol/L, α and β',
    '患者 男性 73 岁 🙂🏥',
    "it's the patient's 4th visit\r\n\r\n  two spaces\ttab",
    'a < b <Answer b> <Final answer',
    ' leading and trailing ',
    `<|im_start|>user\nhi<|im_end|>\n${TAGS.finalAnswer[0]}0.75${TAGS.finalAnswer[1]}`,
  ])('round trip: %j', (text) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('round trip of the corpus', () => {
    for (const text of texts.slice(0, 100)) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  it('splits digits, keeps each special token whole, ids below vocabSize', () => {
    expect(length('0.75')).toBe(4);
    expect(length('1234567')).toBe(7);
    for (const token of SPECIAL_TOKENS) expect([...tokenizer.encode(token)]).toEqual([tokenizer.idOf(token)]);
    expect(tokenizer.vocabSize).toBeLessThanOrEqual(2048);
    expect(tokenizer.idOf(SPECIAL_TOKENS.at(-1) as string)).toBe(tokenizer.vocabSize - 1);
    expect(() => tokenizer.idOf('<nope>')).toThrow(RangeError);
  });

  it('is the same file for the same text, and honours a small vocabulary', () => {
    expect(trainTokenizer(texts, 2048, SPECIAL_TOKENS)).toEqual(json);
    expect(Tokenizer.fromJson(trainTokenizer(texts, 400, SPECIAL_TOKENS)).vocabSize).toBe(400);
    expect(() => trainTokenizer(texts, 200, SPECIAL_TOKENS)).toThrow(RangeError);
  });

  it('merges the most frequent pair first', () => {
    const small = trainTokenizer(['abab abab xyz'], 256 + 2, []);
    expect((small.model as unknown as { merges: string[][] }).merges).toEqual([
      ['a', 'b'],
      ['ab', 'ab'],
    ]);
  });

  it('has single tokens for Yes and No, and the same tokens for a name in prompt and answer', () => {
    const { yes, no } = probeTokens(tokenizer);
    expect(yes).not.toBe(no);
    const name = [...tokenizer.encode(' lactate dehydrogenase')];
    const line = [...tokenizer.encode('x.\n lactate dehydrogenase:300')].join();
    const list = [...tokenizer.encode('<Important Features> lactate dehydrogenase, urea</Important Features>')];
    expect(line).toContain(name.join());
    expect(list.join()).toContain(name.join());
    expect(featureTokenMask(list, tokenizer).reduce((sum, m) => sum + m, 0)).toBe(list.length - 2);
  });

  it('refuses what is no tokenizer.json', () => {
    expect(() => Tokenizer.fromJson({})).toThrow(TypeError);
    expect(() => Tokenizer.fromJson(null)).toThrow(TypeError);
  });
});

describe('corpus', () => {
  it('depends on (seed, index) alone', () => {
    expect([...generateDocuments({ seed: 1, count: 20 })]).toEqual(documents.slice(0, 20));
    expect([...generateDocuments({ seed: 2, count: 20 })]).not.toEqual(documents.slice(0, 20));
  });

  it('has well-formed completions: known features of the prompt, probability, end token', () => {
    for (const { prompt, completion, kind } of ofKind('reasoning', 'panel', 'direct')) {
      expect(completion.endsWith('<|im_end|>')).toBe(true);
      const { probability, features } = parseAnswer(completion);
      expect(probability).not.toBeNull();
      const shown = readPrompt(prompt);
      for (const feature of features) expect(shown.has(feature)).toBe(true);
      if (kind !== 'direct') {
        expect(features.length).toBeGreaterThanOrEqual(3);
        expect(features.length).toBeLessThanOrEqual(6);
      }
    }
  });

  it('says only what is true of the prompt', () => {
    let checked = 0;
    for (const { prompt, completion } of ofKind('reasoning', 'panel')) {
      const shown = readPrompt(prompt);
      const flagged = [...shown].filter(([, { flag }]) => flag !== '');
      for (const { question, answer } of parseSteps(completion)) {
        if (question === 'How many values are abnormal?') {
          expect(answer).toBe(`${flagged.length} of ${shown.size}.`);
          checked++;
        } else if (/^Which values are (abnormal|too high|too low|far out of range)\?$/.test(question)) {
          const want = { abnormal: /./, 'too high': /^H/, 'too low': /^L/, 'far out of range': /../ }[question.slice(17, -1)] as RegExp;
          const expected = flagged.filter(([, { flag }]) => want.test(flag));
          const named = answer === 'None.' ? [] : answer.replace(/( and \d+ more)?\.$/, '').split(', ');
          const more = Number(/ and (\d+) more\.$/.exec(answer)?.[1] ?? 0);
          expect(named.length + more).toBe(expected.length);
          const truths = expected.map(([name, { flag }]) => `${name} ${flag}`);
          for (const item of named) expect(truths).toContain(item);
          checked++;
        } else if (/^Is .* abnormal\?$/.test(question)) {
          const { value, flag } = shown.get(question.slice(3, -10)) as { value: string; flag: string };
          expect(answer).toBe(flag === '' ? `No, ${value}, within range.` : `Yes, ${value} ${flag}.`);
          checked++;
        } else if (/^What do the (high|low) values suggest\?$/.test(question)) {
          for (const [, name] of answer.matchAll(/(?:^|; )([^;]+?) suggests /g)) {
            expect(shown.get(name)?.flag[0]).toBe(question.includes('high') ? 'H' : 'L');
            expect(labByName(name)).toBeDefined();
          }
          checked++;
        }
      }
    }
    expect(checked).toBeGreaterThan(200);
  });

  it('has probes of both kinds, Yes and No in balance', () => {
    for (const kind of ['useful', 'correct'] as const) {
      const probes = ofKind(kind);
      const yes = probes.filter((d) => d.completion === 'Yes<|im_end|>').length;
      expect(probes.filter((d) => d.completion === 'No<|im_end|>').length).toBe(probes.length - yes);
      expect(yes / probes.length).toBeGreaterThan(0.35);
      expect(yes / probes.length).toBeLessThan(0.65);
    }
  });

  it('spreads its probabilities and ties them weakly to the flags', () => {
    const pairs = ofKind('reasoning', 'panel', 'direct').map(({ prompt, completion }) => {
      const shown = [...readPrompt(prompt).values()];
      const burden = shown.reduce((sum, { flag }) => sum + flag.length, 0) / shown.length;
      return [burden, parseAnswer(completion).probability as number];
    });
    const probabilities = pairs.map(([, p]) => p);
    for (let k = 0; k < 5; k++) {
      const share = probabilities.filter((p) => p >= k / 5 && p < (k + 1) / 5).length / pairs.length;
      expect(share).toBeGreaterThan(0.1);
    }
    expect(Math.min(...probabilities)).toBeLessThan(0.05);
    expect(Math.max(...probabilities)).toBeGreaterThan(0.95);
    const mean = (x: number[]) => x.reduce((sum, v) => sum + v, 0) / x.length;
    const [mb, mp] = [mean(pairs.map(([b]) => b)), mean(probabilities)];
    const covariance = mean(pairs.map(([b, p]) => (b - mb) * (p - mp)));
    const sd = (x: number[], m: number) => Math.sqrt(mean(x.map((v) => (v - m) ** 2)));
    const correlation =
      covariance /
      (sd(
        pairs.map(([b]) => b),
        mb,
      ) *
        sd(probabilities, mp));
    expect(correlation).toBeGreaterThan(0.35);
    expect(correlation).toBeLessThan(0.75);
  });

  it('keeps to its token budgets: synthetic prompts 220, completions 40 to 110, panels 900', () => {
    const cohort = generateSyntheticCohort({ seed: 1, split: { train: 60, val: 1, test: 1 } });
    for (const patient of cohort.patients) {
      const prompt = buildPrompt(patient, cohort, { form: 'compact', lastVisits: 1, units: false, flags: true });
      expect(length(chatPrompt(prompt))).toBeLessThanOrEqual(220);
    }
    const lengths = ofKind('reasoning')
      .map((d) => length(d.completion))
      .sort((a, b) => a - b);
    expect(lengths[Math.floor(0.1 * lengths.length)]).toBeGreaterThanOrEqual(35);
    expect(lengths[Math.floor(0.9 * lengths.length)]).toBeLessThanOrEqual(110);
    for (const { prompt } of ofKind('panel')) expect(length(prompt)).toBeLessThanOrEqual(900);
  });

  it('names features that reward matching understands', () => {
    const { features } = generateSyntheticCohort({ seed: 1, split: { train: 1, val: 1, test: 1 } });
    expect(matchFeatures(['urea', 'LDH', 'lipase'], features).unknown).toBe(1);
  });

  it('refuses too few labs', () => {
    expect(() => [...generateDocuments({ seed: 1, count: 1, labs: [] })]).toThrow(RangeError);
  });
});
