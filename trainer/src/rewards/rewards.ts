/**
 * The reward of both stages (paper section "reward"; design eag-rl.md section 3):
 *
 *   R_cls = log(y p + (1 - y)(1 - p)) + Delta,   Delta = beta |p - 0.5| on the right side of 0.5, else 0      p in [0.01, 0.99]
 *   R_att = |C n C_exp| / |C u C_exp|            Jaccard of named features against the expert's top K
 *   R     = w_cls R_cls + w_att R_att
 *
 * Presets: `paper` w = (lambda, 1 - lambda), lambda = 0.6 [p]; `repo` w = (1, 0.1), with beta = 0.5 the weights of the authors'
 * repository, 1.0 log-likelihood + 0.5 separation + 0.1 IoU [a].
 */

import { foldName } from '../data/names.ts';
import type { Answer } from '../types.ts';

/** Probabilities are clipped to [0.01, 0.99]: the log is unbounded otherwise [d]. */
export const PROBABILITY_FLOOR = 0.01;

export interface RewardConfig {
  readonly preset: 'paper' | 'repo';
  /** Weight of R_cls against R_att, in [0, 1]; read by preset `paper` only. */
  readonly lambda: number;
  /** Bonus for distance from 0.5 on the right side. */
  readonly beta: number;
}

/** Columns of length N, one row per completion. */
export interface Rewards {
  readonly total: Float64Array;
  readonly classification: Float64Array;
  /** Jaccard, also the reward R_att. */
  readonly attention: Float64Array;
  readonly parseFailureRate: number;
}

/** R_cls of one answer; `null` (unparsable) earns log 0.01, the worst a stated probability can get. Range [log 0.01, log 0.99 + 0.49 beta]. */
export function classificationReward(label: 0 | 1, probability: number | null, beta: number): number {
  if (probability === null) return Math.log(PROBABILITY_FLOOR);
  if (!(probability >= 0 && probability <= 1)) {
    throw new RangeError(`classificationReward: expected a probability in [0, 1] or null, got ${probability}`);
  }
  const p = Math.min(1 - PROBABILITY_FLOOR, Math.max(PROBABILITY_FLOOR, probability));
  const likelihood = label === 1 ? p : 1 - p;
  const margin = likelihood > 0.5 ? beta * Math.abs(p - 0.5) : 0;
  return Math.log(likelihood) + margin;
}

/**
 * R_att: Jaccard of two sets, given as folded names (`foldName`) or feature indices; repeats count once.
 * Names that are no feature stay in the union, so stuffing names never pays. Two empty sets: 0, nothing was named.
 */
export function attentionReward<T extends string | number>(named: Iterable<T>, expert: Iterable<T>): number {
  const a = new Set(named);
  const b = new Set(expert);
  let shared = 0;
  for (const item of a) if (b.has(item)) shared++;
  const union = a.size + b.size - shared;
  return union === 0 ? 0 : shared / union;
}

/**
 * DAPO's soft over-long penalty (arXiv 2503.14476, equation 13), added to R; lengths in tokens, L_max the completion limit:
 *
 *   0 up to L_max - cache,   (L_max - cache - length) / cache up to L_max,   -1 beyond.   Range [-1, 0]; cache 0 is off.
 */
export function overlongPenalty(length: number, maxLength: number, cache: number): number {
  if (cache === 0) return 0;
  return Math.max(-1, Math.min(0, (maxLength - cache - length) / cache));
}

/** R of one completion from its two parts. */
export function totalReward(classification: number, attention: number, config: RewardConfig): number {
  const [weightCls, weightAtt] = config.preset === 'repo' ? [1, 0.1] : [config.lambda, 1 - config.lambda];
  return weightCls * classification + weightAtt * attention;
}

/**
 * Scores N completions; names in `answers[i].features` and `expertFeatures[i]` are folded here. An unparsable answer gets
 * R_cls = log 0.01 and R_att = 0 whatever it names, is counted and never dropped.
 * @throws RangeError when the columns differ in length.
 */
export function scoreAnswers(
  labels: readonly (0 | 1)[],
  answers: readonly Answer[],
  expertFeatures: readonly (readonly string[])[],
  config: RewardConfig,
): Rewards {
  const n = labels.length;
  if (answers.length !== n || expertFeatures.length !== n) {
    throw new RangeError(
      `scoreAnswers: expected three columns of one length, got labels ${n}, answers ${answers.length}, expertFeatures ${expertFeatures.length}`,
    );
  }
  const total = new Float64Array(n);
  const classification = new Float64Array(n);
  const attention = new Float64Array(n);
  let failures = 0;
  for (let i = 0; i < n; i++) {
    const { probability, features } = answers[i];
    if (probability === null) failures++;
    classification[i] = classificationReward(labels[i], probability, config.beta);
    attention[i] = probability === null ? 0 : attentionReward(features.map(foldName), expertFeatures[i].map(foldName));
    total[i] = totalReward(classification[i], attention[i], config);
  }
  return { total, classification, attention, parseFailureRate: n === 0 ? 0 : failures / n };
}
