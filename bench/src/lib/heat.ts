/**
 * A GPU at full clock. One that idles lowers its clock, and takes about a second of work to raise it again: an H200 goes from 1,980 MHz to 345 while
 * references are computed, and short samples never wake it (LOG.md, 2026-11-27). A training run keeps it awake; so do we before each sample.
 */
import type { Backend } from '@eagrl/runtime';
import { fmaSteps } from '../floor/floor.ts';

/** At the first time at least, and at the most at any time. */
const FIRST_MS = 2_000;
const MOST_MS = 5_000;
/** Launches of the largest probe in one sample: some 20 ms of a GPU of 50 TFLOP/s. */
const LAUNCHES = 20;
/** Two samples in a row this near to the best that was seen are full clock. */
const NEAR = 1.03;

export interface Heater {
  /** Resolves at full clock. */
  heat(): Promise<void>;
  /** All that `heat` has taken so far. */
  readonly spentMs: number;
}

export function heater(backend: Backend): Heater {
  const { spec, entry, params } = fmaSteps[fmaSteps.length - 1].plain;
  const length = spec.entries[entry].size(params).y;
  let slice: { buffer: ReturnType<Backend['alloc']>; offset: number; length: number } | undefined;
  let best = Number.POSITIVE_INFINITY;
  let spentMs = 0;
  const sample = async (): Promise<number> => {
    if (!slice) {
      await backend.prepare([spec]);
      slice = { buffer: backend.alloc(length), offset: 0, length };
    }
    const start = performance.now();
    for (let i = 0; i < LAUNCHES; i++) backend.dispatch(spec, entry, [slice], params);
    await backend.sync();
    return performance.now() - start;
  };
  const heat = async () => {
    const start = performance.now();
    const least = best === Number.POSITIVE_INFINITY ? FIRST_MS : 0;
    let near = 0;
    let spent = 0;
    for (; spent < MOST_MS && (near < 2 || spent < least); spent = performance.now() - start) {
      const ms = await sample();
      best = Math.min(best, ms);
      near = ms <= NEAR * best ? near + 1 : 0;
    }
    spentMs += spent;
  };
  return {
    heat,
    get spentMs() {
      return spentMs;
    },
  };
}

/** `heating took 41 s of 235`; undefined where there was nothing to heat. */
export const heatNote = (heater: Heater | undefined, seconds: number): string | undefined =>
  heater && `heating took ${Math.round(heater.spentMs / 1e3)} s of ${Math.round(seconds)}`;
