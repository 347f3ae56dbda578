/** One run: floors, then every case on every provider. Knows neither Node nor the DOM. */
import { copyCases, type Floor, floorMs, fmaSteps, heldBytes, launchesOf, SHORT_MS } from '../floor/floor.ts';
import { atStake, probesOf } from './bars.ts';
import { type BenchCase, titleOf } from './case.ts';
import { type Measured, measure } from './measure.ts';
import { isHardware, type Provider } from './provider.ts';
import { HEADER, lineOf, type Row, rowOf } from './report.ts';
import { Stop } from './stop.ts';
import type { Budget, Time } from './time.ts';

export interface Session {
  readonly cases: readonly BenchCase[];
  readonly providers: readonly Provider[];
  readonly budget: Budget;
  /** Whether a row is asked for, by its name. */
  readonly wanted: (name: string) => boolean;
  readonly print: (line: string) => void;
  /** Begins each case, or does not any more; without it all of them. */
  readonly stop?: Stop;
}

export interface Outcome {
  /** By provider name. */
  readonly floors: Readonly<Record<string, Floor>>;
  readonly rows: readonly Row[];
  /** Rows that were not measured: see LONGEST_MS. */
  readonly leftOut: readonly string[];
  /** Rows that were asked for when the run was over. */
  readonly notReached: readonly string[];
}

/**
 * A WebGPU adapter that needs longer for one launch at its own best rate is a CPU with work for a GPU, of which only minutes would be learnt; peers
 * take up to 15 times their floor. Every GPU is far below.
 */
const LONGEST_MS = 100;
/** Twice what registers alone give, and more: such a rate is of work that was not done. Below it may be noise. */
const INCREDIBLE = 2;

/** @throws Error when a floor is wrong or one of our kernels does not run; a wrong result is a row that says so. */
export async function runCases({ cases, providers, budget, wanted, print, stop = new Stop() }: Session): Promise<Outcome> {
  const measured = await stop.begin(() =>
    measureFloors(
      providers.filter((p) => p.floorOf === p.name),
      cases.filter((c) => providers.some((p) => wanted(`${titleOf(c)}/${p.name}`) && !(c.hardwareOnly && !isHardware(p)))),
      budget,
      stop,
    ),
  );
  const floors = measured ?? {};
  for (const p of providers.filter(({ name }) => name in floors)) print(floorLine(p, floors[p.name]));
  const rows: Row[] = [];
  const leftOut: string[] = [];
  const notReached: string[] = [];
  const floorOf = ({ floorOf: name }: Provider) => (name === undefined ? undefined : floors[name]);
  print(HEADER);
  for (const c of cases) {
    const asked = providers.filter((p) => wanted(`${titleOf(c)}/${p.name}`));
    const tooLong = asked.filter((p) => {
      const floor = floorOf(p);
      if (c.hardwareOnly && !isHardware(p)) return true;
      return p.backend === 'webgpu' && floor !== undefined && floorMs(floor, c) > LONGEST_MS;
    });
    leftOut.push(...tooLong.map((p) => `${titleOf(c)}/${p.name}`));
    const chosen = asked.filter((p) => !tooLong.includes(p));
    if (chosen.length === 0) continue;
    const most = atStake(c) ? budget.mostRounds : budget.rounds;
    const all = await stop.begin(() => measure(c, chosen, { ...budget, mostRounds: most }, (p) => probesOf(c, p)));
    if (!all) notReached.push(...chosen.map((p) => `${titleOf(c)}/${p.name}`));
    for (const m of all ?? []) {
      const floor = floorOf(m.provider);
      const row = rowOf(c, credible(c, m, floor), floor, probedMs(c, m));
      rows.push(row);
      print(lineOf(row));
    }
  }
  if (leftOut.length > 0)
    print(`left out, work for GPUs (${LONGEST_MS} ms a launch or more at the best rate of a CPU): ${leftOut.join(', ')}`);
  return { floors, rows, leftOut, notReached };
}

