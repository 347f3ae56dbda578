/**
 * Plan: two cohorts made by hand, of three and two features, patients numbered alike.
 *   what is shared: by name, and glucose in two units, either way; TJH and MIMIC-IV as they are
 *   restricted values stand under the right feature and in the first cohort's unit; equal features leave the cohort as it is
 *   joined: train and val of one, test of the other, ids apart, splits sound; other tasks and nothing in common are refused
 */
import { describe, expect, it } from 'vitest';
import type { Cohort, Patient } from '../types.ts';
import { featureOf, LABS, labByName } from './lab_dictionary.ts';
import { MIMIC_VARIABLES } from './mimic_items.ts';
import { checkSplits } from './splits.ts';
import { sharedFeatures, transferCohorts } from './transfer.ts';

const lab = (name: string) => featureOf(labByName(name)!);
function cohortOf(name: string, features: readonly string[], scale: number): Cohort {
  const ids = Array.from({ length: 12 }, (_, i) => String(i + 1));
  const patients = ids.map(
    (id, i): Patient => ({
      id,
      sex: 'male',
      age: 50,
      visitTimes: [0],
      values: features.map((_, f) => [scale * (10 * i + f)]),
      label: (i % 2) as 0 | 1,
    }),
  );
  return {
    name,
    task: 'mortality',
    features: features.map(lab),
    patients,
    splits: { train: ids.slice(0, 6), val: ids.slice(6, 8), test: ids.slice(8) },
  };
}
const here = cohortOf('here', ['pH', 'sodium', 'glucose'], 1);
const other = cohortOf('there', ['blood glucose', 'pH'], 100);

describe('shared features', () => {
  it('by name, and glucose in two units either way', () => {
    expect(
      sharedFeatures(here.features, other.features).map(({ feature, here: h, other: o, factor }) => [feature.name, h, o, factor]),
    ).toEqual([
      ['pH', 0, 1, 1],
      ['glucose', 2, 0, 1 / 18.016],
    ]);
    expect(sharedFeatures(other.features, here.features).map(({ feature, factor }) => [feature.name, factor])).toEqual([
      ['blood glucose', 18.016],
      ['pH', 1],
    ]);
  });
  it('of TJH and MIMIC-IV: pH and glucose', () => {
    const tjh = LABS.filter((entry) => entry.tjh !== undefined).map((entry) => featureOf(entry));
    const mimic = MIMIC_VARIABLES.map(({ feature }) => feature);
    expect(tjh).toHaveLength(73);
    expect(
      sharedFeatures(tjh, mimic)
        .map(({ feature }) => feature.name)
        .sort(),
    ).toEqual(['glucose', 'pH']);
  });
});

describe('cohorts of both directions', () => {
  const all = transferCohorts(here, other);
  it('hold the values of the shared features in the unit of the first cohort', () => {
    expect(all.here_shared.patients[3].values).toEqual([[30], [32]]);
    expect(all.other_shared.patients[3].values).toEqual([[3100], [3000 / 18.016]]);
    expect(all.other_shared.features.map(({ name, unit }) => [name, unit])).toEqual([
      ['pH', undefined],
      ['glucose', 'mmol/L'],
    ]);
  });
  it('train on one, test on the other, nobody twice', () => {
    checkSplits(all.to_here, 'to_here');
    expect(all.to_here.splits.test).toEqual(here.splits.test);
    expect(all.to_here.splits.train).toEqual(other.splits.train.map((id) => `there, shared features ${id}`));
    expect(all.to_here.patients).toHaveLength(12);
    const tested = all.to_here.patients.find(({ id }) => id === '9')!;
    expect(tested.values).toEqual(all.here_shared.patients[8].values);
    expect(all.to_other.patients.find(({ id }) => id === '9')!.values).toEqual(all.other_shared.patients[8].values);
  });
  it('equal features leave the cohorts as they are, truth included', () => {
    const twin = { ...cohortOf('twin', ['pH', 'sodium', 'glucose'], 2), truth: { causal: {}, bayes: {} } };
    const same = transferCohorts(here, twin);
    expect(same.here_shared).toBe(here);
    expect(same.other_shared).toBe(twin);
  });
  it('another task or nothing in common is refused', () => {
    expect(() => transferCohorts(here, { ...other, task: 'readmission' })).toThrow(
      '"here" is labelled for mortality, "there" for readmission',
    );
    expect(() => transferCohorts(here, cohortOf('far', ['weight'], 1))).toThrow('no feature in common');
  });
});
