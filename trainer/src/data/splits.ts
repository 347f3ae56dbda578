/** Checks that a cohort's splits can be trusted: disjoint, known, not empty, both classes in each. */

import type { Cohort, SplitName } from '../types.ts';
import { DataError } from './errors.ts';

/** The three splits, in the order of use. */
export const SPLIT_NAMES: readonly SplitName[] = ['train', 'val', 'test'];

/**
 * Throws DataError when patient ids repeat in the cohort or across splits, when a split names an unknown patient, when a
 * split is empty, or when its patients all have the same label.
 * @param source where the splits come from, for the message
 */
export function checkSplits(cohort: Cohort, source: string): void {
  const labels = new Map<string, 0 | 1>();
  for (const patient of cohort.patients) {
    if (labels.has(patient.id)) throw new DataError(`${source}: patient ${patient.id} occurs twice in the cohort`);
    labels.set(patient.id, patient.label);
  }
  const home = new Map<string, SplitName>();
  for (const name of SPLIT_NAMES) {
    const ids = cohort.splits[name];
    if (ids.length === 0) throw new DataError(`${source}: split "${name}" is empty; expected at least one patient of each outcome`);
    const seen = new Set<0 | 1>();
    for (const id of ids) {
      const label = labels.get(id);
      if (label === undefined) {
        throw new DataError(`${source}: split "${name}" names patient ${id}, who is not in the data; use the split file of this data file`);
      }
      const other = home.get(id);
      if (other !== undefined) {
        throw new DataError(
          `${source}: patient ${id} is in split "${other}" and again in "${name}"; every patient belongs to one split, once`,
        );
      }
      home.set(id, name);
      seen.add(label);
    }
    if (seen.size < 2) {
      throw new DataError(`${source}: split "${name}" has one class only (${ids.length} patients); AUROC needs deaths and survivors`);
    }
  }
}
