/**
 * Plan: the synthetic cohort is hard enough to need learning and easy enough to be learnt.
 * - prevalence, Bayes AUROC, AUROC of counting abnormal values and of a logistic regression on flag levels lie in their bands
 * - labels follow truth.bayes (calibration), causal features are real features
 * - same seed, same cohort; a patient does not depend on the cohort's size; values read back from 3 significant digits
 */

import { describe, expect, it } from 'vitest';
import type { Cohort, Patient, SplitName } from '../types.ts';
import { flagOf, latest, rangeOf } from './range.ts';
import { generateSyntheticCohort } from './synthetic.ts';

const cohort = generateSyntheticCohort({ seed: 7, split: { train: 2000, val: 100, test: 4000 } });
const byId = new Map(cohort.patients.map((p) => [p.id, p]));
const of = (split: SplitName): Patient[] => cohort.splits[split].map((id) => byId.get(id) as Patient);

/** Mann-Whitney by pairs: P(score of a death > score of a survivor), ties count half. */
function auroc(scores: readonly number[], labels: readonly number[]): number {
  const positives = scores.filter((_, i) => labels[i] === 1);
  const negatives = scores.filter((_, i) => labels[i] === 0);
  let wins = 0;
  for (const p of positives) for (const n of negatives) wins += p > n ? 1 : p === n ? 0.5 : 0;
  return wins / (positives.length * negatives.length);
}

/** One-hot of (feature, flag), the last column 1: what a reader of flags alone can know. */
function flagColumns(patient: Patient, { features }: Cohort): number[] {
  const levels = ['H', 'HH', 'L', 'LL'];
  const row = new Array<number>(features.length * levels.length + 1).fill(0);
  features.forEach((feature, f) => {
    const value = latest(patient.values[f]);
    const level = value === null ? -1 : levels.indexOf(flagOf(value, rangeOf(feature, patient.sex)));
    if (level >= 0) row[f * levels.length + level] = 1;
  });
  row[row.length - 1] = 1;
  return row;
}

function fitLogistic(rows: readonly number[][], labels: readonly number[]): number[] {
  const weights = new Array<number>(rows[0].length).fill(0);
  for (let step = 0; step < 300; step++) {
    const gradient = weights.map((w) => 1e-3 * w);
    rows.forEach((row, i) => {
      const p = 1 / (1 + Math.exp(-row.reduce((sum, x, j) => sum + x * weights[j], 0)));
      row.forEach((x, j) => {
        gradient[j] += ((p - labels[i]) * x) / rows.length;
      });
    });
    for (let j = 0; j < weights.length; j++) weights[j] -= 2 * gradient[j];
  }
  return weights;
}

const test = of('test');
const labels = test.map((p) => p.label);
const bayes = test.map((p) => cohort.truth?.bayes[p.id] as number);

describe('synthetic cohort', () => {
  it('has a prevalence between 0.40 and 0.50', () => {
    const prevalence = labels.reduce<number>((sum, y) => sum + y, 0) / labels.length;
    expect(prevalence).toBeGreaterThan(0.4);
    expect(prevalence).toBeLessThan(0.5);
  });

  it('has a Bayes AUROC between 0.93 and 0.95', () => {
    const value = auroc(bayes, labels);
    expect(value).toBeGreaterThan(0.93);
    expect(value).toBeLessThan(0.95);
  });

  it('is calibrated: deaths match truth.bayes within 3 standard errors in each fifth', () => {
    for (let k = 0; k < 5; k++) {
      const inside = test.filter((_, i) => bayes[i] >= k / 5 && bayes[i] < (k + 1) / 5);
      const expected = inside.reduce((sum, p) => sum + (cohort.truth?.bayes[p.id] as number), 0);
      const variance = inside.reduce((sum, p) => {
        const b = cohort.truth?.bayes[p.id] as number;
        return sum + b * (1 - b);
      }, 0);
      const seen = inside.filter((p) => p.label === 1).length;
      expect(Math.abs(seen - expected)).toBeLessThan(3 * Math.sqrt(variance));
    }
  });

  it('gives counting abnormal values an AUROC between 0.60 and 0.68', () => {
    const counts = test.map((p) =>
      flagColumns(p, cohort)
        .slice(0, -1)
        .reduce((sum, x) => sum + x, 0),
    );
    const value = auroc(counts, labels);
    expect(value).toBeGreaterThan(0.6);
    expect(value).toBeLessThan(0.68);
  });

  it('lets a logistic regression on flag levels reach 0.90', () => {
    const train = of('train');
    const weights = fitLogistic(
      train.map((p) => flagColumns(p, cohort)),
      train.map((p) => p.label),
    );
    const scores = test.map((p) => flagColumns(p, cohort).reduce((sum, x, j) => sum + x * weights[j], 0));
    expect(auroc(scores, labels)).toBeGreaterThan(0.9);
  });

  it('is a function of (seed, patient), not of the cohort size', () => {
    const small = generateSyntheticCohort({ seed: 7, split: { train: 5, val: 5, test: 5 } });
    expect(small.patients).toEqual(cohort.patients.slice(0, 15));
    const other = generateSyntheticCohort({ seed: 8, split: { train: 5, val: 5, test: 5 } });
    expect(other.patients[0].values).not.toEqual(small.patients[0].values);
  });

  it('has sound records: 2 to 8 ascending visits, some cells missing, values of 3 significant digits', () => {
    let missing = 0;
    let cells = 0;
    for (const p of cohort.patients) {
      expect(p.visitTimes.length).toBeGreaterThanOrEqual(2);
      expect(p.visitTimes.length).toBeLessThanOrEqual(8);
      for (let t = 1; t < p.visitTimes.length; t++) expect(p.visitTimes[t]).toBeGreaterThan(p.visitTimes[t - 1]);
      for (const series of p.values) {
        for (const v of series) {
          cells++;
          if (v === null) missing++;
          else if (v < 0 || Number(v.toPrecision(3)) !== v) throw new Error(`${p.id}: value out of form`);
        }
      }
    }
    expect(missing / cells).toBeGreaterThan(0.15);
    expect(missing / cells).toBeLessThan(0.4);
  });

  it('names five causal features per patient, all of them features of the cohort', () => {
    const names = new Set(cohort.features.map((f) => f.name));
    for (const p of cohort.patients) {
      const causal = cohort.truth?.causal[p.id] ?? [];
      expect(causal.length).toBe(5);
      for (const name of causal) expect(names.has(name)).toBe(true);
    }
  });

  it('refuses an empty split', () => {
    expect(() => generateSyntheticCohort({ seed: 1, split: { train: 1, val: 0, test: 1 } })).toThrow('val');
  });
});
