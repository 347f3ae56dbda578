/**
 * Plan. A hand-written pack of two groups; splitting: every completion token survives exactly once with its index, budgets hold,
 * order is kept (property over random groups); a group beyond the budget repeats its prompt; errors.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { packGroups, packTokens, splitPacks } from './pack.ts';

const u32 = (...x: number[]) => Uint32Array.from(x);

test('packGroups lays the prompt once and its completions behind it', () => {
  const pack = packGroups([
    { prompt: u32(1, 2), completions: [u32(3, 4), u32(), u32(5)] },
    { prompt: u32(6), completions: [u32(7)] },
  ]);
  expect([...pack.ids]).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect([...pack.positions]).toEqual([0, 1, 2, 3, 2, 0, 1]);
  // [prefix_start, prefix_end, seg_start, q_end] per token.
  const seg = [
    [0, 0, 0, 5],
    [0, 0, 0, 5],
    [0, 2, 2, 4],
    [0, 2, 2, 4],
    [0, 2, 4, 5],
    [0, 0, 5, 7],
    [5, 6, 6, 7],
  ];
  expect([...pack.seg]).toEqual(seg.flat());
  expect(pack.pairs).toBe(3 + 2 * 2 + 3 + (2 + 1) + 1 + (1 + 1));
  expect([...pack.rows]).toEqual([1, 2, 1, 5]);
  expect([...pack.targets]).toEqual([3, 4, 5, 7]);
  expect([...pack.completionOf]).toEqual([0, 0, 2, 3]);
  expect([...packTokens(pack, [[10, 11], [], [12], [13]])]).toEqual([10, 11, 12, 13]);
  expect(() => packTokens(pack, [[10], [], [12], [13]])).toThrow(/completion 0 has no value for its token 1/);
});

const group = fc.record({
  prompt: fc.uint32Array({ minLength: 1, maxLength: 5 }),
  completions: fc.array(fc.uint32Array({ maxLength: 4 }), { maxLength: 5 }),
});

test('splitPacks keeps budgets and every completion token', () => {
  fc.assert(
    fc.property(fc.array(group, { maxLength: 6 }), fc.integer({ min: 9, max: 20 }), (groups, budget) => {
      const packs = splitPacks(groups, budget);
      for (const p of packs) expect(p.ids.length).toBeLessThanOrEqual(budget);
      const whole = packGroups(groups);
      const joined = (name: 'targets' | 'completionOf') => packs.flatMap((p) => [...p[name]]);
      expect(joined('targets')).toEqual([...whole.targets]);
      expect(joined('completionOf')).toEqual([...whole.completionOf]);
      for (const p of packs) {
        const seen = (i: number) => p.seg[4 * i + 1] - p.seg[4 * i] + i - p.seg[4 * i + 2] + 1;
        expect(p.pairs).toBe([...p.ids.keys()].reduce((total, i) => total + seen(i), 0));
        p.rows.forEach((row, n) => {
          const follows = n > 0 && p.completionOf[n] === p.completionOf[n - 1];
          // Inside a completion the predicting row holds the token before; the first is predicted by the end of the prompt.
          if (follows) expect(p.ids[row]).toBe(p.targets[n - 1]);
          else expect(p.seg[row * 4]).toBe(p.seg[row * 4 + 1]);
        });
      }
    }),
  );
});

test('a group beyond the budget is cut between completions, its prompt repeated', () => {
  const packs = splitPacks([{ prompt: u32(1, 2), completions: [u32(3, 4), u32(5, 6), u32(7)] }], 5);
  expect(packs.map((p) => [...p.ids])).toEqual([
    [1, 2, 3, 4],
    [1, 2, 5, 6, 7],
  ]);
});

test('errors', () => {
  expect(() => packGroups([{ prompt: u32(), completions: [u32(1)] }])).toThrow(/empty prompt/);
  expect(() => splitPacks([{ prompt: u32(1, 2), completions: [u32(3, 4)] }], 3)).toThrow(/budget of 3 tokens/);
});
