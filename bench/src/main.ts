/** `npm run bench`: checks, then times every kernel on every provider. The last line is the result as JSON. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { DeviceError, openDevice } from '@eagrl/runtime';
import { cases } from './cases/index.ts';
import { type Bar, barLine, barsOf } from './lib/bars.ts';
import { type BenchCase, suits, titleOf } from './lib/case.ts';
import { compare, comparisonLines, holds } from './lib/compare.ts';
import { heatNote } from './lib/heat.ts';
import { interruptible } from './lib/interrupt.ts';
import { commit, machine, repository, versions } from './lib/machine.ts';
import { commandOf, type Extent, type Options, parseOptions, USAGE, UsageError } from './lib/options.ts';
import { atFullClock, heaterOf, openBackends, own } from './lib/provider.ts';
import { type PeerStatus, type Receipt, ReceiptError, readReceipt, writeReceipt } from './lib/receipt.ts';
import { noiseNote } from './lib/report.ts';
import { runCases } from './lib/session.ts';
import { Stop } from './lib/stop.ts';
import { type Budget, FULL, NORMAL, QUICK } from './lib/time.ts';
import { tunable, tuneCases } from './lib/tune.ts';
import { openPeers, PeersMissing } from './peers/open.ts';
import { workloads } from './workloads/policy.ts';
import { runWorkloads, titleOf as titleOfWork } from './workloads/workload.ts';

/**
 * Runs the benchmark and returns the exit code: 0; 1, a result of ours is wrong; 2, flags, device, peers not installed;
 * 3, slower than the receipt it is compared with; 130 or 143, ended by Ctrl-C or SIGTERM; 141, its output has no reader.
 */
export async function main(
  argv: readonly string[],
  print: (line: string) => void,
  complain: (line: string) => void,
  table: readonly BenchCase[] = cases,
): Promise<number> {
  try {
    const options = parseOptions(argv);
    if (options.help) print(USAGE);
    if (options.help) return 0;
    if (options.tune !== undefined) return await tuning(options, options.tune, table, print);
    return await interruptible(complain, (told) => bench(options, argv, table, print, told));
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof DeviceError || error instanceof PeersMissing)) throw error;
    complain(`bench: ${error.message}`);
    return 2;
  }
}

const BUDGETS: Readonly<Record<Extent, Budget>> = { quick: QUICK, normal: NORMAL, full: FULL };
const RANK: Readonly<Record<Extent, number>> = { quick: 0, normal: 1, full: 2 };

/** Names that rows may end in; wasm also runs on fewer threads. */
const endings = ({ devices, peers }: Options) => [
  ...devices.flatMap((d) => (d === 'wasm' ? ['wasm', 'wasm-1', 'wasm-2', 'wasm-4', 'wasm-8', 'wasm-16'] : ['webgpu'])),
  ...peers.flatMap((p) => [p, `${p}-1`]),
];

/** What may have rows in this run, in the order of the filter's texts: a run that may be cut has first what was named first. */
function asked<T>(all: readonly T[], title: (x: T) => string, options: Options): readonly T[] {
  const ends = endings(options);
  const ranked = all.map((x) => {
    const rank = options.filter.split(',').findIndex((text) => ends.some((end) => suits(text, `${title(x)}/${end}`)));
    return { x, rank };
  });
  const chosen = ranked.filter(({ rank }) => rank >= 0);
  return chosen.sort((a, b) => a.rank - b.rank).map(({ x }) => x);
}

function choose(options: Options, table: readonly BenchCase[], mayBeEmpty: boolean): readonly BenchCase[] {
  const { filter, extent } = options;
  const inExtent = table.filter((c) => RANK[c.from ?? 'quick'] <= RANK[extent]);
  const chosen = asked(inExtent, titleOf, options);
  if (chosen.length > 0 || mayBeEmpty) return chosen;
  const kernels = [...new Set(table.map((c) => c.spec.name))];
  throw new UsageError(
    `--filter ${filter}: no row of this run has this in its name; names look like ${titleOf(table[0])}/wasm, kernels are ${kernels.join(', ')}`,
  );
}

/** The last line is the tuning as JSON. */
async function tuning(options: Options, seconds: number, table: readonly BenchCase[], print: (line: string) => void): Promise<number> {
  const device = options.devices.find((d) => d !== 'wasm');
  if (!device) throw new UsageError('--tune: WebAssembly has one way to compute each kernel; add --device webgpu');
  const chosen = choose({ ...options, devices: [device], peers: [] }, table.filter(tunable), false);
  const backend = await openDevice({ device });
  const made = await tuneCases(backend, chosen, seconds, print);
  await backend.destroy();
  print(JSON.stringify(made));
  return made.shapes.some((s) => s.wrong.length > 0) ? 1 : 0;
}

function readBase(path: string): Receipt {
  try {
    return readReceipt(readFileSync(path, 'utf8'));
  } catch (error) {
    if (error instanceof ReceiptError) throw new UsageError(`--compare ${path}: ${error.message}`);
    throw new UsageError(`--compare ${path}: ${(error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : error}`);
  }
}

