/** Plan. Values at the ends, the middle and around the end of the warm-up. */
import { expect, test } from 'vitest';
import { learningRate } from './schedule.ts';

test('warm-up rises linearly from 0, then constant, linear and cosine', () => {
  const at = (kind: 'constant' | 'linear' | 'cosine', step: number) => learningRate(kind, 2, step, 100, 0.1);
  for (const kind of ['constant', 'linear', 'cosine'] as const) {
    expect(at(kind, 0)).toBe(0);
    expect(at(kind, 5)).toBe(1);
    expect(at(kind, 10)).toBe(2);
  }
  expect(at('constant', 99)).toBe(2);
  expect(at('linear', 55)).toBeCloseTo(1, 12);
  expect(at('cosine', 55)).toBeCloseTo(1, 12);
  expect(at('cosine', 32.5)).toBeCloseTo(1 + Math.SQRT1_2, 12);
  expect(at('linear', 100)).toBe(0);
  expect(at('cosine', 100)).toBe(0);
});
