/**
 * Plan: text, label and id of one patient stay together (the public pipeline once paired texts with others' labels).
 * - each patient carries his own id and label in a measured value, so that the text alone tells whose it is
 * - the check finds a planted mix-up: rotated labels, rotated records, rotated ids
 * - unsound splits and the wrong task are refused
 */

import { describe, expect, it } from 'vitest';
import { DataError } from '../data/errors.ts';
import { SPLIT_NAMES } from '../data/splits.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import type { PromptOptions } from '../text/prompt.ts';
import type { Cohort, Patient } from '../types.ts';
import { mortalityTask } from './mortality.ts';
import { readmissionTask } from './readmission.ts';
import type { Task } from './task.ts';

const options: PromptOptions = { form: 'compact', lastVisits: 1, units: false, flags: false };
const NUM_PATIENTS = 30;

/** Patient n: heart rate 100 + n, temperature 35 + label. */
function marked(): Cohort {
  const patients = Array.from({ length: NUM_PATIENTS }, (_, n): Patient => {
    const label = n % 3 === 0 ? 1 : 0;
    return { id: `P${n}`, sex: 'female', age: 40, visitTimes: [0], values: [[100 + n], [35 + label]], label };
  });
  const ids = patients.map((p) => p.id);
  return {
    name: 'marked',
    task: 'mortality',
    features: [
      { key: 'hr', name: 'heart rate' },
      { key: 'temp', name: 'temperature' },
    ],
    patients,
    splits: { train: ids.slice(0, 10), val: ids.slice(10, 20), test: ids.slice(20) },
  };
}

/** Ids of the examples whose text, read back, does not belong to their id and label. */
function mixedUp(task: Task): string[] {
  const wrong: string[] = [];
  for (const split of SPLIT_NAMES) {
    for (let i = 0; i < task.numExamples(split); i++) {
      const { id, prompt, label, patient } = task.getExample(split, i);
      const heart = Number(/ heart rate:(\d+)/.exec(prompt)?.[1]);
      const temperature = Number(/ temperature:(\d+)/.exec(prompt)?.[1]);
      if (`P${heart - 100}` !== id || temperature - 35 !== label || patient.id !== id) wrong.push(id);
    }
  }
  return wrong;
}

const rotate = <T>(list: readonly T[]): T[] => [...list.slice(1), list[0]];

describe('task', () => {
  it('keeps id, text and label of a patient together', () => {
    expect(mixedUp(mortalityTask(marked(), options))).toEqual([]);
  });

  it.each(['label', 'values', 'id'] as const)('the check finds a rotated %s', (part) => {
    const cohort = marked();
    const rotated = rotate(cohort.patients);
    const patients = cohort.patients.map((p, n) => ({ ...p, [part]: rotated[n][part] }));
    expect(mixedUp(mortalityTask({ ...cohort, patients }, options)).length).toBeGreaterThan(0);
  });

  it('gives every patient of the synthetic cohort exactly once, splits disjoint', () => {
    const cohort = generateSyntheticCohort({ seed: 3, split: { train: 40, val: 20, test: 30 } });
    const task = mortalityTask(cohort, { ...options, flags: true });
    const ids = SPLIT_NAMES.flatMap((split) => Array.from({ length: task.numExamples(split) }, (_, i) => task.getExample(split, i).id));
    expect(new Set(ids).size).toBe(90);
    expect(ids).toHaveLength(90);
  });

  it('refuses a patient in two splits, an unknown id, an empty split, one class only', () => {
    const cohort = marked();
    const { train, val, test } = cohort.splits;
    const build = (splits: Cohort['splits']) => () => mortalityTask({ ...cohort, splits }, options);
    expect(build({ train, val, test: [...test, train[0]] })).toThrow(DataError);
    expect(build({ train, val, test: [...test, 'P99'] })).toThrow('split "test", entry 11: names a patient who is not in the data');
    expect(build({ train, val: [], test })).toThrow('empty');
    expect(build({ train: ['P1', 'P2'], val, test })).toThrow('one class');
  });

  it('refuses the wrong task and an index outside the split', () => {
    expect(() => readmissionTask(marked(), options)).toThrow('labelled for mortality');
    expect(() => mortalityTask(marked(), options).getExample('val', 10)).toThrow(RangeError);
  });
});
