/** Rows as JSON and as lines of a table. */
import { type Floor, floorMs } from '../floor/floor.ts';
import { type BenchCase, passOf } from './case.ts';
import type { Measured } from './measure.ts';
import { NOISY } from './time.ts';

/** One row of the receipt. Figures are null when the result was wrong: what is wrong is not timed. */
export interface Row {
  readonly kernel: string;
  readonly pass: string;
  /** Of the numbers: f32, or what a frozen matrix is kept as. */
  readonly dtype: string;
  readonly shape: string;
  /** wasm-1, wasm or webgpu; a peer's name before it. */
  readonly provider: string;
  /** wasm, webgpu or, for native libraries, cpu or cuda. */
  readonly backend: string;
  readonly adapter: string;
  readonly threads: number;
  /** Wall clock per launch, from call to device idle. */
  readonly median_ms: number | null;
  /** Distance between the quartiles over the median. */
  readonly spread: number | null;
  /** Samples that median and spread are of. */
  readonly samples: number;
  /** Median per launch by the device's own timestamps; null where the adapter has none. */
  readonly device_ms: number | null;
  readonly gflops: number | null;
  readonly gbps: number | null;
  /** Relative RMS error against the f64 reference; null when it is not a number. */
  readonly rel_err: number | null;
  /** Share of the median that the floor (copy bandwidth, multiply-add rate) accounts for, by the best samples at the start of the run. */
  readonly floor_share: number | null;
  /**
   * What the row's bytes (or flops) take at the median rate of a copy (or of multiply-adds in registers) that took turns with it, round by round:
   * over median_ms, the row's bar. Null where no bar wants it.
   */
  readonly floor_ms: number | null;
  /** Flops per byte. */
  readonly intensity: number | null;
  /** Units of work per second, for whole workloads: tokens, waves. */
  readonly rate: number | null;
  readonly unit: string | null;
  /** What is wrong with the result, or why a peer did not run. */
  readonly wrong: string | null;
}

export const round = (x: number): number => Number(x.toPrecision(4));

export const nameOf = (r: Pick<Row, 'kernel' | 'pass' | 'dtype' | 'shape' | 'provider'>): string =>
  `${r.kernel}/${r.pass}/${r.dtype}/${r.shape}/${r.provider}`;

export function rowOf(
  c: BenchCase,
  { provider, verdict, time, deviceMs }: Measured,
  floor: Floor | undefined,
  probedMs: number | undefined,
): Row {
  const entry = c.spec.entries[c.entry];
  const flops = entry.flops(c.params);
  const bytes = entry.bytes(c.params);
  return {
    kernel: c.spec.name,
    pass: passOf(c),
    dtype: c.dtype ?? 'f32',
    shape: c.shape,
    provider: provider.name,
    backend: provider.backend,
    adapter: provider.adapter,
    threads: provider.threads,
    median_ms: time ? round(time.median) : null,
    spread: time ? round(time.spread) : null,
    samples: time?.count ?? 0,
    device_ms: deviceMs === undefined ? null : round(deviceMs),
    gflops: time ? round(flops / time.median / 1e6) : null,
    gbps: time ? round(bytes / time.median / 1e6) : null,
    rel_err: Number.isFinite(verdict.relErr) ? round(verdict.relErr) : null,
    floor_share: time && floor ? round(floorMs(floor, c) / time.median) : null,
    floor_ms: time && probedMs !== undefined ? round(probedMs) : null,
    intensity: bytes > 0 ? round(flops / bytes) : null,
    rate: null,
    unit: null,
    wrong: verdict.wrong ?? null,
  };
}

const NAME_WIDTH = 58;

export const HEADER = `${'kernel/pass/dtype/shape/provider'.padEnd(NAME_WIDTH)}${'median ms'.padStart(10)}${'spread'.padStart(8)}${'device ms'.padStart(11)}${'GFLOP/s'.padStart(9)}${'GB/s'.padStart(8)}${'of floor'.padStart(9)}  rel_err`;

const ms = (x: number): string => x.toFixed(x < 10 ? 4 : 1);

/** `softmax/fwd/f32/512x1408/wasm   0.81   3 %  …`, or what is wrong. */
export function lineOf(row: Row): string {
  const name = nameOf(row).padEnd(NAME_WIDTH);
  if (row.wrong !== null || row.median_ms === null) return `${name} WRONG, not timed: ${row.wrong}`;
  const percent = (x: number | null) => (x === null ? '' : `${(100 * x).toFixed(0)} %`);
  return [
    name,
    ms(row.median_ms).padStart(10),
    `${percent(row.spread)}${(row.spread ?? 0) > NOISY ? '!' : ' '}`.padStart(8),
    (row.device_ms === null ? '' : ms(row.device_ms)).padStart(11),
    (row.gflops === null ? '' : row.gflops.toFixed(2)).padStart(9),
    (row.gbps === null ? '' : row.gbps.toFixed(2)).padStart(8),
    percent(row.floor_share).padStart(9),
    row.rel_err === null ? '' : `  ${row.rel_err.toExponential(1)}`,
  ].join('');
}

/** What a reader must know before trusting the table; undefined when no row is noisy. */
export function noiseNote(rows: readonly Row[]): string | undefined {
  const timed = rows.filter((r) => r.spread !== null);
  const noisy = timed.filter((r) => (r.spread ?? 0) > NOISY);
  if (noisy.length === 0) return undefined;
  return `noisy: the spread of ${noisy.length} of ${timed.length} rows (marked !) is above ${100 * NOISY} %; see what else the machine is doing`;
}
