/** Two runs of the same rows: faster, same or slower, where the difference is larger than the noise of both. */
import { nameOf, type Row } from './report.ts';

export type Verdict = 'faster' | 'same' | 'slower' | 'missing' | 'new' | 'wrong';

export interface Comparison {
  readonly name: string;
  /** Time then over time now: above 1 is faster. Null where one of the two has no time. */
  readonly ratio: number | null;
  /** Ratios within 1 / (1 + noise) and 1 + noise count as the same. */
  readonly noise: number;
  readonly verdict: Verdict;
}

/**
 * Between two runs the same code moves by some percent even where each run by itself is quiet (placement in memory, clock): on the
 * development machine by up to 5 %.
 */
export const LEAST_NOISE = 0.05;

/**
 * Rows by name and adapter. The noise of a comparison is the root of the sum of the squares of both spreads (interquartile distance
 * over median), at least LEAST_NOISE. Rows that the base has and `now` was not asked for (`wanted`) do not count as missing.
 */
export function compare(base: readonly Row[], now: readonly Row[], wanted: (name: string) => boolean): Comparison[] {
  const key = (r: Row) => `${nameOf(r)} ${r.adapter}`;
  const known = new Map(base.map((r) => [key(r), r]));
  const seen = new Set(now.map(key));
  const present = now.map((row): Comparison => {
    const old = known.get(key(row));
    const name = nameOf(row);
    const noise = Math.max(LEAST_NOISE, Math.hypot(old?.spread ?? 0, row.spread ?? 0));
    if (row.median_ms === null) return { name, ratio: null, noise, verdict: 'wrong' };
    if (!old || old.median_ms === null) return { name, ratio: null, noise, verdict: 'new' };
    const ratio = old.median_ms / row.median_ms;
    return { name, ratio, noise, verdict: ratio > 1 + noise ? 'faster' : ratio < 1 / (1 + noise) ? 'slower' : 'same' };
  });
  const missing = base
    .filter((r) => !seen.has(key(r)) && r.median_ms !== null && wanted(nameOf(r)))
    .map((r): Comparison => ({ name: nameOf(r), ratio: null, noise: r.spread ?? 0, verdict: 'missing' }));
  return [...present, ...missing];
}

/** True when nothing became slower, wrong or lost. */
export const holds = (all: readonly Comparison[]): boolean => all.every((c) => c.verdict !== 'slower' && c.verdict !== 'missing');

/** Lines of a table, what changed first, and a count. */
export function comparisonLines(all: readonly Comparison[]): string[] {
  const order: Verdict[] = ['slower', 'missing', 'wrong', 'faster', 'new', 'same'];
  const sorted = [...all].sort((a, b) => order.indexOf(a.verdict) - order.indexOf(b.verdict));
  const lines = sorted.map(({ name, ratio, noise, verdict }) => {
    const times = ratio === null ? '' : `${ratio.toFixed(3)}x`;
    return `${name.padEnd(58)}${times.padStart(10)}  +-${(100 * noise).toFixed(0)} %`.padEnd(78) + verdict;
  });
  const counts = order.map((v) => [v, all.filter((c) => c.verdict === v).length] as const).filter(([, n]) => n > 0);
  return [...lines, `compare: ${counts.map(([v, n]) => `${n} ${v}`).join(', ')}`];
}
