/**
 * Sub-questions about one prompt with answers that are true of what the prompt shows: the voice of the pretraining corpus.
 * Nothing here looks at an outcome.
 */

import { type BodySystem, type Lab, labByName } from '../data/lab_dictionary.ts';
import { type Flag, flagOf, rangeOf } from '../data/range.ts';
import type { Rng } from '../data/rng.ts';
import type { Feature, Patient } from '../types.ts';
import type { Step } from './answer.ts';
import { formatValue, type ShownFeature, shownFeatures } from './prompt.ts';

/** One shown feature with the flag of its latest value; the flag and the lab's statements come from the reference range. */
export interface Finding extends ShownFeature {
  readonly flag: Flag;
  readonly lab: Lab | undefined;
}

/** What a reader of a compact prompt sees. */
export interface View {
  readonly patient: Patient;
  readonly findings: readonly Finding[];
  /** Findings out of range, far ones first, each group in the order of the prompt. */
  readonly flagged: readonly Finding[];
}

/** The view of a compact prompt with this `lastVisits`. */
export function viewOf(patient: Patient, features: readonly Feature[], lastVisits: number): View {
  const findings = shownFeatures(patient, features, lastVisits).map((shown) => ({
    ...shown,
    flag: flagOf(shown.values[shown.values.length - 1], rangeOf(shown.feature, patient.sex)),
    lab: labByName(shown.feature.name),
  }));
  const far = findings.filter(({ flag }) => flag.length === 2);
  const near = findings.filter(({ flag }) => flag.length === 1);
  return { patient, findings, flagged: [...far, ...near] };
}

/** A list names at most this many findings: long lists cost tokens and say little more. */
const LIST_CAP = 5;

const name = (finding: Finding) => finding.feature.name;
const nameAndFlag = (finding: Finding) => `${finding.feature.name} ${finding.flag}`;

/** "a, b, c." or "none."; says how many were left out. */
function list(findings: readonly Finding[], show: (finding: Finding) => string): string {
  if (findings.length === 0) return 'None.';
  const rest = findings.length - LIST_CAP;
  return `${findings.slice(0, LIST_CAP).map(show).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}.`;
}

function isHigh({ flag }: Finding): boolean {
  return flag === 'H' || flag === 'HH';
}

function isLow({ flag }: Finding): boolean {
  return flag === 'L' || flag === 'LL';
}

/** "urea suggests kidney impairment; ..." for the first three findings that suggest something. */
function suggestions(findings: readonly Finding[]): string {
  const said = findings.flatMap((finding) => {
    const meaning = isHigh(finding) ? finding.lab?.highSuggests : finding.lab?.lowSuggests;
    return meaning === undefined ? [] : [`${name(finding)} suggests ${meaning}`];
  });
  return said.length === 0 ? 'Nothing specific.' : `${said.slice(0, 3).join('; ')}.`;
}

/** Body systems with a finding out of range, most findings first (far ones count twice). */
function systems(flagged: readonly Finding[]): BodySystem[] {
  const weight = new Map<BodySystem, number>();
  for (const { lab, flag } of flagged) {
    if (lab !== undefined) weight.set(lab.system, (weight.get(lab.system) ?? 0) + flag.length);
  }
  return [...weight].sort((a, b) => b[1] - a[1]).map(([system]) => system);
}

/** Mild, moderate or severe by the share of shown values out of range, far ones counting twice. */
function severityWord({ findings, flagged }: View): string {
  const burden = flagged.reduce((sum, { flag }) => sum + flag.length, 0) / findings.length;
  if (flagged.length === 0) return 'Normal';
  if (burden < 0.4) return 'Mild';
  return burden < 0.9 ? 'Moderate' : 'Severe';
}

/** How far a value lies outside its range, in flag levels. */
function level(value: number, finding: Finding, patient: Patient): number {
  return flagOf(value, rangeOf(finding.feature, patient.sex)).length;
}

function one(finding: Finding): string {
  const value = formatValue(finding.values[finding.values.length - 1], 3);
  return finding.flag === '' ? `${value}, within range` : `${value} ${finding.flag}`;
}

/** A question that can be asked of some views; null where it makes no sense. */
type Template = (view: View, rng: Rng) => Step | null;

