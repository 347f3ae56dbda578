/**
 * The answer grammar, written and read.
 *
 *     completion = step* final
 *     step       = <Subquestion>q</Subquestion> <Answer>a</Answer> newline
 *     final      = <Final subquestion>q</Final subquestion> newline
 *                  <Important Features> a, b, c</Important Features> newline
 *                  <Final answer>0.75</Final answer>
 *
 * Any part but the final answer may be absent. The features start with a space, so that each name is the same tokens as in
 * the prompt.
 */

import { labByName } from '../data/lab_dictionary.ts';
import { foldName } from '../data/names.ts';
import type { Answer, Feature } from '../types.ts';
import { IM_END, TAGS } from './special_tokens.ts';
import { TextStream } from './text_stream.ts';
import type { Tokenizer } from './tokenizer.ts';

export { foldName };

/** One sub-question with its answer. */
export interface Step {
  readonly question: string;
  readonly answer: string;
}

function tagged([open, close]: readonly [string, string], text: string): string {
  return open + text + close;
}

/** A step with its newline. */
export function formatStep({ question, answer }: Step): string {
  return `${tagged(TAGS.subquestion, question)} ${tagged(TAGS.answer, answer)}\n`;
}

/** A final part without steps. `probability` is written with two decimals, clipped to 0.01..0.99. */
export function formatFinal(question: string | null, features: readonly string[] | null, probability: number): string {
  if (!Number.isFinite(probability)) throw new RangeError(`formatFinal: expected a probability, got ${probability}`);
  const number = Math.min(0.99, Math.max(0.01, probability)).toFixed(2);
  const head = question === null ? '' : finalOpening(question);
  const names = features === null ? '' : `${tagged(TAGS.importantFeatures, ` ${features.join(', ')}`)}\n`;
  return head + names + tagged(TAGS.finalAnswer, number);
}

/** A whole trajectory; it has no end token. */
export function formatTrajectory(steps: readonly Step[], finalQuestion: string, features: readonly string[], probability: number): string {
  return steps.map(formatStep).join('') + formatFinal(finalQuestion, features, probability);
}

/** The final sub-question of a task; `outcome` as in OUTCOMES. */
export function finalQuestion(outcome: string): string {
  return `How likely is ${outcome}?`;
}

/** Text after which only the features and the final answer can follow: a search appends it to force a trajectory to end. */
export function finalOpening(question: string): string {
  return `${tagged(TAGS.finalSubquestion, question)}\n`;
}

/** Everything before the end token: what follows it is another turn. */
function firstTurn(text: string): string {
  const end = text.indexOf(IM_END);
  return end < 0 ? text : text.slice(0, end);
}

/** Content of the first complete `tag` in text[from..], and where it ends. */
function between(text: string, [open, close]: readonly [string, string], from = 0): { content: string; end: number; start: number } | null {
  const start = text.indexOf(open, from);
  if (start < 0) return null;
  const end = text.indexOf(close, start + open.length);
  if (end < 0) return null;
  return { content: text.slice(start + open.length, end), start, end: end + close.length };
}

/** A decimal number in 0..1 and nothing else: `75%`, `1e-2`, `.5.` and `0,7` are not. */
const NUMBER = /^\s*(?:0?\.\d+|0|0\.|1(?:\.0*)?)\s*$/;

/**
 * Reads a completion.
 *
 * The first complete <Final answer> decides; it must hold a plain number in 0..1, otherwise the probability is null (also
 * when a later one would parse: a policy must not earn by writing many). A percentage is not accepted: "1%" and "1" would
 * differ by a factor of 100. The features are those of the first complete <Important Features> before that final answer;
 * without any final answer, those of the first in the text.
 */
export function parseAnswer(text: string): Answer {
  const turn = firstTurn(text);
  const final = between(turn, TAGS.finalAnswer);
  const probability = final !== null && NUMBER.test(final.content) ? Number(final.content) : null;
  const block = between(final === null ? turn : turn.slice(0, final.start), TAGS.importantFeatures);
  const seen = new Set<string>();
  const features: string[] = [];
  for (const part of block?.content.split(/[,;\n]/) ?? []) {
    const folded = foldName(part);
    if (folded === '' || seen.has(folded)) continue;
    seen.add(folded);
    features.push(part.trim());
  }
  return { probability, features };
}

/** The complete steps of a completion, in order; an unfinished one is left out. */
export function parseSteps(text: string): Step[] {
  const turn = firstTurn(text);
  const steps: Step[] = [];
  let from = 0;
  for (;;) {
    const question = between(turn, TAGS.subquestion, from);
    if (question === null) return steps;
    const answer = between(turn, TAGS.answer, question.end);
    if (answer === null) return steps;
    steps.push({ question: question.content.trim(), answer: answer.content.trim() });
    from = answer.end;
  }
}

/**
 * Named features as positions in the cohort's features (ascending, unique) and the number of names that are none of them.
 * A name counts when it folds to a feature's name, its source column, or an alias in the lab dictionary.
 */
export function matchFeatures(names: readonly string[], features: readonly Feature[]): { indices: number[]; unknown: number } {
  const known = new Map<string, number>();
  features.forEach((feature, f) => {
    for (const alias of labByName(feature.name)?.aliases ?? []) known.set(foldName(alias), f);
  });
  // Second, so that a feature's own name wins over another's alias.
  features.forEach((feature, f) => {
    known.set(foldName(feature.key), f);
    known.set(foldName(feature.name), f);
  });
  const indices = new Set<number>();
  const unknown = new Set<string>();
  for (const name of names) {
    const folded = foldName(name);
    const index = known.get(folded);
    if (index === undefined) unknown.add(folded);
    else indices.add(index);
  }
  return { indices: [...indices].sort((a, b) => a - b), unknown: unknown.size };
}

const FEATURE_TAGS = new RegExp(TAGS.importantFeatures.join('|'), 'g');

/**
 * 1 on each token with a character inside <Important Features>..</Important Features>, tags left out; an unclosed block runs to the end.
 * A tag may be one token or several, and share its last with what follows. Tokens that complete no character count where they stand.
 * @param tokenIds (T) ids of a completion
 * @returns (T) mask
 */
export function featureTokenMask(tokenIds: ArrayLike<number>, tokenizer: Pick<Tokenizer, 'decode'>): Uint8Array {
  const stream = new TextStream(tokenizer);
  const ends: number[] = [];
  let text = '';
  for (let t = 0; t < tokenIds.length; t++) {
    text += stream.push(tokenIds[t]);
    ends.push(text.length);
  }
  text += stream.end();
  const inside = new Uint8Array(text.length + 1);
  let from = -1;
  for (const { 0: tag, index } of text.matchAll(FEATURE_TAGS)) {
    if (from >= 0) inside.fill(1, from, index);
    from = tag === TAGS.importantFeatures[0] ? index + tag.length : -1;
  }
  if (from >= 0) inside.fill(1, from);
  return Uint8Array.from(ends, (end, t) => {
    const start = t === 0 ? 0 : ends[t - 1];
    return Number(inside.subarray(start, Math.max(end, start + 1)).includes(1));
  });
}
