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
  /** Where a bar is at stake and one of our rows is noisy, up to so many. */
  readonly mostRounds: number;
  /** A provider whose rounds have taken longer than this is not asked for another one: slow adapters would decide how long a run takes. */
  readonly laneMs: number;
}

export const FULL: Budget = { warmMs: 120, sampleMs: 20, minSamples: 3, roundMs: 120, rounds: 6, mostRounds: 30, laneMs: 4_000 };
export const NORMAL: Budget = { warmMs: 100, sampleMs: 20, minSamples: 3, roundMs: 150, rounds: 5, mostRounds: 5, laneMs: 4_000 };
export const QUICK: Budget = { warmMs: 10, sampleMs: 4, minSamples: 1, roundMs: 10, rounds: 3, mostRounds: 3, laneMs: 200 };

export interface Launch {
  /** Queues the work once; one whose start is asynchronous gives a promise, which the next launch waits for. */
  readonly run: () => unknown;
  /** Resolves when all that was queued is done. */
  readonly sync: () => Promise<void>;
  /** Milliseconds of device time that `times` launches take together; where the adapter has timestamps. */
  readonly deviceTime?: (times: number) => Promise<number>;
}

/** Milliseconds per launch. */
export interface Samples {
  readonly wall: readonly number[];
  /** By the device's own clock, one number per round; empty where there is none. */
  readonly device: readonly number[];
}

/** Above this spread a row is noisy: two runs of the same code may differ by as much. */
export const NOISY = 0.1;

/** A round of one benchmark; empty when its time is used up. */
export type Round = () => Promise<Samples>;

const MAX_CHAIN = 2_000;
/** What fits one timed pass; see Backend.deviceTime. */
const MAX_DEVICE_CHAIN = 500;
/** Launches longer than this are sampled once per round. */
const LONG_MS = 500;

async function chainOf({ run, sync }: Launch, times: number): Promise<void> {
  for (let i = 0; i < times; i++) {
    const started = run();
    if (started instanceof Promise) await started;
  }
  await sync();
}

async function elapsed(launch: Launch, times: number): Promise<number> {
  const start = performance.now();
  await chainOf(launch, times);
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
  const least = each > LONG_MS ? 1 : budget.minSamples;
  let spent = 0;
  return async () => {
    if (spent > budget.laneMs) return { wall: [], device: [] };
    const start = performance.now();
    const wall = await round(launch, chain, { ...budget, minSamples: least });
    const times = Math.min(chain, MAX_DEVICE_CHAIN);
    const device = launch.deviceTime ? [(await launch.deviceTime(times)) / times] : [];
    spent += performance.now() - start;
    return { wall, device };
  };
}

function round(launch: Launch, chain: number, { minSamples, roundMs, sampleMs }: Budget): Promise<number[]> {
  return new Promise((resolve, reject) => {
    const bench = new Benchmark({
      defer: true,
      minSamples,
      maxTime: roundMs / 1e3,
      // One call of fn is long enough for the clock: benchmark.js need not repeat it.
      minTime: sampleMs / 4e3,
      delay: 0.001,
      fn: (deferred: Benchmark.Deferred & { resolve(): void }) => {
        chainOf(launch, chain).then(() => deferred.resolve(), reject);
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
  readonly count: number;
}

export function summary(samples: readonly number[]): Time {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number) => {
    const i = q * (sorted.length - 1);
    const lo = Math.floor(i);
    return sorted[lo] + (i - lo) * (sorted[Math.ceil(i)] - sorted[lo]);
  };
  return { median: at(0.5), spread: (at(0.75) - at(0.25)) / at(0.5), best: sorted[0], count: sorted.length };
}