/** Figures of two machines say nothing about the code. */
function checkSameMachine({ run }: Receipt): void {
  const here = machine();
  const differs = (['cpu', 'cores', 'os', 'node'] as const).filter((k) => run.machine[k] !== here[k]);
  if (differs.length === 0) return;
  const what = differs.map((k) => `${k} ${run.machine[k]} there, ${here[k]} here`).join('; ');
  throw new UsageError(`--compare: the receipt is of another machine (${what}); compare runs of one machine`);
}

async function bench(
  options: Options,
  argv: readonly string[],
  table: readonly BenchCase[],
  print: (line: string) => void,
  told: AbortSignal,
): Promise<number> {
  const { filter, devices, extent, minutes } = options;
  const stop = new Stop(minutes, told);
  const wanted = (name: string) => suits(filter, name);
  const works = extent === 'full' ? asked(workloads(), titleOfWork, options) : [];
  const chosen = choose(options, table, works.length > 0);
  const base = options.compare === undefined ? undefined : readBase(options.compare);
  if (base) checkSameMachine(base);
  const date = new Date().toISOString();
  const backends = await openBackends(devices, extent === 'full');
  const ours = [...backends].map(([name, backend]) => own(name, backend));
  const peers = await openPeers(options.peers, devices, print, stop);
  const heater = heaterOf(backends);
  const providers = atFullClock([...ours, ...peers.providers], heater);
  const budget = BUDGETS[extent];
  const kernels = await runCases({ cases: chosen, providers, budget, wanted, print, stop });
  const { floors } = kernels;
  const work = await runWorkloads(works, { backends, peers: peers.providers, heat: heater?.heat, wanted, floors, budget, print, stop });
  const notReached = [...kernels.notReached, ...work.notReached];
  const rows = [...kernels.rows, ...work.rows];
  // Devices that may still be at work end with the process.
  for (const p of told.aborted ? peers.providers : providers) await p.close();

  const bars = barsOf({ rows, counts: work.counts });
  for (const bar of bars) print(barLine(bar));
  const note = noiseNote(rows);
  if (note) print(note);
  const seconds = (Date.now() - Date.parse(date)) / 1e3;
  const heating = heatNote(heater, seconds);
  if (heating) print(heating);
  if (notReached.length > 0)
    print(`over (${told.aborted ? told.reason : `--minutes ${minutes}`}), ${notReached.length} rows not reached: ${some(notReached)}`);
  const run = {
    date,
    machine: machine(),
    commit: commit() ?? options.commit ?? null,
    command: commandOf(argv),
    versions: versions(peers.status),
    workload: `${extent}: ${chosen.length} kernel cases, ${works.length} workloads, ${budget.rounds} rounds of ${budget.roundMs} ms, samples of ${budget.sampleMs} ms; took ${Math.round(seconds)} s${heating ? `, ${heating}` : ''}`,
    floors,
    peers: peers.status,
    leftOut: [...kernels.leftOut, ...work.leftOut],
    notReached,
  };
  const receipt: Receipt = { run, rows, bars };
  const empty = rows.length === 0 && stop.over;
  if (empty && (options.receipt || options.html !== undefined)) print('no row was measured: no receipt, no report');
  if (options.receipt && !empty) print(`receipt: ${saveReceipt(receipt)}`);
  if (options.html !== undefined && !empty) {
    const { reportHtml } = await import('./html/report.ts');
    writeFileSync(options.html, reportHtml(receipt));
    print(`report: ${options.html}`);
  }
  const notStarted = peers.notStarted.flatMap((p) => [`/${p}`, `/${p}-1`]);
  const reached = (name: string) => wanted(name) && !notReached.includes(name) && !notStarted.some((end) => name.endsWith(end));
  const comparison = base && compare(base.rows, rows, reached);
  if (comparison) for (const line of comparisonLines(comparison)) print(line);
  print(resultLine(receipt, peers.status, bars));
  const ownNames = new Set(ours.map((p) => p.name));
  if (rows.some((r) => r.wrong !== null && ownNames.has(r.provider))) return 1;
  return comparison && !holds(comparison) ? 3 : 0;
}

/** A terminal's line has room for some names; the receipt has all. */
const some = (names: readonly string[], most = 6): string =>
  names.length <= most ? names.join(', ') : `${names.slice(0, most).join(', ')} and ${names.length - most} more`;

const resultLine = ({ run, rows }: Receipt, peers: readonly PeerStatus[], bars: readonly Bar[]) =>
  JSON.stringify({ machine: run.machine, commit: run.commit, rows, bars, peers });

/** Writes bench/results/<date>-<commit>.jsonl and returns its path in the repository. */
function saveReceipt(receipt: Receipt): string {
  const folder = new URL('bench/results/', repository);
  mkdirSync(folder, { recursive: true });
  const stamp = receipt.run.date.slice(0, 19).replaceAll(':', '');
  const file = new URL(`${stamp}-${(receipt.run.commit ?? 'no-commit').replace('+', '-dirty')}.jsonl`, folder);
  writeFileSync(file, writeReceipt(receipt), { flag: 'wx' });
  return relative(repository.pathname, file.pathname);
}
