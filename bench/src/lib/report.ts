/** Rows as JSON and as lines of a table. */

import { type Floor, floorMs } from '../floor/floor.ts';
import { type BenchCase, passOf, titleOf } from './case.ts';
import type { Measured } from './measure.ts';

/** One row of the receipt. Figures are null when the result was wrong: what is wrong is not timed. */
export interface Row {
  readonly kernel: string;
  readonly pass: string;
  readonly dtype: 'f32';
  readonly shape: string;
  /** wasm-1, wasm or webgpu. */
  readonly provider: string;
  readonly backend: string;
  readonly adapter: string;
  readonly median_ms: number | null;
  /** Distance between the quartiles over the median. */
  readonly spread: number | null;
  readonly gflops: number | null;
  readonly gbps: number | null;
  /** Relative RMS error against the f64 reference; null when it is not a number. */
  readonly rel_err: number | null;
  /** Share of the median that the floor (copy bandwidth, multiply-add rate) accounts for. */
  readonly floor_share: number | null;
}

const round = (x: number): number => Number(x.toPrecision(4));

export function rowOf(c: BenchCase, { provider, verdict, time }: Measured, floor: Floor | undefined): Row {
  const entry = c.spec.entries[c.entry];
  const flops = entry.flops(c.params);
  const bytes = entry.bytes(c.params);
  const { backend, adapter } = provider.backend.info;
  return {
    kernel: c.spec.name,
    pass: passOf(c),
    dtype: 'f32',
    shape: c.shape,
    provider: provider.name,
    backend,
    adapter,
    median_ms: time ? round(time.median) : null,
    spread: time ? round(time.spread) : null,
    gflops: time ? round(flops / time.median / 1e6) : null,
    gbps: time ? round(bytes / time.median / 1e6) : null,
    rel_err: Number.isFinite(verdict.relErr) ? round(verdict.relErr) : null,
    floor_share: time && floor ? round(floorMs(floor, c) / time.median) : null,
  };
}

export const HEADER = `${'kernel/pass/dtype/shape/provider'.padEnd(58)}${'median ms'.padStart(10)}${'spread'.padStart(8)}${'GFLOP/s'.padStart(9)}${'GB/s'.padStart(8)}${'of floor'.padStart(9)}  rel_err`;

/** `softmax/fwd/f32/512x1408/wasm   0.81   3 %  …`, or what is wrong. */
export function lineOf(c: BenchCase, m: Measured, row: Row): string {
  const name = `${titleOf(c)}/${m.provider.name}`.padEnd(58);
  if (m.verdict.wrong) return `${name} WRONG, not timed: ${m.verdict.wrong}`;
  const percent = (x: number | null, digits = 0) => (x === null ? '' : `${(100 * x).toFixed(digits)} %`);
  const [ms, gflops, gbps] = [row.median_ms ?? 0, row.gflops ?? 0, row.gbps ?? 0];
  return [
    name,
    ms.toFixed(ms < 10 ? 4 : 1).padStart(10),
    percent(row.spread).padStart(8),
    gflops.toFixed(2).padStart(9),
    gbps.toFixed(2).padStart(8),
    percent(row.floor_share).padStart(9),
    `  ${(row.rel_err ?? 0).toExponential(1)}`,
  ].join('');
}
