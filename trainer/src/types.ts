/** The words every part of the trainer shares: patients, cohorts, answers. */

/** One lab or vital sign. `low`/`high`: reference range, when known (sex-specific ranges are resolved per patient by `rangeOf`). */
export interface Feature {
  /** Column name exactly as in the source. */
  readonly key: string;
  /** Clean label shown to the model and named by it. */
  readonly name: string;
  readonly unit?: string;
  readonly low?: number;
  readonly high?: number;
  readonly lowFemale?: number;
  readonly highFemale?: number;
  /** The values a categorical feature can have, ascending; the expert reads it one-hot, a prompt shows the value. */
  readonly levels?: readonly number[];
}

export type Sex = 'male' | 'female';

/** One sample: a patient, or one ICU stay of a patient who has several. */
export interface Patient {
  readonly id: string;
  /** The person, when one can have several samples: all of them belong to one split. Absent: the person is `id`. */
  readonly subject?: string;
  readonly sex: Sex;
  readonly age: number;
  /** Days since the first visit, ascending; length T. */
  readonly visitTimes: readonly number[];
  /** values[f][t], raw; null = not measured. F = features of the cohort, T visits. */
  readonly values: readonly (readonly (number | null)[])[];
  /** 1 = died (or readmitted). */
  readonly label: 0 | 1;
}

export type SplitName = 'train' | 'val' | 'test';

export interface Cohort {
  readonly name: string;
  readonly task: 'mortality' | 'readmission';
  readonly features: readonly Feature[];
  readonly patients: readonly Patient[];
  readonly splits: Readonly<Record<SplitName, readonly string[]>>;
  /** Known only for generated cohorts. */
  readonly truth?: {
    /** Names of the features that drive the outcome of this patient, strongest first. */
    readonly causal: Readonly<Record<string, readonly string[]>>;
    /** P(label = 1 | everything the generator knows that is visible in the record). */
    readonly bayes: Readonly<Record<string, number>>;
  };
}

/** What a policy's completion says. `probability` null = unparsable. */
export interface Answer {
  readonly probability: number | null;
  /** Named features, as written, duplicates removed after folding. */
  readonly features: readonly string[];
}
