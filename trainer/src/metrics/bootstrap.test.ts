/**
 * Plan: bootstrap intervals of metrics/bootstrap.ts.
 *   people: one row each is the same bits as no subjects; a person's rows are drawn together, also in pairs; doubled rows add no precision;
 *   determinism by seed; width against DeLong's standard error of AUROC; a pairing that matters; one-class draws;
 *   refusal of one class, NaN and lengths that differ
 */
import { describe, expect, it } from 'vitest';
import { bootstrapMetrics, pairedBootstrap, percentile, resample } from './bootstrap.ts';

/** N patients, the label is 1 for every third; score = signal * label + noise in [0, 1). Weyl sequences: no generator needed. */
function cohort(n: number, signal: number): { labels: number[]; scores: number[] } {
  const labels = Array.from({ length: n }, (_, i) => (i % 3 === 0 ? 1 : 0));
  const scores = labels.map((y, i) => (signal * y + ((i * 0.6180339887) % 1)) / (1 + signal));
  return { labels, scores };
}

describe('bootstrapMetrics', () => {
  const { labels, scores } = cohort(300, 0.5);

  it('same seed, same bits; another seed, other draws', () => {
    const first = bootstrapMetrics(labels, scores, { numBootstrap: 50, seed: 7 });
    expect(bootstrapMetrics(labels, scores, { numBootstrap: 50, seed: 7 })).toEqual(first);
    expect(bootstrapMetrics(labels, scores, { numBootstrap: 50, seed: 8 }).auroc.lower).not.toBe(first.auroc.lower);
  });

  it('standard error of AUROC agrees with DeLong, DeLong and Clarke-Pearson (1988) within 8 %', () => {
    const interval = bootstrapMetrics(labels, scores, { seed: 1 }).auroc;
    const sick = scores.filter((_, i) => labels[i] === 1);
    const well = scores.filter((_, i) => labels[i] === 0);
    const above = (x: number, y: number) => (x > y ? 1 : x === y ? 0.5 : 0);
    const mean = (xs: number[]) => xs.reduce((sum, x) => sum + x, 0) / xs.length;
    const variance = (xs: number[]) => xs.reduce((sum, x) => sum + (x - mean(xs)) ** 2, 0) / (xs.length - 1);
    const perSick = sick.map((x) => mean(well.map((y) => above(x, y))));
    const perWell = well.map((y) => mean(sick.map((x) => above(x, y))));
    const delong = Math.sqrt(variance(perSick) / sick.length + variance(perWell) / well.length);
    expect(interval.value).toBeCloseTo(mean(perSick), 12);
    // 1,000 draws know a standard error to 1 / sqrt(2 * 999) = 2.2 %; 8 % is 3.6 of those.
    expect(Math.abs(interval.std / delong - 1)).toBeLessThan(0.08);
    expect(interval.lower).toBeLessThan(interval.value);
    expect(interval.upper).toBeGreaterThan(interval.value);
  });

  it('draws with one class only are drawn again: 2 patients give a finite interval', () => {
    expect(bootstrapMetrics([0, 1], [0.2, 0.8], { numBootstrap: 20 }).auroc).toMatchObject({ mean: 1, std: 0 });
  });

  it('refuses one class, NaN scores and lengths that differ', () => {
    expect(() => bootstrapMetrics([1, 1], [0.2, 0.8])).toThrow('needs both classes');
    expect(() => bootstrapMetrics([0, 1], [0.2, Number.NaN])).toThrow('finite scores');
    expect(() => bootstrapMetrics([0, 1], [0.2])).toThrow('one length');
  });
});

describe('pairedBootstrap', () => {
  it('is exactly 0 for a column against itself', () => {
    const { labels, scores } = cohort(60, 0.5);
    expect(pairedBootstrap(labels, scores, scores, { numBootstrap: 30 }).auroc).toEqual({
      value: 0,
      mean: 0,
      std: 0,
      lower: 0,
      upper: 0,
    });
  });

  it('separates two correlated columns whose own intervals overlap', () => {
    const { labels, scores } = cohort(240, 0.4);
    const better = scores.map((s, i) => s + 0.06 * labels[i]);
    const own = bootstrapMetrics(labels, scores, { seed: 3, numBootstrap: 400 }).auroc;
    const other = bootstrapMetrics(
      labels,
      better.map((s) => s / 1.06),
      { seed: 3, numBootstrap: 400 },
    ).auroc;
    expect(other.lower).toBeLessThan(own.upper);
    const paired = pairedBootstrap(
      labels,
      better.map((s) => s / 1.06),
      scores,
      { seed: 3, numBootstrap: 400 },
    ).auroc;
    expect(paired.value).toBeCloseTo(other.value - own.value, 12);
    expect(paired.lower).toBeGreaterThan(0);
  });
});

describe('people', () => {
  const { labels, scores } = cohort(120, 0.4);
  const other = scores.map((s, i) => (s + 0.3 * labels[i]) / 1.3);
  const each = labels.map((_, i) => `p${i}`);
  const twice = (column: readonly number[]) => column.flatMap((x) => [x, x]);
  const options = { numBootstrap: 300, seed: 5 };

  it('one row each: the same bits as without subjects', () => {
    expect(bootstrapMetrics(labels, scores, { ...options, subjects: each })).toEqual(bootstrapMetrics(labels, scores, options));
    expect(pairedBootstrap(labels, scores, other, { ...options, subjects: each })).toEqual(pairedBootstrap(labels, scores, other, options));
  });
  it('a draw takes as many people as there are, and all rows of each', () => {
    // Persons of one, two and three rows, not side by side.
    const subjects = ['a', 'b', 'c', 'b', 'c', 'c'];
    const sizes = new Set<number>();
    resample([0, 1, 0, 0, 1, 1], { numBootstrap: 50, subjects }, (_, rows) => {
      const count = (row: number) => rows.filter((r) => r === row).length;
      expect([count(1), count(2), count(2)]).toEqual([count(3), count(4), count(5)]);
      expect(count(0) + count(1) + count(2)).toBe(3);
      sizes.add(rows.length);
    });
    expect(sizes.size).toBeGreaterThan(2);
  });
  it('every row twice, by the same people: the interval is that of one row each', () => {
    const subjects = each.flatMap((p) => [p, p]);
    const [once, people] = [
      bootstrapMetrics(labels, scores, options),
      bootstrapMetrics(twice(labels), twice(scores), { ...options, subjects }),
    ];
    for (const name of ['auroc', 'brier'] as const) {
      expect(people[name].lower).toBeCloseTo(once[name].lower, 12);
      expect(people[name].upper).toBeCloseTo(once[name].upper, 12);
    }
    // Rows drawn one by one would pass for twice as many patients.
    expect(bootstrapMetrics(twice(labels), twice(scores), options).auroc.std).toBeLessThan(0.85 * people.auroc.std);
    const paired = pairedBootstrap(twice(labels), twice(other), twice(scores), { ...options, subjects }).auroc;
    expect(paired.lower).toBeCloseTo(pairedBootstrap(labels, other, scores, options).auroc.lower, 12);
  });
  it('refuses subjects of another number of rows', () => {
    expect(() => bootstrapMetrics(labels, scores, { subjects: ['a'] })).toThrow('subjects of 120 rows, got 1');
  });
});

describe('percentile', () => {
  it('interpolates as numpy does', () => {
    expect(percentile([1, 2, 3, 4], 0.25)).toBe(1.75);
    expect(percentile([5], 0.975)).toBe(5);
  });
});
