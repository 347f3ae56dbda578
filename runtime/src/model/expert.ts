/** What the trainer wants of an expert, whatever it is inside: probabilities, and how much each input counts for one patient. */
import type { AdamW } from '../optim/adamw.ts';
import type { ParamStore } from '../params.ts';

/** One patient as an expert sees it: standardised, imputed. */
export interface ExpertPatient {
  /** Visits in time order, num_features numbers each; at least one. */
  readonly visits: readonly ArrayLike<number>[];
  /** num_statics numbers: sex, age. */
  readonly statics: ArrayLike<number>;
}

export interface ExpertLoss {
  /** What was minimised. */
  readonly loss: number;
  /** Mean binary cross-entropy, part of `loss`. */
  readonly bce: number;
  /** Unweighted DeCov, where the model has one. */
  readonly decov?: number;
}

export interface ExpertAnswers {
  /** One per patient. */
  readonly probabilities: Float32Array;
  /** (B, F + 1), not negative, each patient's sum 1: how much each feature's column counts, the static inputs last. */
  readonly attention: Float32Array;
}

/** Implemented by ConCare, GruExpert, AdaCare and LogisticExpert. */
export interface ExpertModel {
  readonly params: ParamStore;
  /** One update on one batch. `labels` in the order of `patients`, 0 or 1. */
  trainStep(
    patients: readonly ExpertPatient[],
    labels: ArrayLike<number>,
    optimizer: AdamW,
    lr: number,
  ): Promise<ExpertLoss & { readonly gradNorm: number }>;
  /** In the order of `patients`, nothing dropped. `batchSize` bounds memory. */
  predict(patients: readonly ExpertPatient[], options?: { readonly batchSize?: number }): Promise<ExpertAnswers>;
  destroy(): void;
}
