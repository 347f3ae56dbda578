/**
 * Patients as the expert reads them: z-scores by train statistics, last observation carried forward, never observed = train median.
 * A categorical feature is one column per level, 1 where the value is nearest to it. Statistics come from the train split alone.
 * Design: eag-rl.md section 2 [a].
 */
import { nearestLevel } from '../data/range.ts';
import { percentile } from '../metrics/bootstrap.ts';
import type { Cohort, Feature, Patient } from '../types.ts';

/** Per feature: mean and std of the train values inside the 5..95 % quantiles, and their median. */
export interface FeatureStatistics {
  readonly mean: Float64Array;
  readonly std: Float64Array;
  readonly median: Float64Array;
  readonly ageMean: number;
  readonly ageStd: number;
}

/** For each column the expert reads, the feature it comes from: one column per number, one per level of a category. */
export function columnFeatures(features: readonly Feature[]): number[] {
  return features.flatMap(({ levels }, f) => (levels === undefined ? [f] : levels.map(() => f)));
}

/** One patient: series (T, C) visit-major z-scores; demographics [sex 1 = male, age z-score]. */
export interface ExpertInput {
  readonly numVisits: number;
  readonly series: Float32Array;
  readonly demographics: readonly [number, number];
}

function moments(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const std = Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length);
  return { mean, std: std > 1e-6 ? std : 1 };
}

/** Statistics of the given (train) patients. A feature never measured gets mean 0, std 1, median 0. */
export function featureStatistics(patients: readonly Patient[], numFeatures: number): FeatureStatistics {
  const mean = new Float64Array(numFeatures);
  const std = new Float64Array(numFeatures).fill(1);
  const median = new Float64Array(numFeatures);
  for (let f = 0; f < numFeatures; f++) {
    const sorted = patients.flatMap((p) => p.values[f].filter((v) => v !== null)).sort((a, b) => a - b);
    if (sorted.length === 0) continue;
    const [lo, hi] = [percentile(sorted, 0.05), percentile(sorted, 0.95)];
    const inner = sorted.filter((v) => v >= lo && v <= hi);
    // Of two different values both lie outside their own 5..95 % quantiles.
    ({ mean: mean[f], std: std[f] } = moments(inner.length > 0 ? inner : sorted));
    median[f] = percentile(sorted, 0.5);
  }
  const age = moments(patients.map((p) => p.age));
  return { mean, std, median, ageMean: age.mean, ageStd: age.std };
}

/** Values beyond this many standard deviations are cut: one slip of the decimal point must not own the recurrent state [d]. */
const Z_LIMIT = 10;

/** One patient as the expert reads it; only its last `maxVisits` visits (all of them carry forward). */
export function expertInput(patient: Patient, cohort: Pick<Cohort, 'features'>, stats: FeatureStatistics, maxVisits: number): ExpertInput {
  const C = columnFeatures(cohort.features).length;
  const T = patient.visitTimes.length;
  const kept = Math.min(T, maxVisits);
  const series = new Float32Array(kept * C);
  let column = 0;
  cohort.features.forEach(({ levels }, f) => {
    let last = stats.median[f];
    for (let t = 0; t < T; t++) {
      last = patient.values[f][t] ?? last;
      if (t < T - kept) continue;
      const at = (t - (T - kept)) * C + column;
      if (levels === undefined) series[at] = Math.max(-Z_LIMIT, Math.min(Z_LIMIT, (last - stats.mean[f]) / stats.std[f]));
      else series[at + nearestLevel(levels, last)] = 1;
    }
    column += levels?.length ?? 1;
  });
  return { numVisits: kept, series, demographics: [patient.sex === 'male' ? 1 : 0, (patient.age - stats.ageMean) / stats.ageStd] };
}
