/** summary.json: what a run comes to, for machines. */

/** Rows of the headline table, in its order. `bayes`: the generator's own probability, synthetic cohorts only. */
export const EVAL_NAMES = ['zero_shot', 'sft_answer', 'stage1', 'stage2', 'expert', 'bayes'] as const;
export type EvalName = (typeof EVAL_NAMES)[number];

export const EVAL_LABELS: Readonly<Record<EvalName, string>> = {
  zero_shot: 'Policy, zero-shot',
  sft_answer: 'Policy, SFT on bare answers',
  stage1: 'Policy after Stage 1',
  stage2: 'Policy after Stage 2',
  expert: 'Expert',
  bayes: 'Bayes optimum (ceiling)',
};

/** One predictor on the test patients. Bounds: 2.5 and 97.5 percentiles of the patient-level bootstrap. */
export interface EvalRow {
  readonly n: number;
  /** Absent where it is n: the rows are ICU stays, and some are of the same patient. */
  readonly people?: number;
  readonly prevalence: number;
  readonly auroc: number;
  readonly auroc_lower: number;
  readonly auroc_upper: number;
  readonly auprc: number;
  readonly auprc_lower: number;
  readonly auprc_upper: number;
  readonly brier: number;
  /** Mean Jaccard with C_exp; null where nothing is named (expert, bayes). */
  readonly jaccard: number | null;
  /** Null where nothing is parsed (expert, bayes). */
  readonly parse_failure_rate: number | null;
}

/** Bootstrap of a difference on the same patients: `better` - `than`. */
export interface PairedDifference {
  readonly better: EvalName;
  readonly than: EvalName;
  readonly metric: 'auroc' | 'auprc';
  readonly difference: number;
  readonly lower: number;
  readonly upper: number;
}

export interface Summary {
  readonly device: string;
  /** Name of the GPU adapter, or of the CPU engine. */
  readonly adapter: string;
  readonly config_hash: string;
  readonly commit: string | null;
  /** `total` and one entry per phase. */
  readonly seconds: Readonly<Record<string, number>>;
  readonly peak_rss_bytes: number;
  readonly eval: Readonly<Partial<Record<EvalName, EvalRow>>>;
  readonly paired?: readonly PairedDifference[];
}

/** `400 test patients`, or where some have several rows `200 test stays of 187 patients`. */
export const testedOn = ({ n, people = n }: Pick<EvalRow, 'n' | 'people'>): string =>
  people === n ? `${n} test patients` : `${n} test stays of ${people} patients`;
