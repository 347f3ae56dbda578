/**
 * Pretraining corpus: generated clinical text that teaches a small model the prompt, the answer grammar, the labs with their
 * ranges and flags, and true but shallow reading. Patients are random: no cohort, no outcome, nobody's severity.
 *
 *     final probability = sigmoid(1.1 * (burden - its mean) / its sd + 1.5 * noise),  burden = mean flag level of the shown values
 *
 * a noisy monotone function of how abnormal a record looks: well-formed and only weakly informed, as a general model's is.
 */

import { featureOf, LABS, type Lab } from '../data/lab_dictionary.ts';
import { farLimits, flagOf, type Range, rangeOf } from '../data/range.ts';
import { Rng } from '../data/rng.ts';
import type { Cohort, Patient, Sex } from '../types.ts';
import { finalQuestion, formatFinal, formatStep, type Step } from './answer.ts';
import { chatPrompt } from './chat.ts';
import { correctProbe, searchContext, usefulProbe } from './probe.ts';
import { type AnswerStyle, buildPrompt, formatValue, OUTCOMES } from './prompt.ts';
import { drawSteps, drawUselessQuestion, type View, viewOf } from './questions.ts';
import { IM_END } from './special_tokens.ts';

/** What a document teaches. */
export type DocumentKind = 'statement' | 'reasoning' | 'panel' | 'direct' | 'useful' | 'correct';

/** One training document. The training sequence is prompt + completion; a statement has no prompt. Both hold their special tokens. */
export interface Document {
  readonly kind: DocumentKind;
  /** Chat frame up to where the model speaks; '' for a statement. */
  readonly prompt: string;
  /** What the model writes, end token included. */
  readonly completion: string;
}

/** Share of each kind. A `panel` is a reasoning document over 30 to 73 of the labs of a hospital panel, latest values only. */
const SHARES: readonly (readonly [DocumentKind, number])[] = [
  ['statement', 0.12],
  ['reasoning', 0.5],
  ['panel', 0.08],
  ['direct', 0.14],
  ['useful', 0.08],
  ['correct', 0.08],
];

// ---------------------------------------------------------------- random patients

type Position = 'within' | 'high' | 'far high' | 'low' | 'far low';

/** Positions that exist for a lab: a score at its maximum cannot be high, an absent limit cannot be crossed. */
function positions(range: Range, max: number): Position[] {
  const far = farLimits(range);
  const all: Position[] = ['within'];
  if (range.high !== undefined && range.high < max) all.push('high');
  if (far.high !== undefined && far.high < max) all.push('far high');
  if (range.low !== undefined && range.low > 0) all.push('low', 'far low');
  return all;
}

function drawValue(lab: Lab, range: Range, position: Position, rng: Rng): number {
  const max = lab.max ?? Number.POSITIVE_INFINITY;
  const { low, high } = range;
  const far = farLimits(range);
  const span = (from: number, to: number) => rng.uniform(from, Math.min(to, max));
  // Enzymes and markers leave their range by factors; what the body regulates within a narrow range (pH, sodium) by small steps.
  const narrow = low !== undefined && high !== undefined && high - low < 0.3 * high;
  const beyond = Math.abs(rng.normal(0, 0.6));
  const tail = (limit: number, sign: 1 | -1) => (narrow ? limit + sign * beyond * (high - low) : limit * Math.exp(sign * beyond));
  let value: number;
  if (position === 'far high') value = tail(far.high as number, 1);
  else if (position === 'far low') value = tail(far.low as number, -1);
  else if (position === 'high') value = span(high as number, far.high as number);
  else if (position === 'low') value = rng.uniform(far.low as number, low as number);
  else value = span(low ?? 0, high ?? Math.min(max, (low ?? 1) * 1.4));
  const rounded = lab.integer ? Math.round(value) : Number(value.toPrecision(narrow || rng.chance(0.5) ? 3 : 2));
  return Math.min(max, rounded);
}

