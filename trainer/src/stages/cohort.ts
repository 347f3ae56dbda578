/** The cohort and the task a config asks for (Node edge: TJH is read from a file). */
import type { Config } from '../config/schema.ts';
import type { FlowRow } from '../data/tjh.ts';
import { mortalityTask } from '../tasks/mortality.ts';
import type { Task } from '../tasks/task.ts';
import type { PromptOptions } from '../text/prompt.ts';
import type { Cohort } from '../types.ts';
import { ConfigError } from '../util/errors.ts';

export interface LoadedCohort {
  readonly cohort: Cohort;
  /** How many rows and patients each rule left; null for generated cohorts. */
  readonly flow: readonly FlowRow[] | null;
}

/** @throws ConfigError when a path is missing, DataError when the data are wrong. */
export async function loadCohort({ data }: Pick<Config, 'data'>): Promise<LoadedCohort> {
  if (data.kind === 'synthetic') {
    const { generateSyntheticCohort } = await import('../data/synthetic.ts');
    const split = { train: data.num_train, val: data.num_val, test: data.num_test };
    return { cohort: generateSyntheticCohort({ seed: data.seed, split }), flow: null };
  }
  if (data.path === null) throw new ConfigError('data.path: kind tjh needs the TJH spreadsheet; pass --data.path FILE.xlsx');
  if (data.split === null)
    throw new ConfigError('data.split: kind tjh needs a file with the patient ids of each split; pass --data.split FILE.json');
  const { loadTjh } = await import('../data/tjh_xlsx.ts');
  return loadTjh({ path: data.path, splitPath: data.split, minVisits: data.min_visits });
}

export function promptOptions({ prompt }: Pick<Config, 'prompt'>): PromptOptions {
  return { form: prompt.form, lastVisits: prompt.last_visits, units: prompt.units, flags: prompt.flags };
}

/** The task as the stages see it; `answer` other than steps is for baselines that give the bare answer. */
export function taskOf(cohort: Cohort, config: Config, answer: PromptOptions['answer'] = 'steps'): Task {
  return mortalityTask(cohort, { ...promptOptions(config), answer });
}