/** A peer's result is right, but one launch among many may have been skipped: then its rate gives it away. */
export function credible(c: BenchCase, m: Measured, floor: Floor | undefined): Measured {
  if (!m.time || !m.provider.peer || floor === undefined) return m;
  const gflops = c.spec.entries[c.entry].flops(c.params) / m.time.median / 1e6;
  if (gflops <= INCREDIBLE * floor.gflops) return m;
  const wrong = `${gflops.toFixed(0)} GFLOP/s where registers alone give ${floor.gflops.toFixed(0)}: it did not do the work of every launch`;
  return { ...m, time: undefined, deviceMs: undefined, verdict: { ...m.verdict, wrong } };
}

const timeOf = (probe: BenchCase, { provider, verdict, time }: Pick<Measured, 'provider' | 'verdict' | 'time'>): Time => {
  if (!time) throw new Error(`${titleOf(probe)}/${provider.name}: ${verdict.wrong}; no floor to compare with`);
  return time;
};

/** Milliseconds of the case's work at the median rate of the probes that took turns with it, of several the fastest. */
function probedMs(c: BenchCase, { provider, probes }: Measured): number | undefined {
  if (probes.length === 0) return undefined;
  return Math.min(...probes.map((p) => launchesOf(p.case, c) * timeOf(p.case, { provider, ...p }).median));
}

const floorLine = ({ name, adapter }: Provider, { copies, gflops }: Floor): string => {
  const sizes = copies.map(({ bytes, gbps }) => `${gbps.toFixed(1)} GB/s of ${bytes / 1024} KiB`).join(', ');
  return `floor ${name}: ${adapter}; multiply-add in registers ${gflops.toFixed(1)} GFLOP/s; copy ${sizes}`;
};

/**
 * Of copies, up to the first that is as large as the largest case; of multiply-adds, up to the first that takes SHORT_MS. Undefined: over before it
 * had all of them.
 */
async function measureFloors(
  providers: readonly Provider[],
  cases: readonly BenchCase[],
  budget: Budget,
  stop: Stop,
): Promise<Record<string, Floor> | undefined> {
  const copies = new Map(providers.map((p) => [p, [] as { bytes: number; gbps: number }[]]));
  // By the best sample: what else the machine did meanwhile does not lower what it can do.
  const rate = (bench: BenchCase, amount: number, m: Measured) => amount / timeOf(bench, m).best / 1e6;
  const onWebgpu = providers.filter((p) => p.backend === 'webgpu');
  const most = Math.max(0, ...cases.map(heldBytes));
  const largest = copyCases.find(({ bytes }) => bytes >= most) ?? copyCases[copyCases.length - 1];
  for (const { bytes, plain, wide } of copyCases) {
    if (bytes > largest.bytes) break;
    const best = new Map<Provider, number>();
    for (const [c, on] of [
      [plain, providers],
      [wide, onWebgpu],
    ] as const) {
      if (stop.over) return undefined;
      for (const m of await measure(c, on, budget)) best.set(m.provider, Math.max(best.get(m.provider) ?? 0, rate(c, bytes, m)));
    }
    for (const [p, gbps] of best) copies.get(p)?.push({ bytes, gbps });
  }
  const gflops = new Map<Provider, number>();
  for (const form of ['plain', 'scalar'] as const) {
    let on = form === 'plain' ? providers : onWebgpu;
    for (const { [form]: c } of fmaSteps) {
      if (on.length === 0) break;
      if (stop.over) return undefined;
      const measured = await measure(c, on, budget);
      const flops = c.spec.entries[c.entry].flops(c.params);
      for (const m of measured) gflops.set(m.provider, Math.max(gflops.get(m.provider) ?? 0, rate(c, flops, m)));
      on = measured.filter((m) => timeOf(c, m).best < SHORT_MS).map((m) => m.provider);
    }
  }
  return Object.fromEntries(providers.map((p) => [p.name, { copies: copies.get(p) ?? [], gflops: gflops.get(p) ?? 0 }]));
}
