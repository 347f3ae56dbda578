/** Check, then time: one case on every provider. */
import { entryOf, launchRef } from '@eagrl/kernels';
import { type BenchCase, Draw, titleOf } from './case.ts';
import { check, type Verdict } from './check.ts';
import type { Lane, Provider } from './provider.ts';
import { type Budget, summary, type Time } from './time.ts';

export interface Measured {
  readonly provider: Provider;
  readonly verdict: Verdict;
  /** Undefined when the result is wrong. */
  readonly time?: Time;
  /** Median milliseconds per launch by the device's own clock. */
  readonly deviceMs?: number;
}

interface Running {
  readonly provider: Provider;
  readonly verdict: Verdict;
  readonly lane?: Lane;
  readonly wall: number[];
  readonly device: number[];
}

/** Time between two providers: threads that spin after their last job come to rest, so they do not run into the next one's samples. */
const SETTLE_MS = 10;

/**
 * Providers take turns round by round, from another one each time. One that has no such operation gives no result.
 * A peer that throws is reported, with its words; ours must not.
 */
export async function measure(c: BenchCase, providers: readonly Provider[], budget: Budget): Promise<Measured[]> {
  const entry = entryOf(c.spec, c.entry);
  const inputs = c.inputs(new Draw(titleOf(c)));
  const want = launchRef(c.spec, c.entry, inputs, c.params);
  const runs: Running[] = [];
  for (const provider of providers) {
    try {
      const lane = await provider.place(c, inputs);
      if (!lane) continue;
      const verdict = check(entry, await lane.outputs(), want);
      if (verdict.wrong) await lane.free();
      else await lane.prepare(budget);
      runs.push({ provider, verdict, lane: verdict.wrong ? undefined : lane, wall: [], device: [] });
    } catch (error) {
      if (!provider.peer) throw error;
      runs.push({ provider, verdict: { relErr: Number.NaN, wrong: `does not run: ${(error as Error).message}` }, wall: [], device: [] });
    }
  }
  const timed = runs.filter((r) => r.lane);
  for (let round = 0; round < budget.rounds; round++) {
    for (let i = 0; i < timed.length; i++) {
      const { lane, wall, device } = timed[(i + round) % timed.length];
      if (!lane) continue;
      if (timed.length > 1) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
      const samples = await lane.round();
      wall.push(...samples.wall);
      device.push(...samples.device);
    }
  }
  for (const { lane } of timed) await lane?.free();
  return runs.map(({ provider, verdict, wall, device }) => ({
    provider,
    verdict,
    time: wall.length > 0 ? summary(wall) : undefined,
    deviceMs: device.length > 0 ? summary(device).median : undefined,
  }));
}