/** The on-topic sub-questions. */
export const TEMPLATES: readonly Template[] = [
  ({ flagged }) => ({ question: 'Which values are abnormal?', answer: list(flagged, nameAndFlag) }),
  ({ flagged }) => ({
    question: 'Which values are far out of range?',
    answer: list(
      flagged.filter((f) => f.flag.length === 2),
      nameAndFlag,
    ),
  }),
  ({ flagged }) => ({ question: 'Which values are too high?', answer: list(flagged.filter(isHigh), nameAndFlag) }),
  ({ flagged }) => ({ question: 'Which values are too low?', answer: list(flagged.filter(isLow), nameAndFlag) }),
  ({ flagged }) => ({ question: 'What do the high values suggest?', answer: suggestions(flagged.filter(isHigh)) }),
  ({ flagged }) => ({ question: 'What do the low values suggest?', answer: suggestions(flagged.filter(isLow)) }),
  ({ flagged }) => {
    const affected = systems(flagged);
    return {
      question: 'Which body systems are affected?',
      answer: affected.length === 0 ? 'None.' : `${affected.slice(0, 4).join(', ')}.`,
    };
  },
  (view) => ({
    question: 'How severe is the picture overall?',
    answer: `${severityWord(view)}: ${view.flagged.length} of ${view.findings.length} values abnormal.`,
  }),
  ({ findings, flagged }) => ({ question: 'How many values are abnormal?', answer: `${flagged.length} of ${findings.length}.` }),
  ({ findings }, rng) => {
    const finding = rng.choice(findings);
    return { question: `Is ${name(finding)} abnormal?`, answer: `${finding.flag === '' ? 'No' : 'Yes'}, ${one(finding)}.` };
  },
  ({ findings }, rng) => {
    const finding = rng.choice(findings);
    return { question: `What is the latest ${name(finding)}?`, answer: `${one(finding)}.` };
  },
  ({ findings, flagged }, rng) => {
    const present = [...new Set(findings.flatMap(({ lab }) => lab?.system ?? []))];
    if (present.length === 0) return null;
    const system = rng.choice(present);
    const here = flagged.filter(({ lab }) => lab?.system === system);
    return {
      question: `Is there a problem with ${system}?`,
      answer: here.length === 0 ? 'No, within range.' : `Yes: ${list(here, nameAndFlag)}`,
    };
  },
  ({ findings }) => ({
    question: 'Which values are within range?',
    answer: list(
      findings.filter((f) => f.flag === ''),
      name,
    ),
  }),
  ({ flagged }) => ({
    question: 'What is the most striking finding?',
    answer: flagged.length === 0 ? 'None.' : `${nameAndFlag(flagged[0])}.`,
  }),
  ({ patient }) => {
    const age = Math.round(patient.age);
    return { question: 'Does age add to the risk?', answer: `${age >= 65 ? 'Yes' : age >= 45 ? 'Somewhat' : 'Little'}, age ${age}.` };
  },
  ({ patient, findings }) => {
    const series = findings.filter(({ values }) => values.length > 1);
    if (series.length === 0) return null;
    const worse = series.filter((f) => level(f.values[f.values.length - 1], f, patient) > level(f.values[0], f, patient));
    return { question: 'Which values are getting worse?', answer: list(worse, name) };
  },
  ({ patient, findings }) => {
    const series = findings.filter(({ values }) => values.length > 1);
    if (series.length === 0) return null;
    const better = series.filter((f) => level(f.values[f.values.length - 1], f, patient) < level(f.values[0], f, patient));
    return { question: 'Which values are improving?', answer: list(better, name) };
  },
  ({ findings }, rng) => {
    const series = findings.filter(({ values }) => values.length > 1);
    if (series.length === 0) return null;
    const finding = rng.choice(series);
    const first = finding.values[0];
    const last = finding.values[finding.values.length - 1];
    const trend = last > first ? 'Rising' : last < first ? 'Falling' : 'Stable';
    return {
      question: `What is the trend of ${name(finding)}?`,
      answer: `${trend}, from ${formatValue(first, 3)} to ${formatValue(last, 3)}.`,
    };
  },
];

/** `count` different true steps about a view, in random order. */
export function drawSteps(view: View, count: number, rng: Rng): Step[] {
  const steps: Step[] = [];
  for (const template of rng.shuffle(TEMPLATES)) {
    if (steps.length === count) break;
    const step = template(view, rng);
    if (step !== null) steps.push(step);
  }
  return steps;
}

const OFF_TOPIC: readonly string[] = [
  'What is the capital of France?',
  'Who won the match yesterday?',
  'What is the weather like today?',
  'How do you bake bread?',
  'What colour is the hospital wall?',
  'How many days are in a week?',
  'What is the name of the nurse?',
  'Which film should I watch?',
];

/** A sub-question that does not help: off topic, scrambled words, about a lab that is not shown, or one already asked. */
export function drawUselessQuestion(view: View, earlier: readonly Step[], absent: readonly Lab[], rng: Rng): string {
  const kind = rng.int(0, 3);
  if (kind === 0 && earlier.length > 0) return rng.choice(earlier).question;
  if (kind === 1 && absent.length > 0) return `Is ${rng.choice(absent).name} abnormal?`;
  if (kind === 2) {
    const words = drawSteps(view, 2, rng).flatMap((step) => step.question.replace('?', '').split(' '));
    return `${rng.shuffle(words).slice(0, 6).join(' ')}?`;
  }
  return rng.choice(OFF_TOPIC);
}