/** A random patient over `labs`. Each lab keeps its position at most visits, so that trends exist and are not the rule. */
function drawPatient(labs: readonly Lab[], id: string, rng: Rng): Patient {
  const sex: Sex = rng.chance(0.5) ? 'male' : 'female';
  const visitTimes = [0];
  const visits = rng.int(1, 9);
  while (visitTimes.length < visits) visitTimes.push(visitTimes[visitTimes.length - 1] + rng.int(1, 4));
  const abnormal = rng.uniform(0.05, 0.9);
  const far = rng.uniform(0.1, 0.9);
  const density = rng.uniform(0.4, 1);
  const values = labs.map((lab) => {
    const range = rangeOf(featureOf(lab), sex);
    const possible = positions(range, lab.max ?? Number.POSITIVE_INFINITY);
    const draw = (): Position => {
      if (possible.length === 1 || !rng.chance(abnormal)) return 'within';
      const isFar = rng.chance(far);
      const level = possible.filter((p) => p !== 'within' && p.startsWith('far') === isFar);
      return rng.choice(level.length > 0 ? level : possible.slice(1));
    };
    let position = draw();
    return visitTimes.map(() => {
      if (rng.chance(0.25)) position = draw();
      return rng.chance(density) ? drawValue(lab, range, position, rng) : null;
    });
  });
  return { id, sex, age: rng.int(18, 95), visitTimes, values, label: 0 };
}

// ---------------------------------------------------------------- documents

/** A random record as a reader sees it; `prompt` builds its prompt (without chat frame) for a style of answer. */
interface Case {
  readonly view: View;
  readonly outcome: string;
  readonly absent: readonly Lab[];
  readonly prompt: (answer: AnswerStyle) => string;
}

function drawCase(labs: readonly Lab[], count: number, lastVisits: number, rng: Rng): Case {
  // A stable subset in the table's order half of the time: real records list related labs together.
  const picked = new Set(rng.sample(labs, count));
  const chosen = rng.chance(0.5) ? labs.filter((lab) => picked.has(lab)) : [...picked];
  const features = chosen.map((lab) => featureOf(lab));
  const units = rng.chance(0.15);
  for (let attempt = 0; ; attempt++) {
    const patient = drawPatient(chosen, `random ${attempt}`, rng);
    const view = viewOf(patient, features, lastVisits);
    if (view.findings.length < 4) continue;
    const task: Cohort['task'] = rng.chance(0.8) ? 'mortality' : 'readmission';
    const shown = new Set(view.findings.map(({ feature }) => feature.name));
    return {
      view,
      outcome: OUTCOMES[task],
      absent: labs.filter((lab) => !shown.has(lab.name)),
      prompt: (answer) => buildPrompt(patient, { task, features }, { form: 'compact', lastVisits, units, flags: true, answer }),
    };
  }
}

/** Mean and standard deviation of the burden over random records (measured on 6,000 documents, seed 1). */
const BURDEN = { mean: 0.71, sd: 0.43 } as const;

function drawProbability({ findings, flagged }: View, rng: Rng): number {
  const burden = flagged.reduce((sum, { flag }) => sum + flag.length, 0) / findings.length;
  const logit = (1.1 * (burden - BURDEN.mean)) / BURDEN.sd + rng.normal(0, 1.5);
  return 1 / (1 + Math.exp(-logit));
}

/** 3 to 6 names, about three in four of them out of range when there are enough. */
function drawFeatures({ findings, flagged }: View, rng: Rng): string[] {
  const count = Math.min(findings.length, rng.int(3, 6));
  const wanted = Array.from({ length: count }, () => rng.chance(0.75)).filter((yes) => yes).length;
  const abnormal = rng.sample(flagged, wanted);
  const others = rng.sample(
    findings.filter((finding) => !abnormal.includes(finding)),
    count - abnormal.length,
  );
  return [...abnormal, ...others].map(({ feature }) => feature.name);
}

