/**
 * Two cohorts side by side, for training on one and testing on the other. An expert reads columns, so it is trained and tested on the
 * features that both have, in the first cohort's units: those of one name (data/lab_dictionary.ts gives one name to one lab in one unit),
 * and those of the table below. A policy reads words and needs no mapping.
 *
 * TJH and MIMIC-IV share two: pH, and glucose after its conversion. Generated cohorts share all of theirs.
 */
import type { Cohort, Feature, Patient, SplitName } from '../types.ts';
import { DataError } from './errors.ts';

/** The same quantity in two units, by lab names: to = from / divisor. */
const CONVERSIONS: readonly { readonly from: string; readonly to: string; readonly divisor: number }[] = [
  // mg/dL to mmol/L: 10 / molar mass of 180.16 g/mol.
  { from: 'blood glucose', to: 'glucose', divisor: 18.016 },
];

/** A feature of both: its places, and what a value of the second cohort is multiplied by. */
export interface SharedFeature {
  readonly feature: Feature;
  readonly here: number;
  readonly other: number;
  readonly factor: number;
}

/** What both cohorts have, in the order of the first. */
export function sharedFeatures(here: readonly Feature[], other: readonly Feature[]): SharedFeature[] {
  const place = (name: string | undefined) => other.findIndex((f) => f.name === name);
  return here.flatMap((feature, i): SharedFeature[] => {
    const same = place(feature.name);
    if (same >= 0) return [{ feature, here: i, other: same, factor: 1 }];
    for (const { from, to, divisor } of CONVERSIONS) {
      const [down, up] = [place(feature.name === to ? from : undefined), place(feature.name === from ? to : undefined)];
      if (down >= 0) return [{ feature, here: i, other: down, factor: 1 / divisor }];
      if (up >= 0) return [{ feature, here: i, other: up, factor: divisor }];
    }
    return [];
  });
}

/** Which cohort a part of a reproduction is about. `to_here`: trained on the other, tested here, on shared features. */
export type CohortName = 'here' | 'other' | 'here_shared' | 'other_shared' | 'to_here' | 'to_other';

/**
 * The cohorts of both directions. Where both have the same features, `here_shared` is `here`, and so on. Patients of another cohort's
 * train and val splits carry a mark before their ids, so that two cohorts can number theirs alike.
 * @throws DataError when the tasks differ or nothing is shared.
 */
export function transferCohorts(here: Cohort, other: Cohort): Readonly<Record<CohortName, Cohort>> {
  if (here.task !== other.task) {
    throw new DataError(
      `transfer: cohort "${here.name}" is labelled for ${here.task}, "${other.name}" for ${other.task}; give both one data.task`,
    );
  }
  const shared = sharedFeatures(here.features, other.features);
  if (shared.length === 0) throw new DataError(`transfer: cohorts "${here.name}" and "${other.name}" have no feature in common`);
  const hereShared = restrict(here, shared, ({ here: place }) => [place, 1]);
  const otherShared = restrict(other, shared, ({ other: place, factor }) => [place, factor]);
  return {
    here,
    other,
    here_shared: hereShared,
    other_shared: otherShared,
    to_here: joined(otherShared, hereShared),
    to_other: joined(hereShared, otherShared),
  };
}

function restrict(
  cohort: Cohort,
  shared: readonly SharedFeature[],
  at: (s: SharedFeature) => readonly [place: number, factor: number],
): Cohort {
  const columns = shared.map(at);
  const whole = columns.length === cohort.features.length && columns.every(([place, factor], i) => place === i && factor === 1);
  if (whole) return cohort;
  const patients = cohort.patients.map((patient): Patient => {
    const values = columns.map(([place, factor]) => patient.values[place].map((v) => (v === null ? null : v * factor)));
    return { ...patient, values };
  });
  const { truth: _truth, ...rest } = cohort;
  return { ...rest, name: `${cohort.name}, shared features`, features: shared.map(({ feature }) => feature), patients };
}

/** Trained and chosen on the first, tested on the second. */
function joined(from: Cohort, to: Cohort): Cohort {
  const mark = (id: string) => `${from.name} ${id}`;
  const pick = (cohort: Cohort, ...names: readonly SplitName[]) => {
    const ids = new Set(names.flatMap((name) => cohort.splits[name]));
    return cohort.patients.filter((patient) => ids.has(patient.id));
  };
  const train = pick(from, 'train', 'val').map((p) => ({ ...p, id: mark(p.id), subject: mark(p.subject ?? p.id) }));
  return {
    name: `${from.name} to ${to.name}`,
    task: from.task,
    features: from.features,
    patients: [...train, ...pick(to, 'test')],
    splits: { train: from.splits.train.map(mark), val: from.splits.val.map(mark), test: to.splits.test },
  };
}
