/** Rewards of many answers in one launch: names become bitsets, the kernel does the rest (kernels/src/rollout_score). */
import { rolloutScore } from '@eagrl/kernels';
import type { Backend } from '@eagrl/runtime';
import { PROBABILITY_FLOOR, type RewardConfig } from '../rewards/rewards.ts';
import { matchFeatures } from '../text/answer.ts';
import type { Answer, Feature } from '../types.ts';

export interface ScoreInput {
  readonly label: 0 | 1;
  readonly answer: Answer;
  /** Indices of the expert's features for this patient. */
  readonly expert: readonly number[];
}

export interface ScoreRow {
  readonly total: number;
  readonly classification: number;
  /** Jaccard. */
  readonly attention: number;
  readonly parsed: boolean;
}

export async function scoreAnswersOnDevice(
  backend: Backend,
  features: readonly Feature[],
  items: readonly ScoreInput[],
  config: RewardConfig,
): Promise<ScoreRow[]> {
  const n = items.length;
  if (n === 0) return [];
  const words = Math.ceil(features.length / 32);
  const answers = new Float32Array(n * 2);
  const labels = new Float32Array(n);
  const named = new Uint32Array(n * words);
  const expert = new Uint32Array(n * words);
  const set = (bits: Uint32Array, row: number, indices: readonly number[]) => {
    for (const i of indices) bits[row * words + (i >>> 5)] |= 1 << (i & 31);
  };
  items.forEach((item, row) => {
    const match = matchFeatures(item.answer.features, features);
    answers[2 * row] = item.answer.probability ?? -1;
    answers[2 * row + 1] = match.unknown;
    labels[row] = item.label;
    set(named, row, match.indices);
    set(expert, row, item.expert);
  });
  const buffers = [n * 4, n * 2, n, n * words, n * words].map((length) => backend.alloc(length));
  const slices = buffers.map((buffer, i) => ({ buffer, offset: 0, length: [n * 4, n * 2, n, n * words, n * words][i] }));
  [answers, labels, named, expert].forEach((data, i) => {
    backend.write(slices[i + 1], data);
  });
  const [weightClassification, weightAttention] = config.preset === 'repo' ? [1, 0.1] : [config.lambda, 1 - config.lambda];
  backend.dispatch(rolloutScore, 'rollout_score', slices, {
    n,
    words,
    weight_classification: weightClassification,
    weight_attention: weightAttention,
    beta: config.beta,
    floor: PROBABILITY_FLOOR,
  });
  const rows = await backend.read(slices[0], 'f32');
  for (const b of buffers) backend.free(b);
  return items.map((_, i) => ({
    total: rows[4 * i],
    classification: rows[4 * i + 1],
    attention: rows[4 * i + 2],
    parsed: rows[4 * i + 3] > 0,
  }));
}
