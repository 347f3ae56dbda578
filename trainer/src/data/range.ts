/** Reference ranges and the flags a laboratory report prints beside a value. */

import type { Feature, Sex } from '../types.ts';

/** Reference range; an absent side is open. */
export interface Range {
  readonly low?: number;
  readonly high?: number;
}

/** '' = within range (or no range known); H, L = above, below; HH, LL = far above, far below. */
export type Flag = '' | 'H' | 'HH' | 'L' | 'LL';

/** The range that holds for this sex. */
export function rangeOf(feature: Feature, sex: Sex): Range {
  if (sex === 'male') return { low: feature.low, high: feature.high };
  return { low: feature.lowFemale ?? feature.low, high: feature.highFemale ?? feature.high };
}

/**
 * Where "far" begins.
 *
 *     far high = high + (high - low) / 2          2 * high when there is no lower limit
 *     far low  = max(low - (high - low) / 2, low / 2)    low / 2 when there is no upper limit
 *
 * Half the width of the range suits values that the body regulates tightly (potassium 5.75, pH 7.5, sodium 150 mmol/L);
 * half the lower limit suits counts with a wide range (platelets 75, lymphocytes 0.5). On TJH both levels are common.
 */
export function farLimits({ low, high }: Range): Range {
  if (low === undefined) return high === undefined ? {} : { high: 2 * high };
  if (high === undefined) return { low: low / 2 };
  const half = (high - low) / 2;
  return { low: Math.max(low - half, low / 2), high: high + half };
}

/** Flag of one value against its range. The limits themselves are within range. */
export function flagOf(value: number, range: Range): Flag {
  const far = farLimits(range);
  if (range.high !== undefined && value > range.high) return value > (far.high as number) ? 'HH' : 'H';
  if (range.low !== undefined && value < range.low) return value < (far.low as number) ? 'LL' : 'L';
  return '';
}

/** Latest measured value of a series, or null when it never was measured. */
export function latest(series: readonly (number | null)[]): number | null {
  for (let t = series.length - 1; t >= 0; t--) if (series[t] !== null) return series[t];
  return null;
}

/** Place of the level closest to the value, the lower one of two: a median may lie between levels. */
export function nearestLevel(levels: readonly number[], value: number): number {
  return levels.reduce((best, level, i) => (Math.abs(level - value) < Math.abs(levels[best] - value) ? i : best), 0);
}
