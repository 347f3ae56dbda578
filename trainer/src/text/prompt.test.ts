/**
 * Plan: both forms show raw values and nothing else.
 * - full: feature-major lines with NaN, unit, sex's range; compact: observed features, last k measured values, rounding, flags
 * - robustness order: a permutation, only the asked share moves, repeatable; questions per answer style
 * - missing values: exactly the asked share of what is shown goes, nothing older comes up instead, flags follow; repeatable
 */

import { describe, expect, it } from 'vitest';
import { featureOf, labByName } from '../data/lab_dictionary.ts';
import type { Patient } from '../types.ts';
import { chatPrompt } from './chat.ts';
import { buildPrompt, type PromptCohort, type PromptOptions } from './prompt.ts';

const features = ['hemoglobin', 'lactate dehydrogenase', 'troponin I', 'eGFR', 'albumin'].map((name) => {
  const lab = labByName(name);
  if (lab === undefined) throw new Error(`no ${name}`);
  return featureOf(lab);
});
const cohort: PromptCohort = { task: 'mortality', features };
const patient: Patient = {
  id: 'x',
  sex: 'female',
  age: 66.4,
  visitTimes: [0, 2, 5],
  values: [
    [130, null, 101.26],
    [null, 12345, null],
    [null, null, null],
    [null, 80, 30],
    [0.012349, null, null],
  ],
  label: 1,
};
const compact: PromptOptions = { form: 'compact', lastVisits: 2, units: false, flags: true };
const full: PromptOptions = { form: 'full', lastVisits: 10, units: true, flags: false };
const lines = (text: string) => text.split('\n');

describe('compact prompt', () => {
  it('is exactly this', () => {
    expect(buildPrompt(patient, cohort, compact)).toBe(
      [
        'Patient: female, age 66, 3 visits. Task: death in hospital.',
        'L hemoglobin:130,101',
        'HH lactate dehydrogenase:12300',
        'LL eGFR:80,30',
        'LL albumin:0.0123',
        'Reason in steps, name the important features, then give the probability of death in hospital.',
      ].join('\n'),
    );
  });
  it('takes the last measured value of each feature, with units, without flags', () => {
    const text = buildPrompt(patient, cohort, { ...compact, lastVisits: 1, units: true, flags: false });
    expect(lines(text).slice(1, 4)).toEqual([' hemoglobin (g/L):101', ' lactate dehydrogenase (U/L):12300', ' eGFR (mL/min):30']);
  });
  it('asks for what the answer style wants, and names the task', () => {
    const last = (options: PromptOptions, task: PromptCohort['task'] = 'mortality') =>
      lines(buildPrompt(patient, { ...cohort, task }, options)).at(-1);
    expect(last({ ...compact, answer: 'number' })).toBe('Give only the probability of death in hospital.');
    expect(last({ ...compact, answer: 'features' }, 'readmission')).toContain('readmission within 30 days');
  });
  it('does not depend on the label', () => {
    expect(buildPrompt({ ...patient, label: 0 }, cohort, compact)).toBe(buildPrompt(patient, cohort, compact));
  });
});

describe('full prompt', () => {
  it('has a line per feature, NaN for missing cells, the range of the sex', () => {
    const text = lines(buildPrompt(patient, cohort, full));
    expect(text[0]).toBe('Patient: female, 66.4 years. 3 visits, days since the first: 0, 2, 5.');
    expect(text[2]).toBe('- hemoglobin (Unit: g/L. Reference Range: 120 - 160.): [130, NaN, 101.26]');
    expect(text[4]).toBe('- troponin I (Unit: ng/L. Reference Range: less than 14.): [NaN, NaN, NaN]');
    expect(text[5]).toBe('- eGFR (Unit: mL/min. Reference Range: more than 90.): [NaN, 80, 30]');
    expect(text).toHaveLength(8);
    expect(text[7]).toContain('<Final answer>');
  });
  it('shows the last visits only, and no unit when switched off', () => {
    const text = lines(buildPrompt(patient, cohort, { ...full, lastVisits: 1, units: false }));
    expect(text[0]).toContain('days since the first: 5.');
    expect(text[2]).toBe('- hemoglobin: [101.26]');
  });
});

describe('order of the feature lines', () => {
  const many: PromptCohort = { task: 'mortality', features: Array.from({ length: 50 }, (_, f) => ({ key: `f${f}`, name: `f${f}` })) };
  const person: Patient = { ...patient, visitTimes: [0], values: many.features.map((_, f) => [f]) };
  const ordered = (fraction: number, seed = 1) => lines(buildPrompt(person, many, { ...compact, order: { seed, fraction } })).slice(1, -1);
  const plain = ordered(0);

  it('0 % is the plain order; any share is a permutation; only that share moves', () => {
    expect(plain).toEqual(lines(buildPrompt(person, many, compact)).slice(1, -1));
    for (const fraction of [0.2, 0.4, 0.6, 1]) {
      const text = ordered(fraction);
      expect(text.slice().sort()).toEqual(plain.slice().sort());
      const moved = text.filter((line, i) => line !== plain[i]).length;
      expect(moved).toBeGreaterThan(0);
      expect(moved).toBeLessThanOrEqual(fraction * 50);
    }
  });
  it('repeats with the seed and differs without it', () => {
    expect(ordered(1)).toEqual(ordered(1));
    expect(ordered(1, 2)).not.toEqual(ordered(1));
  });
});

