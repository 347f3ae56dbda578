/** Whole pieces of work, timed from call to result: a training step, generation, tree search. */
import { type Backend, openDevice } from '@eagrl/runtime';
import type { Floor } from '../floor/floor.ts';
import type { StepCounts } from '../lib/bars.ts';
import { relativeRms } from '../lib/check.ts';
import { lineOf, type Row, round } from '../lib/report.ts';
import { type Budget, prepare, summary } from '../lib/time.ts';

export interface Workload {
  readonly kernel: string;
  readonly pass: string;
  readonly shape: string;
  /** Floating-point operations of one run, of the products alone; 0 where memory decides. */
  readonly flops: number;
  /** Units of work in one run, and their name: tokens, waves. */
  readonly amount: number;
  readonly unit: string;
  /** Whether its counters make bars. */
  readonly trainingStep: boolean;
  place(backend: Backend): Promise<PlacedWorkload>;
}

export interface PlacedWorkload {
  run(): Promise<unknown>;
  /** Numbers that the same work gives on every device, up to rounding. */
  result(): Promise<readonly number[]>;
  free(): void;
}

/**
 * Relative RMS error that a whole model's figures may have against the f64 reference device: four layers, each within the 1e-5 of a
 * kernel, and a softmax that multiplies an error in the logits by their size, about 10.
 */
const MAX_REL_ERR = 1e-4;

export interface WorkloadRun {
  readonly backends: ReadonlyMap<string, Backend>;
  readonly floors: Readonly<Record<string, Floor>>;
  readonly budget: Budget;
  readonly print: (line: string) => void;
}

export interface WorkloadOutcome {
  readonly rows: readonly Row[];
  readonly counts: readonly StepCounts[];
}

/** Each workload on the reference device once, then checked and timed on every backend, round by round in turn. */
export async function runWorkloads(
  workloads: readonly Workload[],
  { backends, floors, budget, print }: WorkloadRun,
): Promise<WorkloadOutcome> {
  const rows: Row[] = [];
  const counts: StepCounts[] = [];
  for (const w of workloads) {
    const want = await reference(w);
    const lanes = [];
    for (const [name, backend] of backends) {
      const placed = await w.place(backend);
      const relErr = relativeRms(await placed.result(), want);
      const wrong = relErr <= MAX_REL_ERR ? null : `relative RMS error ${relErr.toExponential(2)}, at most ${MAX_REL_ERR}`;
      if (w.trainingStep && backend.kind === 'webgpu' && wrong === null) counts.push(await count(`${titleOf(w)}/${name}`, backend, placed));
      const next = wrong === null ? await prepare({ run: () => placed.run(), sync: () => backend.sync() }, budget) : undefined;
      lanes.push({ name, backend, placed, relErr, wrong, next, wall: [] as number[] });
    }
    for (let r = 0; r < budget.rounds; r++) {
      for (let i = 0; i < lanes.length; i++) {
        const lane = lanes[(i + r) % lanes.length];
        if (lane.next) lane.wall.push(...(await lane.next()).wall);
      }
    }
    for (const { name, backend, placed, relErr, wrong, wall } of lanes) {
      placed.free();
      const row = rowOf(w, name, backend, relErr, wrong, wall, floors[name]);
      rows.push(row);
      print(`${lineOf(row)}${row.rate === null ? '' : `  ${row.rate} ${row.unit}/s`}`);
    }
  }
  return { rows, counts };
}

export const titleOf = (w: Workload): string => `${w.kernel}/${w.pass}/f32/${w.shape}`;

async function reference(w: Workload): Promise<readonly number[]> {
  const device = await openDevice({ device: 'reference' });
  const placed = await w.place(device);
  const want = await placed.result();
  placed.free();
  await device.destroy();
  return want;
}

/** Of the third step: two warm it up. `result` was the first. */
async function count(name: string, backend: Backend, placed: PlacedWorkload): Promise<StepCounts> {
  await placed.run();
  const { submits, buffersCreated } = backend.stats;
  await placed.run();
  return { name, submits: backend.stats.submits - submits, buffersCreated: backend.stats.buffersCreated - buffersCreated };
}

function rowOf(
  w: Workload,
  provider: string,
  backend: Backend,
  relErr: number,
  wrong: string | null,
  wall: readonly number[],
  floor: Floor | undefined,
): Row {
  const time = wall.length > 0 ? summary(wall) : undefined;
  const gflops = time && w.flops > 0 ? w.flops / time.median / 1e6 : undefined;
  return {
    kernel: w.kernel,
    pass: w.pass,
    dtype: 'f32',
    shape: w.shape,
    provider,
    backend: backend.kind,
    adapter: backend.info.adapter,
    threads: backend.info.threads,
    median_ms: time ? round(time.median) : null,
    spread: time ? round(time.spread) : null,
    samples: wall.length,
    device_ms: null,
    gflops: gflops === undefined ? null : round(gflops),
    gbps: null,
    rel_err: Number.isFinite(relErr) ? round(relErr) : null,
    floor_share: gflops !== undefined && floor ? round(gflops / floor.gflops) : null,
    intensity: null,
    rate: time ? round((1e3 * w.amount) / time.median) : null,
    unit: w.unit,
    wrong,
  };
}
