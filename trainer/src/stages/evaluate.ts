/**
 * Evaluation: every patient of a split is asked once (or `num_samples` times), the verbalised number is the score.
 * An unparsable answer scores 0.5, counts in parse_failure_rate and is never dropped. Labels are read only after all answers are written.
 */
import type { Config } from '../config/schema.ts';
import { bootstrapMetrics, type Interval } from '../metrics/bootstrap.ts';
import type { MetricName } from '../metrics/classification.ts';
import { answerStops, generate, type Policy, promptTokens } from '../policy.ts';
import { attentionReward } from '../rewards/rewards.ts';
import type { Task } from '../tasks/task.ts';
import { matchFeatures, parseAnswer } from '../text/answer.ts';
import type { SplitName } from '../types.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { ahead, rehearseGeneration } from './ahead.ts';

/** One column per patient of the split, in its order. */
export interface Predictions {
  readonly ids: readonly string[];
  readonly labels: readonly (0 | 1)[];
  /** In [0, 1]; 0.5 where nothing could be read. */
  readonly probabilities: readonly number[];
  /** Indices of the named features (of the first sample), and how many names were no feature. */
  readonly features: readonly (readonly number[])[];
  /** Against the expert's features; null where no feature list was asked for. */
  readonly jaccard: number | null;
  readonly parseFailureRate: number;
  readonly meanTokens: number;
}

/** Feature indices the expert attends to, by patient id. */
export type ExpertFeatures = Readonly<Record<string, readonly number[]>>;

/** What a policy answered, patient by patient, before it is compared with anything. Columns in the order of the split. */
export interface Answers {
  readonly ids: readonly string[];
  readonly labels: readonly (0 | 1)[];
  /** In [0, 1]; 0.5 where nothing could be read. */
  readonly probabilities: readonly number[];
  /** Indices of the named features (of the first sample). */
  readonly features: readonly (readonly number[])[];
  /** How many of its names were no feature. */
  readonly unknown: readonly number[];
  /** Share of the patient's samples without a readable probability. */
  readonly unread: readonly number[];
  /** Mean tokens of the patient's samples. */
  readonly tokens: readonly number[];
}

/** Patients asked at a time: `eval.batch_size` sequences, or one patient's. */
export const patientsAtOnce = ({ batch_size, num_samples }: Config['eval']): number => Math.max(1, Math.floor(batch_size / num_samples));

/** Asks the policy about every patient of a split. */
export async function answerSplit(
  policy: Policy,
  task: Task,
  split: SplitName,
  config: Config['eval'],
  seed: number,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Answers> {
  const stops = answerStops(policy);
  const n = task.numExamples(split);
  const ids: string[] = [];
  const probabilities: number[] = [];
  const features: number[][] = [];
  const unknown: number[] = [];
  const unread: number[] = [];
  const tokens: number[] = [];
  const perBatch = patientsAtOnce(config);
  const sampling = { temperature: config.temperature, topK: 0, topP: config.top_p };
  await ahead(policy, (shadow) => {
    const prompts = Array.from({ length: Math.min(perBatch, n) }, (_, i) => promptTokens(policy, task.getExample(split, i).prompt).length);
    return rehearseGeneration(shadow, { prompts, maxTokens: config.max_completion_length, numGenerations: config.num_samples, sampling });
  });
  for (let at = 0; at < n; at += perBatch) {
    await yieldToEvents();
    const examples = Array.from({ length: Math.min(perBatch, n - at) }, (_, i) => task.getExample(split, at + i));
    const rollouts = await generate(
      policy,
      examples.map((e) => promptTokens(policy, e.prompt)),
      {
        numGenerations: config.num_samples,
        maxTokens: config.max_completion_length,
        ...stops,
        ...sampling,
        seed,
        streams: examples.map((_, i) => (at + i) * config.num_samples),
      },
    );
    examples.forEach(({ id }, i) => {
      const answers = rollouts[i].map((r) => parseAnswer(r.text));
      const read = answers.map((a) => a.probability).filter((p) => p !== null);
      const named = matchFeatures(answers[0].features, task.cohort.features);
      ids.push(id);
      probabilities.push(read.length > 0 ? read.reduce((a, b) => a + b, 0) / read.length : 0.5);
      features.push(named.indices);
      unknown.push(named.unknown);
      unread.push((answers.length - read.length) / answers.length);
      tokens.push(rollouts[i].reduce((sum, r) => sum + r.tokens.length, 0) / answers.length);
    });
    onProgress(Math.min(n, at + perBatch), n);
  }
  return { ids, labels: ids.map((_, i) => task.getExample(split, i).label), probabilities, features, unknown, unread, tokens };
}

export async function predict(
  policy: Policy,
  task: Task,
  split: SplitName,
  expertFeatures: ExpertFeatures,
  config: Config['eval'],
  seed: number,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<Predictions> {
  const { unknown, unread, tokens, ...columns } = await answerSplit(policy, task, split, config, seed, onProgress);
  const n = columns.ids.length;
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / n;
  return {
    ...columns,
    jaccard: mean(columns.ids.map((id, i) => jaccardOf({ indices: columns.features[i], unknown: unknown[i] }, expertFeatures[id]))),
    parseFailureRate: mean(unread),
    meanTokens: mean(tokens),
  };
}

/** Jaccard of named features with the expert's; a name that is no feature stays in the union. */
export function jaccardOf(named: { readonly indices: readonly number[]; readonly unknown: number }, expert: readonly number[]): number {
  // Unknown names as negative numbers: members of the union that no expert index equals.
  return attentionReward([...named.indices, ...Array.from({ length: named.unknown }, (_, i) => -1 - i)], expert);
}

/** Every metric with its bootstrap interval; people are drawn, and `subjects` says whose each row is. */
export function score(
  { labels, probabilities, subjects }: Pick<Predictions, 'labels' | 'probabilities'> & { readonly subjects: readonly string[] },
  config: Config['eval'],
  seed: number,
): Record<MetricName, Interval> {
  return bootstrapMetrics(labels, probabilities, { numBootstrap: config.num_bootstrap, seed, subjects });
}
