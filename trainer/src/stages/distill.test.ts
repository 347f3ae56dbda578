/**
 * Plan: which train patients are searched.
 *   as many as asked for, half of them positive; a class that has too few is filled up from the other, either way round
 *   the demo's draw is that of its seed, pinned: its results hang on it
 */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import { resolveConfig } from '../config/resolve.ts';
import { taskOf } from '../tasks/configured.ts';
import type { Task } from '../tasks/task.ts';
import { loadCohort } from './cohort.ts';
import { searchCases } from './distill.ts';

/** Train patients by label, positives first. */
const made = (ones: number, zeros: number): Task =>
  ({
    numExamples: () => ones + zeros,
    getExample: (_: string, i: number) => ({ label: i < ones ? 1 : 0 }),
  }) as unknown as Task;

it.each([
  { ones: 60, zeros: 60, wanted: 50, positive: 25 },
  { ones: 60, zeros: 60, wanted: 51, positive: 26 },
  { ones: 20, zeros: 100, wanted: 100, positive: 20 },
  { ones: 90, zeros: 30, wanted: 100, positive: 70 },
  { ones: 5, zeros: 5, wanted: 50, positive: 5 },
])('$wanted of $ones positives and $zeros negatives: $positive positive', ({ ones, zeros, wanted, positive }) => {
  const cases = searchCases(made(ones, zeros), resolveConfig({ mcts: { num_cases: wanted } }));
  expect(cases).toHaveLength(Math.min(wanted, ones + zeros));
  expect(new Set(cases).size).toBe(cases.length);
  expect(cases).toEqual([...cases].sort((a, b) => a - b));
  expect(cases.filter((i) => i < ones)).toHaveLength(positive);
});

it("the demo's 300", async () => {
  const config = loadConfig({ path: 'configs/demo.yaml' });
  const { cohort } = await loadCohort(config);
  const cases = searchCases(taskOf(cohort, config), config);
  expect(cases).toHaveLength(300);
  expect(createHash('sha256').update(cases.join()).digest('hex').slice(0, 16)).toBe('cf09603e959c5a04');
});
