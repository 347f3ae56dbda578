/** `npm run bench`: checks, then times every kernel on every provider. The last line is the receipt. */
import { appendFileSync, mkdirSync } from 'node:fs';
import { DeviceError } from '@eagrl/runtime';
import { cases } from './cases/index.ts';
import { copyCases, type Floor, fmaCase } from './floor/floor.ts';
import { type BenchCase, titleOf } from './lib/case.ts';
import { commit, machine } from './lib/machine.ts';
import { type Measured, measure } from './lib/measure.ts';
import { type Options, parseOptions, USAGE, UsageError } from './lib/options.ts';
import { openProviders, type Provider } from './lib/providers.ts';
import { HEADER, lineOf, type Row, rowOf } from './lib/report.ts';
import { type Budget, FULL, QUICK } from './lib/time.ts';

/** Runs the benchmark and returns the exit code: 0, 1 (a result is wrong) or 2 (flags, device). */
export async function main(
  argv: readonly string[],
  print: (line: string) => void,
  complain: (line: string) => void,
  table: readonly BenchCase[] = cases,
): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options.help) print(USAGE);
    return options.help ? 0 : await bench(options, table, print);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    complain(`bench: ${error.message}`);
    return 2;
  }
}

/** Names of the rows that a device gives; wasm also runs on one thread. */
const endings = (devices: Options['devices']) => devices.flatMap((d) => (d === 'wasm' ? ['wasm', 'wasm-1'] : ['webgpu']));

async function bench(options: Options, table: readonly BenchCase[], print: (line: string) => void): Promise<number> {
  const { filter, devices, quick, save } = options;
  const wanted = (c: BenchCase, provider: string) => `${titleOf(c)}/${provider}`.includes(filter);
  const chosen = table.filter((c) => !(quick && c.large) && endings(devices).some((name) => wanted(c, name)));
  if (chosen.length === 0) {
    const kernels = [...new Set(table.map((c) => c.spec.name))];
    throw new UsageError(
      `--filter ${filter}: no row has this in its name; names look like ${titleOf(table[0])}/wasm, kernels are ${kernels.join(', ')}`,
    );
  }
  const budget = quick ? QUICK : FULL;
  const providers = await openProviders(devices, false).catch((error: Error) => {
    throw error instanceof DeviceError ? new UsageError(error.message) : error;
  });
  const rows: Row[] = [];
  const floors = await measureFloors(providers, budget, print);
  let wrong = 0;
  print(HEADER);
  for (const c of chosen) {
    for (const m of await measure(
      c,
      providers.filter((p) => wanted(c, p.name)),
      budget,
    )) {
      const row = rowOf(c, m, floors.get(m.provider));
      rows.push(row);
      if (m.verdict.wrong) wrong++;
      print(lineOf(c, m, row));
    }
  }
  for (const { backend } of providers) await backend.destroy();
  const receipt = JSON.stringify({ machine: machine(), commit: commit(), rows, bars: [] });
  if (save) saveReceipt(receipt);
  print(receipt);
  return wrong > 0 ? 1 : 0;
}

async function measureFloors(providers: readonly Provider[], budget: Budget, print: (line: string) => void): Promise<Map<Provider, Floor>> {
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
  const floors = new Map<Provider, Floor>();
  for (const m of await measure(fmaCase, providers, budget)) {
    const flops = fmaCase.spec.entries[fmaCase.entry].flops(fmaCase.params);
    floors.set(m.provider, { copies: copies.get(m.provider) ?? [], gflops: rate(fmaCase, flops, m) });
  }
  for (const [{ name, backend }, { copies: c, gflops }] of floors) {
    const sizes = c.map(({ bytes, gbps }) => `${gbps.toFixed(1)} GB/s of ${bytes / 1024} KiB`).join(', ');
    print(`floor ${name}: ${backend.info.adapter}; multiply-add in registers ${gflops.toFixed(1)} GFLOP/s; copy ${sizes}`);
  }
  return floors;
}

function saveReceipt(receipt: string): void {
  const folder = new URL('../results/', import.meta.url);
  mkdirSync(folder, { recursive: true });
  appendFileSync(new URL(`${new Date().toISOString().slice(0, 10)}.jsonl`, folder), `${receipt}\n`);
}