describe('missing values', () => {
  // Ten features, three visits each: the compact prompt shows 20 values, the full one 30.
  const many: PromptCohort = { task: 'mortality', features: Array.from({ length: 10 }, (_, f) => ({ key: `f${f}`, name: `f${f}` })) };
  const person: Patient = { ...patient, values: many.features.map((_, f) => [300 + f, 200 + f, 100 + f]) };
  const without = (fraction: number, options: PromptOptions = compact, seed = 1) =>
    buildPrompt(person, many, { ...options, missing: { seed, fraction } });
  const values = (text: string) => text.match(/\b[123]0\d\b/g) ?? [];

  it.each([0.2, 0.4, 1])('%d of what is shown goes', (fraction) => {
    expect(values(without(fraction))).toHaveLength(20 - fraction * 20);
    expect(without(fraction)).not.toContain('30'); // the oldest visit was not shown and does not come up
    const whole = without(fraction, { ...full, units: false });
    expect(values(whole)).toHaveLength(30 - fraction * 30);
    expect(whole.match(/NaN/g)).toHaveLength(fraction * 30 + 1); // one in the header's words
  });
  it('0 changes nothing; repeats with the seed and differs without it', () => {
    expect(without(0)).toBe(buildPrompt(person, many, compact));
    expect(without(0.4)).toBe(without(0.4));
    expect(without(0.4, compact, 2)).not.toBe(without(0.4));
  });
  it('the flag judges the latest value that is left', () => {
    const one: PromptCohort = { task: 'mortality', features: [features[0]] }; // hemoglobin 130 and 101, of which 101 is low
    const texts = Array.from({ length: 20 }, (_, seed) =>
      buildPrompt({ ...patient, values: [patient.values[0]] }, one, { ...compact, missing: { seed, fraction: 0.5 } }),
    );
    expect(new Set(texts.map((text) => lines(text)[1]))).toEqual(new Set([' hemoglobin:130', 'L hemoglobin:101']));
  });
});

describe('noise', () => {
  const many: PromptCohort = {
    task: 'mortality',
    features: [{ key: 'c', name: 'coma', levels: [1, 2, 3] }, ...Array.from({ length: 200 }, (_, f) => ({ key: `f${f}`, name: `f${f}` }))],
  };
  const person: Patient = { ...patient, visitTimes: [0], values: many.features.map((_, f) => [f === 0 ? 2 : f === 1 ? null : 100]) };
  const noisy = (std: number, seed = 1) => buildPrompt(person, many, { ...compact, noise: { seed, std } });
  const shown = (text: string) => [...text.matchAll(/ f\d+:([\d.]+)/g)].map(([, value]) => Number(value));

  it('has the relative deviation asked for, no bias, and gives nothing for what was not measured', () => {
    const values = shown(noisy(0.2));
    expect(values).toHaveLength(199);
    const mean = values.reduce((a, b) => a + b, 0) / 199;
    const deviation = Math.sqrt(values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / 198);
    expect(Math.abs(mean - 100)).toBeLessThan(5); // 3.5 standard errors
    expect(Math.abs(deviation - 20)).toBeLessThan(3.5);
    expect(Math.min(...shown(noisy(2)))).toBe(0);
    expect([1, 2, 3]).toContain(Number(/ coma:(\d)/.exec(noisy(1))?.[1]));
  });
  it('0 changes nothing; repeats with the seed and differs without it', () => {
    expect(noisy(0)).toBe(buildPrompt(person, many, compact));
    expect(noisy(0.2)).toBe(noisy(0.2));
    expect(noisy(0.2, 2)).not.toBe(noisy(0.2));
    expect(() => noisy(-1)).toThrow('noise');
  });
});

it('refuses nonsense options', () => {
  expect(() => buildPrompt(patient, cohort, { ...compact, missing: { seed: 1, fraction: -0.1 } })).toThrow('missing');
  expect(() => buildPrompt(patient, cohort, { ...compact, lastVisits: 0 })).toThrow('lastVisits');
  expect(() => buildPrompt(patient, cohort, { ...compact, order: { seed: 1, fraction: 1.1 } })).toThrow('fraction');
});

it('chat frame', () => {
  expect(chatPrompt('hi')).toBe('<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n');
});
