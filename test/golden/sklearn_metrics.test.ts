/**
 * Plan: the trainer's metrics against scikit-learn and numpy (sklearn_metrics.py), in f64.
 *   cases: continuous scores, ties of three degrees, rare positives, worse than chance, all equal, perfect, never above 0.5
 *   tolerance 1e-12 absolute: the same sums in another order over at most 80 rows
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { classificationMetrics, METRIC_NAMES, prCurve, rocCurve } from '../../trainer/src/metrics/classification.ts';

interface Golden extends Record<(typeof METRIC_NAMES)[number], number> {
  name: string;
  labels: number[];
  scores: number[];
  fpr: number[];
  tpr: number[];
  precision: number[];
  recall: number[];
}
const goldens: Golden[] = JSON.parse(readFileSync(new URL('sklearn_metrics.json', import.meta.url), 'utf8'));

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) expect(Math.abs(actual[i] - expected[i])).toBeLessThan(1e-12);
}

describe.each(goldens)('metrics against scikit-learn: $name', (golden) => {
  const { labels, scores } = golden;
  it.each(METRIC_NAMES)('%s', (name) => {
    expect(Math.abs(classificationMetrics(labels, scores)[name] - golden[name])).toBeLessThan(1e-12);
  });
  it('ROC curve, one point per distinct score', () => {
    const curve = rocCurve(labels, scores);
    expectClose(
      curve.map((p) => p.fpr),
      golden.fpr,
    );
    expectClose(
      curve.map((p) => p.tpr),
      golden.tpr,
    );
  });
  it('precision-recall curve, one point per distinct score', () => {
    const curve = prCurve(labels, scores);
    expectClose(
      curve.map((p) => p.recall),
      golden.recall,
    );
    expectClose(
      curve.map((p) => p.precision),
      golden.precision,
    );
  });
});
