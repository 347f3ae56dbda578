/**
 * A patient as text, in two forms built by the same code.
 *
 * full:     - name (Unit: u. Reference Range: r.): [v1, v2, .., vT]     every feature, NaN for a missing cell
 * compact:  H name:v1,v2                                               observed features, last k measured values, flag of the latest
 *
 * Values are raw, never imputed. A compact line has a space before the name and none before digits, for the tokenizer: a name is then
 * the same tokens here and after ", " in <Important Features>, and a number is its digits and nothing else. The flag comes first: a
 * causal model then knows it while it reads the name (LOG.md).
 */

import { flagOf, nearestLevel, rangeOf } from '../data/range.ts';
import { Rng } from '../data/rng.ts';
import type { Cohort, Feature, Patient } from '../types.ts';

/** What the policy is asked to write: steps and all, features and number, or the bare number. */
export type AnswerStyle = 'steps' | 'features' | 'number';

export interface PromptOptions {
  readonly form: 'full' | 'compact';
  /** full: the last k visits; compact: the last k measured values of each feature, whichever visit they come from. */
  readonly lastVisits: number;
  /** Show units (full: and reference ranges). */
  readonly units: boolean;
  /** Put H, HH, L or LL behind values outside the reference range. */
  readonly flags: boolean;
  /** Default `steps`. */
  readonly answer?: AnswerStyle;
  /** Robustness: this fraction (0..1) of the feature lines changes places; the same seed and patient give the same order. */
  readonly order?: { readonly seed: number; readonly fraction: number };
  /** Robustness: this fraction (0..1) of the values that would be shown is treated as not measured; seeded likewise. */
  readonly missing?: { readonly seed: number; readonly fraction: number };
  /** Robustness: values times 1 + std N(0, 1), never below 0, a category at its nearest level; seeded likewise. */
  readonly noise?: { readonly seed: number; readonly std: number };
}

/** The part of a cohort that a prompt needs. */
export type PromptCohort = Pick<Cohort, 'task' | 'features'>;

/** What each task predicts, in words. */
export const OUTCOMES: Readonly<Record<Cohort['task'], string>> = {
  mortality: 'death in hospital',
  readmission: 'readmission within 30 days',
};

/** A value as shown: at most `digits` significant digits, no exponent within 1e-6..1e21. */
export function formatValue(value: number, digits: number): string {
  return String(Number(value.toPrecision(digits)));
}

function formatRange(feature: Feature, patient: Patient): string {
  const { low, high } = rangeOf(feature, patient.sex);
  if (low !== undefined && high !== undefined) return `${low} - ${high}`;
  if (high !== undefined) return `less than ${high}`;
  return low === undefined ? '' : `more than ${low}`;
}

/** Names, as shown, with the displayed values (oldest first, rounded) and their positions in the cohort's features. */
export interface ShownFeature {
  readonly index: number;
  readonly feature: Feature;
  readonly values: readonly number[];
}

/** What a compact prompt shows of a patient: observed features with their last k measured values, at 3 significant digits. */
export function shownFeatures(patient: Patient, features: readonly Feature[], lastVisits: number): ShownFeature[] {
  const shown: ShownFeature[] = [];
  features.forEach((feature, index) => {
    const measured = patient.values[index].filter((v) => v !== null).slice(-lastVisits);
    if (measured.length > 0) shown.push({ index, feature, values: measured.map((v) => Number(v.toPrecision(3))) });
  });
  return shown;
}

function compactLines(patient: Patient, features: readonly Feature[], options: PromptOptions): string[] {
  return shownFeatures(patient, features, options.lastVisits).map(({ feature, values }) => {
    const range = rangeOf(feature, patient.sex);
    const unit = options.units && feature.unit !== undefined ? ` (${feature.unit})` : '';
    // The flag judges the latest value rounded as shown, so that what is written is true of what is written.
    const flag = options.flags ? flagOf(values[values.length - 1], range) : '';
    return `${flag} ${feature.name}${unit}:${values.map((v) => formatValue(v, 3)).join(',')}`;
  });
}

function fullLines(patient: Patient, features: readonly Feature[], options: PromptOptions): string[] {
  return features.map((feature, index) => {
    const range = formatRange(feature, patient);
    const facts = [
      options.units && feature.unit !== undefined ? `Unit: ${feature.unit}.` : '',
      options.units && range !== '' ? `Reference Range: ${range}.` : '',
    ].filter((fact) => fact !== '');
    const cells = patient.values[index].slice(-options.lastVisits).map((v) => {
      if (v === null) return 'NaN';
      const flag = options.flags ? flagOf(v, rangeOf(feature, patient.sex)) : '';
      return flag === '' ? formatValue(v, 6) : `${formatValue(v, 6)} ${flag}`;
    });
    return `- ${feature.name}${facts.length > 0 ? ` (${facts.join(' ')})` : ''}: [${cells.join(', ')}]`;
  });
}

