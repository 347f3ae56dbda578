/** Plan: reproducible streams that differ by name and seed, right moments, fair shuffles and choices. */

import { describe, expect, it } from 'vitest';
import { Rng } from './rng.ts';

const draws = (rng: Rng, n: number) => Array.from({ length: n }, () => rng.uniform());

describe('Rng', () => {
  it('repeats itself and differs by name and by seed', () => {
    const first = draws(new Rng(1, 'a'), 50);
    expect(draws(new Rng(1, 'a'), 50)).toEqual(first);
    expect(draws(new Rng(1, 'b'), 50)).not.toEqual(first);
    expect(draws(new Rng(2, 'a'), 50)).not.toEqual(first);
    expect(draws(new Rng(1 + 2 ** 32, 'a'), 50)).not.toEqual(first);
  });

  it('keeps neighbouring streams uncorrelated', () => {
    const n = 20_000;
    const a = draws(new Rng(5, 'patient 1'), n);
    const b = draws(new Rng(5, 'patient 2'), n);
    const correlation = a.reduce((sum, x, i) => sum + (x - 0.5) * (b[i] - 0.5), 0) / n / (1 / 12);
    // Standard error 1 / sqrt(n) = 0.007.
    expect(Math.abs(correlation)).toBeLessThan(0.03);
  });

  it('has the moments of uniform and normal', () => {
    const rng = new Rng(3, 'moments');
    const n = 50_000;
    const u = draws(rng, n);
    const z = Array.from({ length: n }, () => rng.normal());
    const mean = (x: number[]) => x.reduce((sum, v) => sum + v, 0) / x.length;
    expect(Math.abs(mean(u) - 0.5)).toBeLessThan(0.006);
    expect(Math.min(...u)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...u)).toBeLessThan(1);
    expect(Math.abs(mean(z))).toBeLessThan(0.02);
    expect(Math.abs(mean(z.map((v) => v * v)) - 1)).toBeLessThan(0.03);
  });

  it('shuffles evenly and draws by weight', () => {
    const rng = new Rng(4, 'shuffle');
    const first = [0, 0, 0];
    for (let i = 0; i < 6000; i++) first[rng.shuffle([0, 1, 2])[0]]++;
    // 2000 expected, standard deviation 37.
    for (const count of first) expect(Math.abs(count - 2000)).toBeLessThan(150);
    const weighted = [0, 0, 0];
    for (let i = 0; i < 6000; i++) weighted[rng.weighted([1, 0, 2])]++;
    expect(weighted[1]).toBe(0);
    expect(Math.abs(weighted[0] - 2000)).toBeLessThan(150);
    expect(new Set(rng.sample([1, 2, 3, 4], 3)).size).toBe(3);
  });

  it('refuses a seed that is no integer and a choice from nothing', () => {
    expect(() => new Rng(0.5, 'x')).toThrow(RangeError);
    expect(() => new Rng(1, 'x').choice([])).toThrow(RangeError);
  });
});
