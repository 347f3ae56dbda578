/**
 * Synthetic cohort: irregular visits of 17 vital signs and labs whose outcome has a known cause and a known probability.
 *
 *     score = bias + sum over causal f of  weight_f * focus(f, phenotype) * harm_f(latest observed value of f)
 *     y ~ Bernoulli(sigmoid(score)),   truth.bayes = sigmoid(score)
 *
 * harm is 0 within range, 1 at the far limit (where H becomes HH) and at most 2; an unmeasured feature counts as in range.
 * The phenotype inside `focus` is read from the record (the group with most harm), not from the latent one that generated
 * it, so the score is a function of what a reader sees and truth.bayes is exact.
 *
 * Ten features carry no signal. A latent burden of unrelated chronic illness puts many of them out of range, more often in
 * the less severely ill, so that counting abnormal values predicts little.
 */

import type { Cohort, Feature, Patient, Sex, SplitName } from '../types.ts';
import { featureOf, labByName } from './lab_dictionary.ts';
import { farLimits, latest, rangeOf } from './range.ts';
import { Rng } from './rng.ts';

/** What to generate. Patients of train come first, then val, then test. */
export interface SyntheticOptions {
  readonly seed: number;
  /** Number of patients of each split; the cohort has their sum. */
  readonly split: Readonly<Record<SplitName, number>>;
  /** `shifted`: the causes count 1.5 and 0.5 times as much in turn, as in a hospital with other patients and other care. Default standard. */
  readonly effects?: Effects;
}

export type Effects = 'standard' | 'shifted';

type Side = 'high' | 'low';

/** Decimals as a laboratory reports them; `side` where it harms; `weight` per unit of harm (logits). */
interface Column {
  readonly lab: string;
  readonly decimals: number;
  readonly cause?: { readonly side: Side; readonly weight: number };
}

const COLUMNS: readonly Column[] = [
  { lab: 'heart rate', decimals: 0 },
  { lab: 'systolic blood pressure', decimals: 0 },
  { lab: 'respiratory rate', decimals: 0 },
  { lab: 'temperature', decimals: 1 },
  { lab: 'oxygen saturation', decimals: 0, cause: { side: 'low', weight: 0.9 } },
  { lab: 'white blood cell count', decimals: 1 },
  { lab: 'lymphocyte percent', decimals: 1, cause: { side: 'low', weight: 0.84 } },
  { lab: 'hemoglobin', decimals: 0 },
  { lab: 'platelet count', decimals: 0, cause: { side: 'low', weight: 0.76 } },
  { lab: 'C-reactive protein', decimals: 1 },
  { lab: 'lactate dehydrogenase', decimals: 0, cause: { side: 'high', weight: 0.98 } },
  { lab: 'D-dimer', decimals: 2, cause: { side: 'high', weight: 0.84 } },
  { lab: 'creatinine', decimals: 0, cause: { side: 'high', weight: 0.9 } },
  { lab: 'urea', decimals: 1 },
  { lab: 'albumin', decimals: 1, cause: { side: 'low', weight: 0.76 } },
  { lab: 'sodium', decimals: 0 },
  { lab: 'glucose', decimals: 1 },
];

/** Causal features that matter most in each phenotype. */
const PHENOTYPES: readonly (readonly string[])[] = [
  ['oxygen saturation', 'lactate dehydrogenase', 'lymphocyte percent'],
  ['D-dimer', 'platelet count', 'lactate dehydrogenase'],
  ['creatinine', 'albumin', 'D-dimer'],
  ['lymphocyte percent', 'albumin', 'oxygen saturation'],
];
/** Factor on a weight inside and outside the phenotype's own group: mild, so that one global weighting stays a good reader. */
const FOCUS = { inside: 1.2, outside: 0.8 } as const;
/** Centres the score: prevalence near 0.47. */
const BIAS = -5.8;
/** Factors on the weights of `shifted`, by turns. */
const SHIFT = [1.5, 0.5] as const;

const FEATURES: readonly Feature[] = COLUMNS.map((column) => {
  const entry = labByName(column.lab);
  if (entry === undefined) throw new Error(`synthetic cohort: the lab dictionary lacks "${column.lab}"`);
  return featureOf(entry);
});

/** Value at position x on one side of the range: x = 0 at the limit, 1 at the far limit, negative within range. */
function valueAt(feature: Feature, sex: Sex, side: Side, x: number, decimals: number): number {
  const range = rangeOf(feature, sex);
  const limit = range[side] as number;
  const far = farLimits(range)[side] as number;
  const value = limit + x * (far - limit);
  // A quarter of the lower limit (or a tenth of the upper one) is the least any of these can be in a living patient.
  const floor = (range.low || (range.high as number) * 0.4) / 4;
  const ceiling = feature.unit === '%' ? 100 : Number.POSITIVE_INFINITY;
  const factor = 10 ** decimals;
  const clipped = Math.min(ceiling, Math.max(floor, value));
  // At most 3 significant digits, so that the compact prompt shows the very value that the outcome depends on.
  return Number((Math.round(clipped * factor) / factor).toPrecision(3));
}

/** Harm of one value in [0, 2]. */
function harmOf(feature: Feature, sex: Sex, side: Side, value: number | null): number {
  if (value === null) return 0;
  const range = rangeOf(feature, sex);
  const limit = range[side] as number;
  const far = farLimits(range)[side] as number;
  return Math.min(2, Math.max(0, (value - limit) / (far - limit)));
}