/** The patient without a random `fraction` of the values that a prompt would show. */
function withoutSome(patient: Patient, options: PromptOptions, { seed, fraction }: { seed: number; fraction: number }): Patient {
  const shown = patient.values.map((series) => {
    const visits = series.map((_, t) => t);
    const measured = (at: readonly number[]) => at.filter((t) => series[t] !== null);
    return options.form === 'compact' ? measured(visits).slice(-options.lastVisits) : measured(visits.slice(-options.lastVisits));
  });
  const cells = shown.flatMap((visits, f) => visits.map((t) => `${f} ${t}`));
  const kept = new Set(cells);
  const rng = new Rng(seed, `missing values ${patient.id}`);
  for (const cell of rng.sample(cells, Math.round(fraction * cells.length))) kept.delete(cell);
  // What was not shown goes too: an older value must not take the place of a removed one.
  return { ...patient, values: patient.values.map((series, f) => series.map((value, t) => (kept.has(`${f} ${t}`) ? value : null))) };
}

/** The patient with noise on every value. */
function withNoise(patient: Patient, features: readonly Feature[], { seed, std }: { seed: number; std: number }): Patient {
  const rng = new Rng(seed, `noise ${patient.id}`);
  const values = patient.values.map((series, f) =>
    series.map((value) => {
      if (value === null) return null;
      const noisy = Math.max(0, value * (1 + std * rng.normal()));
      const { levels } = features[f];
      return levels === undefined ? noisy : levels[nearestLevel(levels, noisy)];
    }),
  );
  return { ...patient, values };
}

/** Moves a random `fraction` of the lines among themselves; the others keep their places. */
function reorder(lines: readonly string[], patient: Patient, { seed, fraction }: { seed: number; fraction: number }): string[] {
  const rng = new Rng(seed, `feature order ${patient.id}`);
  const places = rng.sample([...lines.keys()], Math.round(fraction * lines.length));
  const moved = rng.shuffle(places);
  const out = lines.slice();
  places.forEach((place, i) => {
    out[place] = lines[moved[i]];
  });
  return out;
}

function question(form: PromptOptions['form'], style: AnswerStyle, outcome: string): string {
  if (form === 'compact') {
    if (style === 'number') return `Give only the probability of ${outcome}.`;
    if (style === 'features') return `Name the important features, then give the probability of ${outcome}.`;
    return `Reason in steps, name the important features, then give the probability of ${outcome}.`;
  }
  const number = `Give the probability of ${outcome} between 0 and 1 as <Final answer>probability</Final answer>`;
  if (style === 'number') return `${number} and nothing else.`;
  const names = 'Name the features that matter most as <Important Features>name, name, name</Important Features>';
  if (style === 'features') return `${names}. ${number}.`;
  return (
    'Split the task into sub-questions and answer each: <Subquestion>question</Subquestion> <Answer>answer</Answer>. ' +
    `End with <Final subquestion>question</Final subquestion>. ${names}. ${number}.`
  );
}

/**
 * The prompt of one patient, without chat frame (`chatPrompt` adds it).
 * Throws RangeError when `lastVisits` is not a positive integer or a fraction lies outside 0..1.
 */
export function buildPrompt(patient: Patient, cohort: PromptCohort, options: PromptOptions): string {
  const { form, lastVisits, answer = 'steps', order, missing, noise } = options;
  if (!Number.isInteger(lastVisits) || lastVisits < 1) {
    throw new RangeError(`buildPrompt: expected lastVisits to be a positive integer, got ${lastVisits}`);
  }
  for (const [name, perturbation] of Object.entries({ order, missing })) {
    if (perturbation !== undefined && !(perturbation.fraction >= 0 && perturbation.fraction <= 1)) {
      throw new RangeError(`buildPrompt: expected the fraction of ${name} in 0..1, got ${perturbation.fraction}`);
    }
  }
  if (noise !== undefined && !(noise.std >= 0))
    throw new RangeError(`buildPrompt: expected the std of noise to be 0 or more, got ${noise.std}`);
  const measured = noise === undefined ? patient : withNoise(patient, cohort.features, noise);
  const seen = missing === undefined ? measured : withoutSome(measured, options, missing);
  const outcome = OUTCOMES[cohort.task];
  const visits = patient.visitTimes.length;
  const count = `${visits} visit${visits === 1 ? '' : 's'}`;
  const built = form === 'compact' ? compactLines(seen, cohort.features, options) : fullLines(seen, cohort.features, options);
  const lines = order === undefined ? built : reorder(built, patient, order);
  const header =
    form === 'compact'
      ? [`Patient: ${patient.sex}, age ${Math.round(patient.age)}, ${count}. Task: ${outcome}.`]
      : [
          `Patient: ${patient.sex}, ${patient.age} years. ${count}, days since the first: ${patient.visitTimes.slice(-lastVisits).join(', ')}.`,
          `Task: predict ${outcome}. Vital signs and laboratory values, oldest visit first, NaN where not measured:`,
        ];
  return [...header, ...lines, question(form, answer, outcome)].join('\n');
}
