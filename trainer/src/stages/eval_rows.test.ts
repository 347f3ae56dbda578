/**
 * Plan: the table's rows of a cohort whose patients have several ICU stays.
 *   people: intervals and paired differences are those of drawing patients, all their stays with them; the row says how many there are
 *   one sample each: the same as without subjects, and nothing said of people
 *   every metric is logged with its std, lower and upper, under keys that METRICS.md has
 *   eagrl data calls a stay a stay
 */
import { describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve.ts';
import { bootstrapMetrics, pairedBootstrap } from '../metrics/bootstrap.ts';
import { METRIC_NAMES } from '../metrics/classification.ts';
import { testedOn } from '../report/summary.ts';
import { EVAL_SUFFIXES, isMetricKey } from '../run/metric_keys.ts';
import type { Cohort, Patient } from '../types.ts';
import { describe as describeCohort } from './data.ts';
import { evalRow, loggedMetrics, POLICIES, type PolicyName, pairedDifferences, saidBy } from './eval_rows.ts';
import type { Predictions } from './evaluate.ts';

const config = resolveConfig({ eval: { num_bootstrap: 100 } });
const N = 90;
const ids = Array.from({ length: N }, (_, i) => `s${i}`);
const labels = ids.map((_, i): 0 | 1 => (i % 3 === 0 ? 1 : 0));
const numbers = (key: number) => ids.map((_, i) => (i * 0.6180339887 + key * labels[i]) % 1);
const predictions = Object.fromEntries(
  POLICIES.map(({ name }, k): [PolicyName, Predictions] => [
    name,
    { ids, labels, probabilities: numbers(0.1 * k), features: [], jaccard: 0, parseFailureRate: 0, meanTokens: 0 },
  ]),
) as Record<PolicyName, Predictions>;
const expert = { probabilities: Object.fromEntries(ids.map((id, i) => [id, numbers(0.2)[i]])), features: {}, valAuroc: [] };

/** Two stays of every patient; without `perPerson` a patient is a sample. */
function cohort(perPerson: boolean): Cohort {
  const patients = ids.map((id, i): Patient => {
    const subject = perPerson ? { subject: `p${i >> 1}` } : {};
    return { id, ...subject, sex: 'male', age: 50, visitTimes: [0], values: [], label: labels[i] };
  });
  return { name: 'made', task: 'mortality', features: [], patients, splits: { train: [], val: [], test: ids } };
}

describe('rows', () => {
  const options = { numBootstrap: 100, seed: config.seed };
  it.each([true, false])('people have two stays each: %s', (perPerson) => {
    const said = saidBy(cohort(perPerson), expert, predictions);
    const drawn = perPerson ? { ...options, subjects: ids.map((_, i) => `p${i >> 1}`) } : options;
    for (const { columns, ...rest } of said) {
      expect(evalRow({ columns, ...rest }, config).intervals).toEqual(bootstrapMetrics(labels, columns.probabilities, drawn));
    }
    const { auroc } = pairedBootstrap(labels, predictions.stage2.probabilities, predictions.stage1.probabilities, drawn);
    expect(pairedDifferences(said, config)[1]).toMatchObject({ difference: auroc.value, lower: auroc.lower, upper: auroc.upper });
    const { row } = evalRow(said[0], config);
    expect(testedOn(row)).toBe(perPerson ? '90 test stays of 45 patients' : '90 test patients');
    expect('people' in row).toBe(perPerson);
  });
});

it('metrics.jsonl has every metric with the suffixes of METRICS.md', () => {
  const said = saidBy(cohort(false), expert, predictions);
  const { intervals } = evalRow(said[0], config);
  const logged = loggedMetrics(cohort(false), intervals);
  expect(logged['eval/made/mortality/auroc_std']).toBe(intervals.auroc.std);
  expect(Object.keys(logged).sort()).toEqual(
    METRIC_NAMES.flatMap((m) => ['', ...EVAL_SUFFIXES].map((suffix) => `eval/made/mortality/${m}${suffix}`)).sort(),
  );
  expect(Object.keys(logged).every(isMetricKey)).toBe(true);
});

it('eagrl data: stays are called stays', () => {
  const lines = (perPerson: boolean) => describeCohort({ cohort: cohort(perPerson), flow: null, audit: [], caveats: [] });
  expect(lines(true)).toContain('test: 90 ICU stays of 45 patients, 30 positive');
  expect(lines(true)[0]).toContain('90 ICU stays of 45 patients');
  expect(lines(false)).toContain('test: 90 patients, 30 positive');
});