/** What the generator knows of one visible record. */
interface Verdict {
  readonly score: number;
  /** Features that drive this patient's outcome, strongest first. */
  readonly causal: readonly string[];
}

/** Score of a visible record; depends on the latest observed values and the sex only. */
function judge(values: readonly (readonly (number | null)[])[], sex: Sex, effects: Effects): Verdict {
  const harm = new Map<string, number>();
  COLUMNS.forEach((column, f) => {
    if (column.cause === undefined) return;
    harm.set(column.lab, harmOf(FEATURES[f], sex, column.cause.side, latest(values[f])));
  });
  const sums = PHENOTYPES.map((group) => group.reduce((sum, name) => sum + (harm.get(name) ?? 0), 0));
  const group = PHENOTYPES[sums.indexOf(Math.max(...sums))];
  let score = BIAS;
  const weights: { name: string; weight: number; contribution: number }[] = [];
  for (const column of COLUMNS) {
    if (column.cause === undefined) continue;
    const focus = group.includes(column.lab) ? FOCUS.inside : FOCUS.outside;
    const weight = column.cause.weight * focus * (effects === 'shifted' ? SHIFT[weights.length % 2] : 1);
    const contribution = weight * (harm.get(column.lab) ?? 0);
    score += contribution;
    weights.push({ name: column.lab, weight, contribution });
  }
  weights.sort((a, b) => b.contribution - a.contribution || b.weight - a.weight);
  return { score, causal: weights.slice(0, 5).map((w) => w.name) };
}

function visitTimes(rng: Rng): number[] {
  const times = [0];
  const visits = rng.int(2, 8);
  while (times.length < visits) times.push(times[times.length - 1] + rng.weighted([0, 4, 3, 2, 1]));
  return times;
}

function generatePatient(seed: number, index: number, effects: Effects): { patient: Patient; verdict: Verdict } {
  const rng = new Rng(seed, `synthetic patient ${index}`);
  const sex: Sex = rng.chance(0.55) ? 'male' : 'female';
  const age = Math.round(Math.min(95, Math.max(18, rng.normal(61, 15))));
  const times = visitTimes(rng);
  const T = times.length;
  const group = rng.choice(PHENOTYPES);

  // Severity in 0..1 at the last visit, reached along a noisy straight path from where the patient came in.
  const final = rng.uniform();
  const start = Math.min(1, Math.max(0, final + rng.normal(0, 0.3)));
  const severity = times.map((day) => start + ((final - start) * day) / times[T - 1] + rng.normal(0, 0.04));
  const burden = Math.min(0.95, Math.max(0.05, 0.54 - 0.05 * final + rng.normal(0, 0.3)));

  const values = COLUMNS.map((column, f) => {
    const feature = FEATURES[f];
    const own = rng.normal(0, 0.45);
    const sick = rng.chance(burden);
    const side: Side = column.cause?.side ?? (rng.chance(0.6) ? 'high' : 'low');
    const resting = sick ? rng.uniform(0.15, 2) : rng.uniform(-1.2, -0.3);
    const slope = group.includes(column.lab) ? 2.4 : 1.8;
    return times.map((_, t) => {
      const x = column.cause === undefined ? resting + rng.normal(0, 0.12) : -0.1 + slope * severity[t] + own + rng.normal(0, 0.12);
      // Vital signs are taken at most visits; sicker patients have slightly more blood drawn.
      const measured = f < 5 ? 0.9 : 0.6 + 0.1 * severity[t];
      return rng.chance(measured) ? valueAt(feature, sex, side, x, column.decimals) : null;
    });
  });

  const verdict = judge(values, sex, effects);
  const label = rng.chance(1 / (1 + Math.exp(-verdict.score))) ? 1 : 0;
  return { patient: { id: `S${index + 1}`, sex, age, visitTimes: times, values, label }, verdict };
}

/**
 * Generates a cohort of in-hospital mortality: 2 to 8 visits, 17 features, about 47 % deaths, Bayes AUROC about 0.94.
 * Patient i depends on (seed, i) alone. Throws RangeError on a split size that is not a positive integer.
 */
export function generateSyntheticCohort({ seed, split, effects = 'standard' }: SyntheticOptions): Cohort {
  const names: readonly SplitName[] = ['train', 'val', 'test'];
  for (const name of names) {
    if (!Number.isInteger(split[name]) || split[name] < 1) {
      throw new RangeError(`synthetic cohort: expected a positive number of ${name} patients, got ${split[name]}`);
    }
  }
  const patients: Patient[] = [];
  const causal: Record<string, readonly string[]> = {};
  const bayes: Record<string, number> = {};
  const splits: Record<SplitName, string[]> = { train: [], val: [], test: [] };
  for (const name of names) {
    for (let n = 0; n < split[name]; n++) {
      const { patient, verdict } = generatePatient(seed, patients.length, effects);
      patients.push(patient);
      splits[name].push(patient.id);
      causal[patient.id] = verdict.causal;
      bayes[patient.id] = 1 / (1 + Math.exp(-verdict.score));
    }
  }
  return {
    name: effects === 'standard' ? 'synthetic' : 'synthetic_shifted',
    task: 'mortality',
    features: FEATURES,
    patients,
    splits,
    truth: { causal, bayes },
  };
}
