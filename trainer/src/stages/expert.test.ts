/**
 * Plan: the seeds of an ensemble.
 *   those of the default seed count on from it; all are 32 bits; no member of a run is one of another run up to 100 seeds away, for ensembles up to 64
 *   trained: ensembles of neighbouring seeds share no member
 */
import { Context, openDevice } from '@eagrl/runtime';
import { expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import { type Member, memberSeed, trainExperts } from './expert.ts';
import { MemoryJournal } from './journal.ts';

it('no member of a run is one of another run nearby', () => {
  const ensemble = (seed: number) => Array.from({ length: 64 }, (_, m) => memberSeed(seed, m));
  expect(ensemble(42).slice(0, 3)).toEqual([42, 43, 44]);
  for (const seed of [0, 42, 2 ** 31 - 50, 2 ** 32 - 101]) {
    const own = ensemble(seed);
    expect(new Set(own).size).toBe(64);
    for (const s of own) expect(Number.isInteger(s) && s >= 0 && s < 2 ** 32).toBe(true);
    const others = new Set(Array.from({ length: 100 }, (_, k) => ensemble(seed + 1 + k)).flat());
    expect(own.filter((s) => others.has(s))).toEqual([]);
  }
});

it('trained ensembles of neighbouring seeds share no member', async () => {
  const ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  const cohort = generateSyntheticCohort({ seed: 0, split: { train: 24, val: 12, test: 12 } });
  const members = async (seed: number): Promise<string[]> => {
    const config = resolveConfig({ seed, expert: { kind: 'logistic', num_epochs: 1, ensemble: 3, attention_top_k: 5 } });
    const journal = new MemoryJournal();
    const run = {
      phase: 'expert',
      maxTokens: 1,
      checkpointEvery: 1,
      checkpoints: { restore: async () => null, save: async () => {} },
      log: () => {},
      warn: () => {},
      progress: () => {},
    } as const;
    await trainExperts(ctx, cohort, config, journal, run);
    return [1, 2, 3].map((number) => journal.peek<Member>(`expert-${number}`)!.probabilities.join());
  };
  const [own, next] = [await members(42), await members(43)];
  expect(new Set([...own, ...next]).size).toBe(6);
  await ctx.backend.destroy();
});
