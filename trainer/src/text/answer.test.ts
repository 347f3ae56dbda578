/**
 * Plan: what is written reads back; what is malformed is null, not guessed.
 * - format -> parse round trip; numbers accepted and refused; first final answer wins; text after the end token is ignored
 * - names: folding, aliases, source columns, unknowns; mask of the feature tokens
 */

import { describe, expect, it } from 'vitest';
import type { Feature } from '../types.ts';
import { featureTokenMask, foldName, formatFinal, formatTrajectory, matchFeatures, parseAnswer, parseSteps } from './answer.ts';

const steps = [
  { question: 'Which values are abnormal?', answer: 'urea H.' },
  { question: 'How severe?', answer: 'Mild.' },
];
const final = (text: string) => parseAnswer(`<Final answer>${text}</Final answer>`).probability;

describe('trajectory', () => {
  it('reads back what was written', () => {
    const text = formatTrajectory(steps, 'How likely is death?', ['urea', 'D-dimer'], 0.754);
    expect(text).toBe(
      '<Subquestion>Which values are abnormal?</Subquestion> <Answer>urea H.</Answer>\n' +
        '<Subquestion>How severe?</Subquestion> <Answer>Mild.</Answer>\n' +
        '<Final subquestion>How likely is death?</Final subquestion>\n' +
        '<Important Features> urea, D-dimer</Important Features>\n' +
        '<Final answer>0.75</Final answer>',
    );
    expect(parseAnswer(text)).toEqual({ probability: 0.75, features: ['urea', 'D-dimer'] });
    expect(parseSteps(text)).toEqual(steps);
  });
  it('keeps probabilities within 0.01..0.99 and refuses NaN', () => {
    expect(formatFinal(null, null, 0)).toBe('<Final answer>0.01</Final answer>');
    expect(formatFinal(null, null, 1)).toBe('<Final answer>0.99</Final answer>');
    expect(() => formatFinal(null, null, Number.NaN)).toThrow(RangeError);
  });
});

describe('parseAnswer', () => {
  it.each([
    ['0.75', 0.75],
    [' 0.5\n', 0.5],
    ['.25', 0.25],
    ['0', 0],
    ['1', 1],
    ['1.00', 1],
    ['0.', 0],
  ])('accepts "%s"', (text, value) => {
    expect(final(text)).toBe(value);
  });
  it.each(['', '75%', '1.5', '-0.2', '0,75', '0.7.5', '1e-2', 'high', '0.75 or so', 'NaN', '00.5'])('refuses "%s"', (text) => {
    expect(final(text)).toBeNull();
  });
  it('takes the first complete final answer, and features before it', () => {
    const text =
      '<Important Features> a, b</Important Features><Final answer>0.2</Final answer>' +
      '<Important Features> c</Important Features><Final answer>0.9</Final answer>';
    expect(parseAnswer(text)).toEqual({ probability: 0.2, features: ['a', 'b'] });
    expect(parseAnswer(`<Final answer>x</Final answer>${text}`).probability).toBeNull();
  });
  it('reads nothing after the end token and nothing unclosed', () => {
    expect(parseAnswer('<|im_end|><Final answer>0.2</Final answer>').probability).toBeNull();
    expect(parseAnswer('<Final answer>0.2').probability).toBeNull();
    expect(parseAnswer('<Important Features> a, b').features).toEqual([]);
    expect(parseAnswer('')).toEqual({ probability: null, features: [] });
  });
  it('drops repeated and empty names', () => {
    expect(parseAnswer('<Important Features>Urea, urea ,, D-dimer;D dimer</Important Features>').features).toEqual(['Urea', 'D-dimer']);
  });
});

it('parseSteps leaves out an unfinished step', () => {
  expect(parseSteps('<Subquestion>a</Subquestion> <Answer>b</Answer>\n<Subquestion>c</Subquestion> <Answer>d')).toEqual([
    { question: 'a', answer: 'b' },
  ]);
});

describe('feature names', () => {
  const features: Feature[] = [
    { key: 'Lactate dehydrogenase ', name: 'lactate dehydrogenase' },
    { key: 'Tumor necrosis factorα', name: 'tumor necrosis factor' },
    { key: '(%)lymphocyte', name: 'lymphocyte percent' },
  ];
  it('folds case, space and punctuation, keeps scripts apart', () => {
    expect(foldName(' D-D  Dimer ')).toBe('dddimer');
    expect(foldName('Interleukin 1β')).toBe('interleukin1β');
    expect(foldName(', .')).toBe('');
  });
  it('matches names, columns and aliases once, and counts distinct unknowns', () => {
    expect(matchFeatures(['LDH', 'Lactate  Dehydrogenase', 'TNF alpha', 'shoe size', 'Shoe-size'], features)).toEqual({
      indices: [0, 1],
      unknown: 1,
    });
    expect(matchFeatures(['tumor necrosis factorα', 'Lymphocyte Percent'], features)).toEqual({ indices: [1, 2], unknown: 0 });
    expect(matchFeatures([], features)).toEqual({ indices: [], unknown: 0 });
  });
});

it('featureTokenMask marks what lies between the tags', () => {
  const words: Record<number, string> = { 90: '<Important Features>', 91: '</Important Features>' };
  const tokenizer = { decode: (ids: ArrayLike<number>) => Array.from(ids, (id) => words[id] ?? 'x').join('') };
  expect([...featureTokenMask([1, 90, 2, 3, 91, 4], tokenizer)]).toEqual([0, 0, 1, 1, 0, 0]);
  expect([...featureTokenMask([91, 2, 90, 3], tokenizer)]).toEqual([0, 0, 0, 1]);
  // A block in a block is one; what is no block stays out.
  expect([...featureTokenMask([90, 1, 90, 2, 91, 3, 90, 91, 4], tokenizer)]).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 0]);
  expect([...featureTokenMask([], tokenizer)]).toEqual([]);
});
