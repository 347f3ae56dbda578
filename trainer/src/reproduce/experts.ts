/** The experts side by side: what an ensemble adds, how far its probabilities can be believed, how steady its top K is. Nothing is trained here. */
import { auroc, expectedCalibrationError } from '../metrics/classification.ts';
import { attentionReward } from '../rewards/rewards.ts';
import { type Member, readExperts } from '../stages/expert.ts';
import type { Cohort } from '../types.ts';
import { causalFeatures, type FeatureLists } from './rows.ts';
import type { Table } from './tables.ts';

/** One kind of expert on one cohort: its ensemble at each seed. */
export interface ExpertSeeds {
  readonly label: string;
  readonly cohort: Cohort;
  /** C_exp's size. */
  readonly topK: number;
  readonly seeds: readonly { readonly seed: number; readonly members: readonly Member[] }[];
}

export interface ExpertRow {
  readonly label: string;
  readonly seed: number;
  readonly members: number;
  /** Means over the members. */
  readonly valAuroc: number;
  readonly auroc: number;
  readonly ece: number;
  /** Of the ensemble, on the test patients. */
  readonly ensembleAuroc: number;
  readonly ensembleEce: number;
  /** Mean Jaccard of the top K of two members, over pairs and test patients; null for one member. */
  readonly stability: number | null;
  /** The same of this seed's ensemble with those of the other seeds; null for one seed. */
  readonly seedStability: number | null;
  /** Jaccard of the ensemble's top K with what drives the outcome; generated cohorts only. */
  readonly truth: number | null;
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Mean Jaccard over the given patients. */
const agreement = (ids: readonly string[], a: FeatureLists, b: FeatureLists): number =>
  mean(ids.map((id) => attentionReward(a[id], b[id])));

/** One row per kind and seed. */
export function expertRows(experts: readonly ExpertSeeds[]): ExpertRow[] {
  return experts.flatMap(({ label, cohort, topK, seeds }) => {
    const { test } = cohort.splits;
    const labelOf = new Map(cohort.patients.map((p) => [p.id, p.label]));
    const labels = test.map((id) => labelOf.get(id) as 0 | 1);
    const causal = causalFeatures(cohort);
    const read = (members: readonly Member[]) => readExperts(members, cohort, topK);
    const scores = (probabilities: Readonly<Record<string, number>>) => test.map((id) => probabilities[id]);
    const ensembles = seeds.map(({ members }) => read(members));
    return seeds.map(({ seed, members }, s): ExpertRow => {
      const single = members.map((member) => read([member]));
      const pairs = single.flatMap((a, i) => single.slice(i + 1).map((b) => agreement(test, a.features, b.features)));
      const others = ensembles.filter((_, i) => i !== s).map((other) => agreement(test, ensembles[s].features, other.features));
      return {
        label,
        seed,
        members: members.length,
        valAuroc: mean(members.map((m) => m.valAuroc)),
        auroc: mean(single.map(({ probabilities }) => auroc(labels, scores(probabilities)))),
        ece: mean(single.map(({ probabilities }) => expectedCalibrationError(labels, scores(probabilities)))),
        ensembleAuroc: auroc(labels, scores(ensembles[s].probabilities)),
        ensembleEce: expectedCalibrationError(labels, scores(ensembles[s].probabilities)),
        stability: pairs.length === 0 ? null : mean(pairs),
        seedStability: others.length === 0 ? null : mean(others),
        truth: causal === null ? null : agreement(test, ensembles[s].features, causal),
      };
    });
  });
}

export function expertTable(rows: readonly ExpertRow[]): Table {
  const three = (x: number | null): string => (x === null ? '-' : x.toFixed(3));
  return {
    head: [
      'Expert',
      'seed',
      'members',
      'AUROC, validation, member',
      'AUROC, member',
      'AUROC, ensemble',
      'ECE, member',
      'ECE, ensemble',
      'top K, Jaccard of members',
      'top K, Jaccard of seeds',
      'top K, Jaccard with the truth',
    ],
    body: rows.map((r) => [
      r.label,
      String(r.seed),
      String(r.members),
      ...[r.valAuroc, r.auroc, r.ensembleAuroc, r.ece, r.ensembleEce, r.stability, r.seedStability, r.truth].map(three),
    ]),
  };
}
