/** Check, then time: one case on every provider. */
import { entryOf, launchRef } from '@eagrl/kernels';
import { type BenchCase, Draw, titleOf } from './case.ts';
import { check, type Verdict } from './check.ts';
import { Placed } from './placed.ts';
import type { Provider } from './providers.ts';
import { type Budget, prepare, type Round, summary, type Time } from './time.ts';

export interface Measured {
  readonly provider: Provider;
  readonly verdict: Verdict;
  /** Undefined when the result is wrong. */
  readonly time?: Time;
}

/** Providers take turns round by round, from another one each time. */
export async function measure(c: BenchCase, providers: readonly Provider[], budget: Budget): Promise<Measured[]> {
  const entry = entryOf(c.spec, c.entry);
  const inputs = c.inputs(new Draw(titleOf(c)));
  const want = launchRef(c.spec, c.entry, inputs, c.params);
  const lanes: { provider: Provider; placed: Placed; verdict: Verdict; round?: Round; samples: number[] }[] = [];
  for (const provider of providers) {
    await provider.backend.prepare([c.spec]);
    const placed = new Placed(c, provider.backend, inputs);
    placed.launch.run();
    const verdict = check(entry, await placed.outputs(), want);
    placed.steady();
    const round = verdict.wrong ? undefined : await prepare(placed.launch, budget);
    lanes.push({ provider, placed, verdict, round, samples: [] });
  }
  for (let r = 0; r < budget.rounds; r++) {
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + r) % lanes.length];
      if (lane.round) lane.samples.push(...(await lane.round()));
    }
  }
  for (const { placed } of lanes) placed.free();
  return lanes.map(({ provider, verdict, samples }) => ({ provider, verdict, time: verdict.wrong ? undefined : summary(samples) }));
}