function reasoning(item: Case, rng: Rng): Document {
  const { view, outcome } = item;
  const steps = drawSteps(view, rng.weighted([0.06, 0.5, 0.36, 0.08]), rng);
  const final = formatFinal(finalQuestion(outcome), drawFeatures(view, rng), drawProbability(view, rng));
  return {
    kind: 'reasoning',
    prompt: chatPrompt(item.prompt('steps')),
    completion: steps.map(formatStep).join('') + final + IM_END,
  };
}

function direct(item: Case, rng: Rng): Document {
  const { view } = item;
  const style: AnswerStyle = rng.chance(0.6) ? 'features' : 'number';
  const features = style === 'features' ? drawFeatures(view, rng) : null;
  return {
    kind: 'direct',
    prompt: chatPrompt(item.prompt(style)),
    completion: formatFinal(null, features, drawProbability(view, rng)) + IM_END,
  };
}

function useful(item: Case, rng: Rng): Document {
  const { view, absent } = item;
  const steps = drawSteps(view, rng.int(1, 3), rng);
  const earlier = steps.slice(1);
  const yes = rng.chance(0.5);
  const question = yes ? steps[0].question : drawUselessQuestion(view, earlier, absent, rng);
  return {
    kind: 'useful',
    prompt: searchContext(item.prompt('steps'), earlier) + usefulProbe(question),
    completion: (yes ? 'Yes' : 'No') + IM_END,
  };
}

/** A wrong answer to a step: a true answer to another question, or the answer to the same question about another record. */
function drawWrongAnswer(step: Step, view: View, other: View, rng: Rng): string | null {
  const source = rng.chance(0.5) ? view : other;
  const candidates = drawSteps(source, Number.POSITIVE_INFINITY, rng).filter(({ question, answer }) => {
    const same = question === step.question;
    return answer !== step.answer && (source === other ? same : !same);
  });
  return candidates.length === 0 ? null : rng.choice(candidates).answer;
}

function correct(item: Case, other: Case, rng: Rng): Document {
  const steps = drawSteps(item.view, rng.int(1, 3), rng);
  const step = steps[0];
  const wrong = rng.chance(0.5) ? drawWrongAnswer(step, item.view, other.view, rng) : null;
  const asked = wrong === null ? step : { question: step.question, answer: wrong };
  return {
    kind: 'correct',
    prompt: searchContext(item.prompt('steps'), steps.slice(1)) + correctProbe(asked),
    completion: (wrong === null ? 'Yes' : 'No') + IM_END,
  };
}

function limitsText({ low, high }: Range): string | null {
  if (low !== undefined && high !== undefined) return `${low} to ${high}`;
  if (high !== undefined) return `below ${high}`;
  return low === undefined ? null : `above ${low}`;
}

/** One to three facts about one lab. */
function statement(lab: Lab, rng: Rng): Document {
  const { name, unit, system, highSuggests, lowSuggests } = lab;
  const sex: Sex = rng.chance(0.5) ? 'male' : 'female';
  const range = rangeOf(featureOf(lab), sex);
  const limits = limitsText(range);
  const who = lab.lowFemale === undefined && lab.highFemale === undefined ? '' : ` for a ${sex} patient`;
  const facts = [`The ${name} belongs to ${system}.`];
  if (unit !== undefined) facts.push(`The unit of ${name} is ${unit}.`);
  if (limits !== null) facts.push(`The reference range of ${name}${who} is ${limits}.`);
  if (highSuggests !== undefined) facts.push(`A high ${name} suggests ${highSuggests}.`);
  if (lowSuggests !== undefined) facts.push(`A low ${name} suggests ${lowSuggests}.`);
  for (const position of rng.sample(positions(range, lab.max ?? Number.POSITIVE_INFINITY), 2)) {
    const value = drawValue(lab, range, position, rng);
    const flag = flagOf(value, range);
    facts.push(`The value ${name}:${formatValue(value, 3)}${who} is ${flag === '' ? 'within range' : `flagged ${flag}`}.`);
  }
  return { kind: 'statement', prompt: '', completion: rng.sample(facts, rng.int(1, 3)).join(' ') + IM_END };
}

