/** Plan. By hand: a fast device's submits grow, a slow one's stay; little work says nothing; waits of the host and work under way beside it. */
import { expect, test } from 'vitest';
import { MIN_FLOPS, Pace } from './webgpu_pace.ts';

test('a submit holds a fifth of a second of the last large stretch, and no less than any device can take', () => {
  const pace = new Pace();
  expect(pace.limit).toBe(2e11);
  // 1e12 in 50 ms: 20 TFLOP/s.
  pace.submit(4e11, 1000);
  pace.submit(6e11, 1010);
  pace.seen(pace.mark, 1050);
  expect(pace.limit).toBeCloseTo(4e12, -3);
  // The wait before it does not count; then 1e12 in 500 ms.
  pace.submit(1e12, 9000);
  pace.seen(pace.mark, 9500);
  expect(pace.limit).toBeCloseTo(4e11, -3);
  pace.submit(1e12, 10_000);
  pace.seen(pace.mark, 20_000);
  expect(pace.limit).toBe(MIN_FLOPS);
});

test('little work, and none, says nothing', () => {
  const pace = new Pace();
  pace.submit(1.9e11, 0);
  pace.seen(pace.mark, 1);
  pace.submit(0, 5);
  pace.seen(pace.mark, 6);
  expect(pace.limit).toBe(MIN_FLOPS);
});

test('what was submitted after the mark is of the next stretch, which begins when the first is seen done', () => {
  const pace = new Pace();
  pace.submit(1e12, 0);
  const first = pace.mark;
  pace.submit(2e12, 10);
  pace.seen(first, 100); // 1e12 in 100 ms
  expect(pace.limit).toBeCloseTo(2e12, -3);
  pace.seen(pace.mark, 150); // 2e12 in 50
  expect(pace.limit).toBeCloseTo(8e12, -3);
  pace.seen(first, 160); // a read-back that comes late
  expect(pace.limit).toBeCloseTo(8e12, -3);
  pace.submit(1e12, 1000);
  pace.seen(pace.mark, 1100);
  expect(pace.limit).toBeCloseTo(2e12, -3);
});
