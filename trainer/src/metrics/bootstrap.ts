/**
 * Patient-level bootstrap: as many people as there are, drawn with replacement, B = 1,000 times [p]; a person brings all of his rows (ICU
 * stays, in MIMIC-IV), so a draw may have more or fewer than N. Where everybody has one row, N rows are drawn.
 * A draw with one class only has no AUROC; it is drawn again, so intervals are conditional on both classes being present
 * (with 17 deaths in 200, the rarest case we have, that is 1 draw in 10^7).
 */

import { type Column, classificationMetrics, METRIC_NAMES, type MetricName } from './classification.ts';

/** `value`: on the data as they are; the rest over the resamples. `lower`, `upper`: 2.5 and 97.5 percentiles. */
export interface Interval {
  readonly value: number;
  readonly mean: number;
  readonly std: number;
  readonly lower: number;
  readonly upper: number;
}

export interface BootstrapOptions {
  /** B, default 1,000. */
  readonly numBootstrap?: number;
  readonly seed?: number;
  /** (N) whose row each is, by any name; without it every row is another person's. */
  readonly subjects?: readonly string[];
}

/** Rows of each person, people in the order of their first row. */
function rowsByPerson(n: number, subjects: readonly string[] | undefined): number[][] {
  if (subjects === undefined) return Array.from({ length: n }, (_, row) => [row]);
  if (subjects.length !== n)
    throw new RangeError(`bootstrap: expected the subjects of ${n} rows, got ${subjects.length}; give one per row`);
  const rows = new Map<string, number[]>();
  subjects.forEach((subject, row) => {
    const own = rows.get(subject);
    if (own === undefined) rows.set(subject, [row]);
    else own.push(row);
  });
  return [...rows.values()];
}

/** SplitMix32 (Steele, Lea, Flood 2014, 32-bit variant): uniform in [0, 1), the same numbers on every engine. */
export function splitMix32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return ((z ^ (z >>> 16)) >>> 0) / 4294967296;
  };
}

/** Percentile q in [0, 1] of an ascending column, linear between order statistics (numpy's default). */
export function percentile(sorted: Column, q: number): number {
  const position = q * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/** A value with what its resamples say of it. */
export function summarise(value: number, draws: Float64Array): Interval {
  const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
  const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / Math.max(1, draws.length - 1);
  const sorted = draws.slice().sort();
  return { value, mean, std: Math.sqrt(variance), lower: percentile(sorted, 0.025), upper: percentile(sorted, 0.975) };
}

/** Calls `visit(b, rows)` with B draws of the people's rows, each holding both classes; `rows` is valid during the call. */
export function resample(labels: Column, options: BootstrapOptions, visit: (draw: number, rows: Uint32Array) => void): void {
  const { numBootstrap = 1000, seed = 0, subjects } = options;
  if (!Number.isInteger(numBootstrap) || numBootstrap < 2) {
    throw new RangeError(`bootstrap: expected numBootstrap >= 2, got ${numBootstrap}`);
  }
  const people = rowsByPerson(labels.length, subjects);
  const random = splitMix32(seed);
  const rows = new Uint32Array(people.length * Math.max(...people.map((own) => own.length)));
  for (let draw = 0; draw < numBootstrap; ) {
    let size = 0;
    let positives = 0;
    for (let i = 0; i < people.length; i++) {
      for (const row of people[Math.floor(random() * people.length)]) {
        rows[size++] = row;
        positives += labels[row];
      }
    }
    if (positives === 0 || positives === size) continue;
    visit(draw++, rows.subarray(0, size));
  }
}

const take = (column: Column, rows: Uint32Array): Float64Array => Float64Array.from(rows, (row) => column[row]);

function byMetric<T>(make: (name: MetricName) => T): Record<MetricName, T> {
  return Object.fromEntries(METRIC_NAMES.map((name) => [name, make(name)])) as Record<MetricName, T>;
}

/**
 * Every metric of labels (N), scores (N) with its bootstrap interval; the same seed gives the same bits.
 * @throws RangeError as {@link classificationMetrics}.
 */
export function bootstrapMetrics(labels: Column, scores: Column, options: BootstrapOptions = {}): Record<MetricName, Interval> {
  const observed = classificationMetrics(labels, scores);
  const draws = byMetric(() => new Float64Array(options.numBootstrap ?? 1000));
  resample(labels, options, (draw, rows) => {
    const metrics = classificationMetrics(take(labels, rows), take(scores, rows));
    for (const name of METRIC_NAMES) draws[name][draw] = metrics[name];
  });
  return byMetric((name) => summarise(observed[name], draws[name]));
}

/**
 * Differences `scoresA - scoresB` of every metric on the same patients: both columns are drawn with the same rows, so what is
 * hard about a patient cancels. An interval above 0 says A is better (for brier and ece: worse).
 * @throws RangeError as {@link classificationMetrics}.
 */
export function pairedBootstrap(
  labels: Column,
  scoresA: Column,
  scoresB: Column,
  options: BootstrapOptions = {},
): Record<MetricName, Interval> {
  const a = classificationMetrics(labels, scoresA);
  const b = classificationMetrics(labels, scoresB);
  const draws = byMetric(() => new Float64Array(options.numBootstrap ?? 1000));
  resample(labels, options, (draw, rows) => {
    const y = take(labels, rows);
    const ofA = classificationMetrics(y, take(scoresA, rows));
    const ofB = classificationMetrics(y, take(scoresB, rows));
    for (const name of METRIC_NAMES) draws[name][draw] = ofA[name] - ofB[name];
  });
  return byMetric((name) => summarise(a[name] - b[name], draws[name]));
}
