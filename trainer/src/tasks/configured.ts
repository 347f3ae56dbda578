/** The task that a config asks for. */
import type { Config } from '../config/schema.ts';
import type { PromptOptions } from '../text/prompt.ts';
import type { Cohort } from '../types.ts';
import { mortalityTask } from './mortality.ts';
import { readmissionTask } from './readmission.ts';
import type { Task } from './task.ts';

export function promptOptions({ prompt, seed }: Pick<Config, 'prompt' | 'seed'>): PromptOptions {
  return {
    form: prompt.form,
    lastVisits: prompt.last_visits,
    units: prompt.units,
    flags: prompt.flags,
    ...(prompt.shuffle_fraction > 0 ? { order: { seed, fraction: prompt.shuffle_fraction } } : {}),
    ...(prompt.noise_std > 0 ? { noise: { seed, std: prompt.noise_std } } : {}),
    ...(prompt.missing_fraction > 0 ? { missing: { seed, fraction: prompt.missing_fraction } } : {}),
  };
}

/** The task as the stages see it; `answer` other than steps is for baselines that give the bare answer. */
export function taskOf(cohort: Cohort, config: Config, answer: PromptOptions['answer'] = 'steps'): Task {
  const task = cohort.task === 'mortality' ? mortalityTask : readmissionTask;
  return task(cohort, { ...promptOptions(config), answer });
}
