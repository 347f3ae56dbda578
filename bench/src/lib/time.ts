/** The clock: benchmark.js around chains of launches. */
import Benchmark from 'benchmark';

export interface Budget {
  /** Time before the first sample: engines compile what runs often a second time. */
  readonly warmMs: number;
  /** Length of one sample: as many launches, then one wait for the device, as fill it. */
  readonly sampleMs: number;
  /** At least so many samples per round, and more while a round is shorter than `roundMs`. */
  readonly minSamples: number;
  readonly roundMs: number;
  /** Providers take turns, a round each: a machine that slows down slows them all. */
  readonly rounds: number;
}

export const FULL: Budget = { warmMs: 100, sampleMs: 20, minSamples: 3, roundMs: 150, rounds: 5 };
export const QUICK: Budget = { warmMs: 15, sampleMs: 4, minSamples: 1, roundMs: 10, rounds: 3 };

export interface Launch {
  /** Queues the work once. */
  readonly run: () => void;
  /** Resolves when all that was queued is done. */
  readonly sync: () => Promise<void>;
}

/** A round of one benchmark; milliseconds per launch, one number per sample. */
export type Round = () => Promise<number[]>;

const MAX_CHAIN = 2_000;

async function elapsed({ run, sync }: Launch, times: number): Promise<number> {
  const start = performance.now();
  for (let i = 0; i < times; i++) run();
  await sync();
  return performance.now() - start;
}

/** Warms up, and finds how many launches fill a sample: one wait for the device must not weigh. */
export async function prepare(launch: Launch, budget: Budget): Promise<Round> {
  let one = 0;
  for (let spent = 0; spent < budget.warmMs; spent += one) one = await elapsed(launch, 1);
  // That one holds the latency of the wait; a short chain has less of it.
  const few = Math.min(20, Math.ceil(budget.sampleMs / 4 / one));
  const each = few === 1 ? one : (await elapsed(launch, few)) / few;
  const chain = Math.min(MAX_CHAIN, Math.max(1, Math.round(budget.sampleMs / each)));
  return () => round(launch, chain, budget);
}

function round({ run, sync }: Launch, chain: number, { minSamples, roundMs, sampleMs }: Budget): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const bench = new Benchmark({
      defer: true,
      minSamples,
      maxTime: roundMs / 1e3,
      // One call of fn is long enough for the clock: benchmark.js need not repeat it.
      minTime: sampleMs / 4e3,
      delay: 0.001,
      fn: (deferred: Benchmark.Deferred & { resolve(): void }) => {
        try {
          for (let i = 0; i < chain; i++) run();
          sync().then(() => deferred.resolve(), reject);
        } catch (error) {
          reject(error); // benchmark.js would call fn again
        }
      },
      onComplete: () => resolve(bench.stats.sample.map((seconds: number) => (seconds * 1e3) / chain)),
      onError: () => reject(bench.error),
    });
    bench.run({ async: true });
  });
}

export interface Time {
  readonly median: number;
  /** The distance between the quartiles as a share of the median. */
  readonly spread: number;
  readonly best: number;
}

export function summary(samples: readonly number[]): Time {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number) => {
    const i = q * (sorted.length - 1);
    const lo = Math.floor(i);
    return sorted[lo] + (i - lo) * (sorted[Math.ceil(i)] - sorted[lo]);
  };
  return { median: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5), best: sorted[0] };
}
