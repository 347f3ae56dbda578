/** Check, then time: one case on every provider, and what takes turns with it. */
import { entryOf, type HostArray, launchRef } from '@eagrl/kernels';
import { type BenchCase, Draw, rowsOf, titleOf } from './case.ts';
import { check, type Verdict } from './check.ts';
import type { Lane, Provider } from './provider.ts';
import { type Budget, NOISY, type Samples, summary, type Time } from './time.ts';

interface Result {
  readonly verdict: Verdict;
  /** Undefined when the result is wrong. */
  readonly time?: Time;
  /** Median milliseconds per launch by the device's own clock. */
  readonly deviceMs?: number;
}

export interface Measured extends Result {
  readonly provider: Provider;
  /** What took turns with the case on this provider, of the same rounds; none when the case itself is wrong. */
  readonly probes: readonly (Result & { readonly case: BenchCase })[];
}

interface Running {
  readonly case: BenchCase;
  readonly verdict: Verdict;
  readonly lane?: Lane;
  readonly wall: number[];
  readonly device: number[];
}

/** What belongs together: the case on one provider, then its probes. */
interface Party {
  readonly provider: Provider;
  readonly runs: readonly Running[];
}

/** Time between two lanes: threads that spin after their last job come to rest, so they do not run into the next one's samples. */
const SETTLE_MS = 10;

/**
 * Providers take turns round by round, from another one each time, and on each the case with its probes. One that has no such operation gives no
 * result. A peer that throws is reported, with its words; ours must not.
 */
export async function measure(
  c: BenchCase,
  providers: readonly Provider[],
  budget: Budget,
  probesOf: (p: Provider) => readonly BenchCase[] = () => [],
): Promise<Measured[]> {
  const parties = await place(c, providers, budget, probesOf);
  const timed = parties.map(({ runs }) => runs.filter((r) => r.lane)).filter((runs) => runs.length > 0);
  const settleMs = timed.flat().length > 1 ? SETTLE_MS : 0;
  const done = new Set<readonly Running[]>();
  const failed = new Map<Running, Verdict>();
  const ours = new Set(parties.filter(({ provider }) => !provider.peer).flatMap(({ runs }) => runs));
  const isNoisy = (run: Running) => ours.has(run) && run.wall.length > 0 && summary(run.wall).spread > NOISY;
  const noisy = () => timed.some((runs) => !done.has(runs) && runs.some(isNoisy));
  for (let round = 0; round < budget.rounds || (round < budget.mostRounds && noisy()); round++) {
    for (let i = 0; i < timed.length; i++) {
      const runs = timed[(i + round) % timed.length];
      if (done.has(runs)) continue;
      try {
        if (!(await playRound(runs, round, settleMs))) done.add(runs);
      } catch (error) {
        if (ours.has(runs[0])) throw error;
        failed.set(runs[0], doesNotRun(error));
        done.add(runs);
      }
    }
  }
  for (const run of timed.flat()) await run.lane?.free();
  return parties.map(({ provider, runs: [own, ...probes] }) => ({
    provider,
    ...(failed.has(own) ? { verdict: failed.get(own) as Verdict } : resultOf(own)),
    probes: probes.map((p) => ({ case: p.case, ...resultOf(p) })),
  }));
}

/** Numbers and references live no longer than this: they are as large as the cases. */
async function place(
  c: BenchCase,
  providers: readonly Provider[],
  budget: Budget,
  probesOf: (p: Provider) => readonly BenchCase[],
): Promise<Party[]> {
  const known = new Map<string, ReturnType<typeof expected>>();
  const run = async (of: BenchCase, provider: Provider): Promise<Running | undefined> => {
    const data = known.get(titleOf(of)) ?? expected(of);
    known.set(titleOf(of), data);
    const lane = await provider.place(of, data.inputs);
    if (!lane) return undefined;
    const verdict = check(entryOf(of.spec, of.entry), checked(of, await lane.outputs()), data.want);
    if (verdict.wrong) await lane.free();
    else await lane.prepare(budget);
    return { case: of, verdict, lane: verdict.wrong ? undefined : lane, wall: [], device: [] };
  };
  const parties: Party[] = [];
  for (const provider of providers) {
    try {
      const own = await run(c, provider);
      if (!own) continue;
      const runs = [own];
      for (const probe of own.lane ? probesOf(provider) : []) {
        const beside = await run(probe, provider);
        if (beside) runs.push(beside);
      }
      parties.push({ provider, runs });
    } catch (error) {
      if (!provider.peer) throw error;
      parties.push({ provider, runs: [{ case: c, verdict: doesNotRun(error), wall: [], device: [] }] });
    }
  }
  return parties;
}

function expected(c: BenchCase) {
  const inputs = c.inputs(new Draw(titleOf(c)));
  const { sample } = c;
  const want = sample ? launchRef(c.spec, c.entry, sample.inputs(inputs), sample.params) : launchRef(c.spec, c.entry, inputs, c.params);
  return { inputs, want };
}

/** Of a sampled output the rows that the reference has. */
const checked = ({ sample }: BenchCase, got: Readonly<Record<string, HostArray>>): Readonly<Record<string, HostArray>> =>
  sample ? { ...got, [sample.output]: rowsOf(got[sample.output], sample.rows, sample.width) } : got;

/** From another one each time. False: the time of one is used up, and the round counts for none, so that all medians are of the same rounds. */
async function playRound(runs: readonly Running[], round: number, settleMs: number): Promise<boolean> {
  const samples: [Running, Samples][] = [];
  for (let i = 0; i < runs.length; i++) {
    const run = runs[(i + round) % runs.length];
    if (settleMs > 0) await new Promise((resolve) => setTimeout(resolve, settleMs));
    const taken = await run.lane?.round();
    if (!taken || taken.wall.length === 0) return false;
    samples.push([run, taken]);
  }
  for (const [{ wall, device }, taken] of samples) {
    wall.push(...taken.wall);
    device.push(...taken.device);
  }
  return true;
}

const doesNotRun = (error: unknown): Verdict => ({ relErr: Number.NaN, wrong: `does not run: ${(error as Error).message}` });

const resultOf = ({ verdict, wall, device }: Running): Result => ({
  verdict,
  time: wall.length > 0 ? summary(wall) : undefined,
  deviceMs: device.length > 0 ? summary(device).median : undefined,
});
