/** One run: floors, then every case on every provider. Knows neither Node nor the DOM. */
import { copyCases, type Floor, fmaCase } from '../floor/floor.ts';
import { type BenchCase, titleOf } from './case.ts';
import { type Measured, measure } from './measure.ts';
import type { Provider } from './provider.ts';
import { HEADER, lineOf, type Row, rowOf } from './report.ts';
import type { Budget } from './time.ts';

export interface Session {
  readonly cases: readonly BenchCase[];
  readonly providers: readonly Provider[];
  readonly budget: Budget;
  /** Whether a row is asked for, by its name. */
  readonly wanted: (name: string) => boolean;
  readonly print: (line: string) => void;
}

export interface Outcome {
  /** By provider name. */
  readonly floors: Readonly<Record<string, Floor>>;
  readonly rows: readonly Row[];
}

/** @throws Error when a floor is wrong or one of our kernels does not run; a wrong result is a row that says so. */
export async function runCases({ cases, providers, budget, wanted, print }: Session): Promise<Outcome> {
  const floors = await measureFloors(
    providers.filter((p) => p.floorOf === p.name),
    budget,
    print,
  );
  const rows: Row[] = [];
  print(HEADER);
  for (const c of cases) {
    const chosen = providers.filter((p) => wanted(`${titleOf(c)}/${p.name}`));
    if (chosen.length === 0) continue;
    for (const m of await measure(c, chosen, budget)) {
      const row = rowOf(c, m, m.provider.floorOf === undefined ? undefined : floors[m.provider.floorOf]);
      rows.push(row);
      print(lineOf(row));
    }
  }
  return { floors, rows };
}

async function measureFloors(
  providers: readonly Provider[],
  budget: Budget,
  print: (line: string) => void,
): Promise<Record<string, Floor>> {
  const copies = new Map(providers.map((p) => [p, [] as { bytes: number; gbps: number }[]]));
  // By the best sample: what else the machine did meanwhile does not lower what it can do.
  const rate = (bench: BenchCase, amount: number, m: Measured) => {
    if (!m.time) throw new Error(`${titleOf(bench)}/${m.provider.name}: ${m.verdict.wrong}; no floor to compare with`);
    return amount / m.time.best / 1e6;
  };
  for (const c of copyCases) {
    const bytes = c.spec.entries[c.entry].bytes(c.params);
    for (const m of await measure(c, providers, budget)) copies.get(m.provider)?.push({ bytes, gbps: rate(c, bytes, m) });
  }
  const floors: Record<string, Floor> = {};
  for (const m of await measure(fmaCase, providers, budget)) {
    const flops = fmaCase.spec.entries[fmaCase.entry].flops(fmaCase.params);
    const floor = { copies: copies.get(m.provider) ?? [], gflops: rate(fmaCase, flops, m) };
    floors[m.provider.name] = floor;
    const sizes = floor.copies.map(({ bytes, gbps }) => `${gbps.toFixed(1)} GB/s of ${bytes / 1024} KiB`).join(', ');
    print(`floor ${m.provider.name}: ${m.provider.adapter}; multiply-add in registers ${floor.gflops.toFixed(1)} GFLOP/s; copy ${sizes}`);
  }
  return floors;
}
