import type { PromptOptions } from '../text/prompt.ts';
import type { Cohort } from '../types.ts';
import { cohortTask, type Task } from './task.ts';

/** Readmission within 30 days (MIMIC-IV): label 1 = readmitted or died within 30 days. Throws as `cohortTask`. */
export function readmissionTask(cohort: Cohort, options: PromptOptions): Task {
  return cohortTask('readmission', cohort, options);
}
