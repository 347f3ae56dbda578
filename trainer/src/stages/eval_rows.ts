/** The rows of the table that every run ends with, from what each predictor said of the test patients. */
import type { Config } from '../config/schema.ts';
import { subjectsOf } from '../data/splits.ts';
import { type Interval, pairedBootstrap } from '../metrics/bootstrap.ts';
import { METRIC_NAMES, type MetricName } from '../metrics/classification.ts';
import type { EvalName, EvalRow, PairedDifference } from '../report/summary.ts';
import type { Cohort } from '../types.ts';
import { type Predictions, score } from './evaluate.ts';
import type { ExpertResult } from './expert.ts';

/** What each policy row is asked, and the track whose training it answers from (null: the base policy). */
export const POLICIES = [
  { name: 'zero_shot', track: null, answer: 'steps' },
  { name: 'sft_answer', track: 'sft_answer', answer: 'number' },
  { name: 'stage1', track: 'sft', answer: 'steps' },
  { name: 'stage2', track: 'rl', answer: 'steps' },
] as const;
export type PolicyName = (typeof POLICIES)[number]['name'];

/** Differences the report states: a - b on the same patients. */
const PAIRS: readonly (readonly [EvalName, EvalName])[] = [
  ['stage1', 'zero_shot'],
  ['stage2', 'stage1'],
  ['stage2', 'sft_answer'],
  ['stage2', 'expert'],
];

/** What one predictor said; null where it names nothing, or nothing is parsed. */
export interface Said {
  readonly name: EvalName;
  /** `subjects`: whose each row is. */
  readonly columns: Pick<Predictions, 'ids' | 'labels' | 'probabilities'> & { readonly subjects: readonly string[] };
  readonly jaccard: number | null;
  readonly parseFailureRate: number | null;
}

/** The policies, the expert and, for a generated cohort, its own probabilities; in the table's order. */
export function saidBy(cohort: Cohort, expert: ExpertResult, predictions: Readonly<Record<PolicyName, Predictions>>): Said[] {
  const { ids, labels } = predictions.zero_shot;
  const subjects = subjectsOf(cohort, ids);
  const given = (name: EvalName, by: Readonly<Record<string, number>>): Said => ({
    name,
    columns: { ids, labels, subjects, probabilities: ids.map((id) => by[id]) },
    jaccard: null,
    parseFailureRate: null,
  });
  return [
    ...POLICIES.map(({ name, answer }): Said => {
      const p = predictions[name];
      return { name, columns: { ...p, subjects }, jaccard: answer === 'number' ? null : p.jaccard, parseFailureRate: p.parseFailureRate };
    }),
    given('expert', expert.probabilities),
    ...(cohort.truth ? [given('bayes', cohort.truth.bayes)] : []),
  ];
}

/** Paired bootstrap of AUROC. */
export function pairedDifferences(rows: readonly Said[], config: Pick<Config, 'eval' | 'seed'>): PairedDifference[] {
  const of = (name: EvalName) => rows.find((r) => r.name === name)!.columns;
  return PAIRS.map(([better, than]) => {
    const { labels, subjects, probabilities } = of(better);
    const options = { numBootstrap: config.eval.num_bootstrap, seed: config.seed, subjects };
    const { auroc } = pairedBootstrap(labels, probabilities, of(than).probabilities, options);
    return { better, than, metric: 'auroc', difference: auroc.value, lower: auroc.lower, upper: auroc.upper };
  });
}

/** One row of the table, and every metric with its interval. */
export function evalRow(
  { columns, jaccard, parseFailureRate }: Said,
  config: Pick<Config, 'eval' | 'seed'>,
): { readonly row: EvalRow; readonly intervals: Readonly<Record<MetricName, Interval>> } {
  const intervals = score(columns, config.eval, config.seed);
  const { auroc, auprc, brier } = intervals;
  const n = columns.labels.length;
  const people = new Set(columns.subjects).size;
  const row = {
    n,
    ...(people < n ? { people } : {}),
    prevalence: columns.labels.reduce<number>((a, b) => a + b, 0) / n,
    auroc: auroc.value,
    auroc_lower: auroc.lower,
    auroc_upper: auroc.upper,
    auprc: auprc.value,
    auprc_lower: auprc.lower,
    auprc_upper: auprc.upper,
    brier: brier.value,
    jaccard,
    parse_failure_rate: parseFailureRate,
  };
  return { row, intervals };
}

/** Each metric and its `_std`, `_lower` and `_upper`, as metrics.jsonl names them. */
export function loggedMetrics(
  { name, task }: Pick<Cohort, 'name' | 'task'>,
  intervals: Readonly<Record<MetricName, Interval>>,
): Record<string, number> {
  const entries = METRIC_NAMES.flatMap((metric): [string, number][] => {
    const key = `eval/${name}/${task}/${metric}`;
    const { value, std, lower, upper } = intervals[metric];
    return [
      [key, value],
      [`${key}_std`, std],
      [`${key}_lower`, lower],
      [`${key}_upper`, upper],
    ];
  });
  return Object.fromEntries(entries);
}
