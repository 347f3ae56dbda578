/** A task: numbered examples of each split, each a prompt with the label and the patient it was built from. */

import { DataError } from '../data/errors.ts';
import { checkSplits } from '../data/splits.ts';
import { buildPrompt, type PromptOptions } from '../text/prompt.ts';
import type { Cohort, Patient, SplitName } from '../types.ts';

/** One prompt with its truth. `prompt` has no chat frame. */
export interface Example {
  readonly id: string;
  readonly prompt: string;
  readonly label: 0 | 1;
  readonly patient: Patient;
}

/** What the stages iterate over. */
export interface Task {
  readonly name: Cohort['task'];
  readonly cohort: Cohort;
  /** Number of examples of a split. */
  numExamples(split: SplitName): number;
  /** Example i of a split, in the order of the split's ids. Throws RangeError outside 0..numExamples - 1. */
  getExample(split: SplitName, i: number): Example;
}

/**
 * The task of a cohort. Id, text and label of an example come from one patient object, found by id once.
 * Throws DataError when the cohort is of another task or its splits are unsound.
 */
export function cohortTask(name: Cohort['task'], cohort: Cohort, options: PromptOptions): Task {
  if (cohort.task !== name) throw new DataError(`task ${name}: cohort "${cohort.name}" is labelled for ${cohort.task}`);
  checkSplits(cohort, `cohort "${cohort.name}"`);
  const byId = new Map(cohort.patients.map((patient) => [patient.id, patient]));
  return {
    name,
    cohort,
    numExamples: (split) => cohort.splits[split].length,
    getExample(split, i) {
      const id = cohort.splits[split][i];
      const patient = byId.get(id);
      if (patient === undefined)
        throw new RangeError(`task ${name}: split ${split} has ${cohort.splits[split].length} examples, got index ${i}`);
      return { id, prompt: buildPrompt(patient, cohort, options), label: patient.label, patient };
    },
  };
}
