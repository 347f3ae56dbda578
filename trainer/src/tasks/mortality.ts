import type { PromptOptions } from '../text/prompt.ts';
import type { Cohort } from '../types.ts';
import { cohortTask, type Task } from './task.ts';

/** In-hospital mortality (TJH, MIMIC-IV, synthetic): label 1 = died. Throws as `cohortTask`. */
export function mortalityTask(cohort: Cohort, options: PromptOptions): Task {
  return cohortTask('mortality', cohort, options);
}
