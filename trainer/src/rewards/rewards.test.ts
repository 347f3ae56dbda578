/**
 * Plan: rewards by hand-computed values, then properties over random answers (fast-check):
 *   Jaccard in [0, 1], symmetric, 1 only for equal sets; naming one more wrong feature never pays, one more right one always does;
 *   DAPO's over-long penalty at each bend; dynamic sampling keeps the groups whose rewards differ;
 *   R_cls rises strictly with the probability given to the truth inside the clip; unparsable is never better than any answer
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupAdvantages, informativeGroups } from './advantages.ts';
import { attentionReward, classificationReward, overlongPenalty, scoreAnswers, totalReward } from './rewards.ts';

const names = fc.uniqueArray(fc.constantFrom(...'abcdefghijkl'), { maxLength: 12 });
const probability = fc.double({ min: 0, max: 1, noNaN: true });
const paper = { preset: 'paper', lambda: 0.6, beta: 0.5 } as const;

describe('classificationReward', () => {
  it.each([
    [1, 0.8, Math.log(0.8) + 0.15],
    [0, 0.8, Math.log(0.2)],
    [0, 0.3, Math.log(0.7) + 0.1],
    [1, 0.5, Math.log(0.5)],
    [1, 1, Math.log(0.99) + 0.245],
    [1, 0, Math.log(0.01)],
    [1, null, Math.log(0.01)],
  ] as const)('y=%s p=%s', (label, p, expected) => {
    expect(classificationReward(label, p, 0.5)).toBeCloseTo(expected, 12);
  });
  it('rises with the probability given to the truth, the same for both classes', () => {
    fc.assert(
      fc.property(probability, probability, (a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a];
        expect(classificationReward(1, high, 0.5)).toBeGreaterThanOrEqual(classificationReward(1, low, 0.5));
        if (low >= 0.01 && high <= 0.99 && high - low > 1e-9) {
          expect(classificationReward(1, high, 0.5)).toBeGreaterThan(classificationReward(1, low, 0.5));
        }
        expect(classificationReward(0, 1 - a, 0.5)).toBeCloseTo(classificationReward(1, a, 0.5), 9);
      }),
    );
  });
  it('refuses what is no probability', () => {
    expect(() => classificationReward(1, 1.2, 0.5)).toThrow('[0, 1]');
    expect(() => classificationReward(1, Number.NaN, 0.5)).toThrow('[0, 1]');
  });
});

describe('attentionReward', () => {
  it('is the Jaccard index; repeats count once; indices work as names do', () => {
    expect(attentionReward(['a', 'b', 'b'], ['b', 'c'])).toBeCloseTo(1 / 3, 12);
    expect(attentionReward([1, 2], [2, 1])).toBe(1);
    expect(attentionReward([], [])).toBe(0);
  });
  it('lies in [0, 1], is symmetric, and 1 only for equal sets', () => {
    fc.assert(
      fc.property(names, names, (a, b) => {
        const r = attentionReward(a, b);
        expect(r).toBeGreaterThanOrEqual(0);
        expect(r).toBeLessThanOrEqual(1);
        expect(attentionReward(b, a)).toBe(r);
        expect(r === 1).toBe(a.length > 0 && a.length === b.length && a.every((x) => b.includes(x)));
      }),
    );
  });
  it('an invented name never pays, a missing right one always does', () => {
    fc.assert(
      fc.property(
        names,
        names.filter((b) => b.length > 0),
        fc.string({ minLength: 2 }),
        (a, b, invented) => {
          const r = attentionReward(a, b);
          expect(attentionReward([...a, invented], b)).toBeLessThanOrEqual(r);
          if (r > 0) expect(attentionReward([...a, invented], b)).toBeLessThan(r);
          const missing = b.find((x) => !a.includes(x));
          if (missing !== undefined) expect(attentionReward([...a, missing], b)).toBeGreaterThan(r);
        },
      ),
    );
  });
});

describe('totalReward', () => {
  it('weighs by preset', () => {
    expect(totalReward(-1, 0.5, paper)).toBeCloseTo(-0.6 + 0.2, 12);
    expect(totalReward(-1, 0.5, { ...paper, preset: 'repo' })).toBeCloseTo(-1 + 0.05, 12);
  });
  it('preset repo with beta 0.5 is log-likelihood + 0.5 separation + 0.1 IoU', () => {
    const r = totalReward(classificationReward(1, 0.9, 0.5), 0.4, { ...paper, preset: 'repo' });
    expect(r).toBeCloseTo(Math.log(0.9) + 0.5 * 0.4 + 0.1 * 0.4, 12);
  });
});

describe('scoreAnswers', () => {
  it('counts the unparsable, gives it log 0.01 and no Jaccard, and drops no row', () => {
    const rewards = scoreAnswers(
      [1, 1],
      [
        { probability: null, features: ['a'] },
        { probability: 0.9, features: ['a'] },
      ],
      [['a'], ['a']],
      paper,
    );
    expect(rewards.attention).toEqual(Float64Array.of(0, 1));
    expect(rewards.total[0]).toBeCloseTo(0.6 * Math.log(0.01), 12);
    expect(rewards.parseFailureRate).toBe(0.5);
  });
  it('folds case, space and punctuation of names', () => {
    const answer = { probability: 0.9, features: ['white  blood-cell count'] };
    expect(scoreAnswers([1], [answer], [['White blood cell count']], paper).attention[0]).toBe(1);
  });
  it('no answer is worth less than an unparsable one', () => {
    fc.assert(
      fc.property(fc.constantFrom(0 as const, 1 as const), probability, names, names, (label, p, features, expert) => {
        const { total } = scoreAnswers(
          [label, label],
          [
            { probability: p, features },
            { probability: null, features },
          ],
          [expert, expert],
          paper,
        );
        expect(total[0]).toBeGreaterThanOrEqual(total[1]);
      }),
    );
  });
  it('refuses columns that differ in length', () => {
    expect(() => scoreAnswers([1], [], [[]], paper)).toThrow('one length');
  });
});

describe('overlongPenalty', () => {
  // DAPO's own numbers (L_max 20480, cache 4096), then a limit of 100 with a cache of 20.
  it.each([
    [16384, 20480, 4096, 0],
    [18432, 20480, 4096, -0.5],
    [20480, 20480, 4096, -1],
    [79, 100, 20, 0],
    [80, 100, 20, 0],
    [81, 100, 20, -0.05],
    [95, 100, 20, -0.75],
    [100, 100, 20, -1],
    [101, 100, 20, -1],
    [100, 100, 0, 0],
  ])('%d tokens of %d, cache %d: %d', (length, maxLength, cache, penalty) => {
    expect(overlongPenalty(length, maxLength, cache)).toBeCloseTo(penalty, 12);
  });
});

describe('informativeGroups', () => {
  it('keeps the groups whose rewards differ; those it drops have no advantage anyway', () => {
    const rewards = [1, 1, 1, 0, 1, 1, -0.3, -0.3, -0.3, 0.2, 0.2, 0.2 + 1e-9];
    expect(informativeGroups(rewards, 3)).toEqual([false, true, false, false]);
    const advantages = groupAdvantages(rewards, 3, false);
    expect(Math.max(...advantages.slice(0, 3).map(Math.abs))).toBe(0);
    expect(Math.max(...advantages.slice(6).map(Math.abs))).toBeLessThan(1e-6);
  });
  it('one right of eight is kept, none and all are dropped: the rule of rewards 0 and 1', () => {
    const group = (right: number) => Array.from({ length: 8 }, (_, i) => (i < right ? 1 : 0));
    expect(informativeGroups([0, 1, 4, 7, 8].flatMap(group), 8)).toEqual([false, true, true, true, false]);
  });
});
