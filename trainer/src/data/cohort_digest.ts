/** What tells two cohorts apart whose files have the same names. (Node edge.) */
import { createHash } from 'node:crypto';
import type { Cohort } from '../types.ts';

/** Of everything that a stage can see of the cohort; hex. */
export function cohortDigest({ patients, ...rest }: Cohort): string {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const patient of patients) hash.update(JSON.stringify(patient));
  return hash.digest('hex');
}