/** Document `index` of a corpus: a function of (seed, index, labs). */
export function generateDocument(seed: number, index: number, labs: readonly Lab[]): Document {
  const { kind, prompt, completions } = generateDocumentGroup(seed, index, labs);
  return { kind, prompt, completion: completions[0] };
}

/**
 * A record of 8 to 24 labs with up to three values each; one in seven has 25 to 45, latest values only. `maxLabs` cuts both: reading
 * is learnt on short records first.
 */
function drawRecord(labs: readonly Lab[], rng: Rng, maxLabs = Number.POSITIVE_INFINITY): Case {
  const large = rng.chance(0.15);
  const count = Math.min(labs.length, large ? rng.int(25, 45) : rng.int(8, 24));
  const lastVisits = large ? 1 : 1 + rng.weighted([0.65, 0.2, 0.15]);
  return drawCase(labs, count > maxLabs ? rng.int(4, maxLabs) : count, lastVisits, rng);
}

/** A record of 30 to 73 labs of the hospital panel. */
function drawPanel(labs: readonly Lab[], rng: Rng): Case {
  const panel = labs.filter((lab) => lab.tjh !== undefined);
  return drawCase(panel, rng.int(Math.min(30, panel.length), panel.length), 1, rng);
}

/** Documents about one record that share their prompt, which a packed batch then stores and reads once. */
export interface DocumentGroup {
  readonly kind: DocumentKind;
  readonly prompt: string;
  readonly completions: readonly string[];
}

/** Different readings of one record; the prompt is two to four times as long as one of them. */
const READINGS = 4;

/**
 * Group `index` of a corpus: a function of (seed, index, labs, maxLabs). Reasoning and panel documents come with READINGS completions,
 * drawn independently; the other kinds stand alone. With `maxLabs` a record has at most so many labs, and there are no panels.
 */
export function generateDocumentGroup(
  seed: number,
  index: number,
  labs: readonly Lab[],
  maxLabs = Number.POSITIVE_INFINITY,
): DocumentGroup {
  const rng = new Rng(seed, `document ${index}`);
  const drawn = SHARES[rng.weighted(SHARES.map(([, share]) => share))][0];
  const kind = drawn === 'panel' && Number.isFinite(maxLabs) ? 'reasoning' : drawn;
  const alone = ({ prompt, completion }: Document): DocumentGroup => ({ kind, prompt, completions: [completion] });
  if (kind === 'statement') return alone(statement(rng.choice(labs), rng));
  const item = kind === 'panel' ? drawPanel(labs, rng) : drawRecord(labs, rng, maxLabs);
  if (kind === 'direct') return alone(direct(item, rng));
  if (kind === 'useful') return alone(useful(item, rng));
  if (kind === 'correct') return alone(correct(item, drawRecord(labs, rng, maxLabs), rng));
  const readings = Array.from({ length: READINGS }, () => reasoning(item, rng));
  return { kind, prompt: readings[0].prompt, completions: readings.map((r) => r.completion) };
}

/** What to generate. `labs`: by default the whole dictionary; at least 8, one of them on the hospital panel. */
export interface CorpusOptions {
  readonly seed: number;
  readonly count: number;
  readonly labs?: readonly Lab[];
}

/** Generates documents; document i depends on (seed, i, labs) alone. Throws RangeError when there are too few labs. */
export function* generateDocuments({ seed, count, labs = LABS }: CorpusOptions): Generator<Document> {
  if (labs.length < 8 || !labs.some((lab) => lab.tjh !== undefined)) {
    throw new RangeError(`generateDocuments: expected at least 8 labs, one of them with a TJH column, got ${labs.length}`);
  }
  for (let i = 0; i < count; i++) yield generateDocument(seed, i, labs);
}
