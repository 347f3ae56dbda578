/** Who is in a split: whether a cohort's splits can be trusted (disjoint in samples and in people, known, not empty, both classes in each). */

import type { Cohort, SplitName } from '../types.ts';
import { DataError } from './errors.ts';

/** The three splits, in the order of use. */
export const SPLIT_NAMES: readonly SplitName[] = ['train', 'val', 'test'];

/** The person behind each of some samples of a cohort. */
export function subjectsOf({ patients }: Pick<Cohort, 'patients'>, ids: readonly string[]): string[] {
  const subjects = new Map(patients.map(({ id, subject }) => [id, subject ?? id]));
  return ids.map((id) => subjects.get(id) ?? id);
}

/**
 * Throws DataError when patient ids repeat in the cohort or across splits, when one person is in two splits, when a split names an
 * unknown patient, when a split is empty, or when its patients all have the same label. Messages give places, no ids.
 * @param source where the splits come from, for the message
 */
export function checkSplits(cohort: Cohort, source: string): void {
  const byId = new Map(cohort.patients.map((patient) => [patient.id, patient]));
  if (byId.size < cohort.patients.length) {
    const seen = new Set<string>();
    const place = cohort.patients.findIndex(({ id }) => seen.has(id) || !seen.add(id));
    throw new DataError(`${source}: patient ${place + 1} of the cohort has the id of an earlier one`);
  }
  const home = new Map<string, SplitName>();
  const homeOfSubject = new Map<string, SplitName>();
  for (const name of SPLIT_NAMES) {
    const ids = cohort.splits[name];
    if (ids.length === 0) throw new DataError(`${source}: split "${name}" is empty; expected at least one patient of each outcome`);
    const labels = new Set<0 | 1>();
    ids.forEach((id, place) => {
      const at = `${source}: split "${name}", entry ${place + 1}`;
      const patient = byId.get(id);
      if (patient === undefined) throw new DataError(`${at}: names a patient who is not in the data; use the split file of this data file`);
      const other = home.get(id);
      if (other !== undefined) {
        throw new DataError(`${at}: this patient is already in split "${other}"; every patient belongs to one split, once`);
      }
      const subject = patient.subject ?? id;
      const subjectHome = homeOfSubject.get(subject) ?? name;
      if (subjectHome !== name) {
        throw new DataError(`${at}: another stay of this patient is in split "${subjectHome}"; all stays of a patient belong to one split`);
      }
      home.set(id, name);
      homeOfSubject.set(subject, name);
      labels.add(patient.label);
    });
    if (labels.size < 2) {
      throw new DataError(`${source}: split "${name}" has one class only (${ids.length} patients); AUROC needs deaths and survivors`);
    }
  }
}
