/** Whole pieces of work, timed from call to result: a training step, generation, tree search. */
import { type Backend, openDevice } from '@eagrl/runtime';
import type { Floor } from '../floor/floor.ts';
import type { StepCounts } from '../lib/bars.ts';
import { relativeRms } from '../lib/check.ts';
import { isHardware } from '../lib/provider.ts';
import { lineOf, type Row, round } from '../lib/report.ts';
import { Stop } from '../lib/stop.ts';
import { type Budget, prepare, summary } from '../lib/time.ts';
import type { Job } from '../peers/job.ts';
import type { PeerProvider } from '../peers/process.ts';

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
  /** The same work for peers; its output is compared with `result`. */
  readonly job?: Job;
  /** Left out on adapters that are CPUs, which would take minutes for one run. */
  readonly hardwareOnly?: boolean;
  /** What `result` must give; without it, what it gives on the f64 reference device. */
  reference?(): Promise<readonly number[]>;
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
  readonly peers: readonly PeerProvider[];
  /** Brings the GPU to full clock, where there is one. */
  readonly heat?: () => Promise<void>;
  /** Whether a row is asked for, by its name. */
  readonly wanted: (name: string) => boolean;
  readonly floors: Readonly<Record<string, Floor>>;
  readonly budget: Budget;
  readonly print: (line: string) => void;
  /** Begins each workload, or does not any more; without it all of them. */
  readonly stop?: Stop;
}

export interface WorkloadOutcome {
  readonly rows: readonly Row[];
  readonly counts: readonly StepCounts[];
  /** Rows of work that is for GPUs, on what is none. */
  readonly leftOut: readonly string[];
  /** Rows that were asked for when the run was over. */
  readonly notReached: readonly string[];
}

/** One workload in the hands of one provider, its result checked. */
interface WorkLane {
  readonly who: Who;
  readonly relErr: number;
  readonly wrong: string | null;
  readonly peer: boolean;
  /** Undefined: wrong, not to be timed. */
  readonly next?: () => Promise<readonly number[]>;
  /** Of a training step that is right, on WebGPU. */
  readonly counts?: StepCounts;
  free(): void | Promise<void>;
  readonly wall: number[];
}

type Who = Pick<Row, 'provider' | 'backend' | 'adapter' | 'threads'> & { readonly floor: Floor | undefined };

/** Each workload on the reference device once, then checked and timed on every backend and peer, round by round in turn. */
export async function runWorkloads(workloads: readonly Workload[], run: WorkloadRun): Promise<WorkloadOutcome> {
  const rows: Row[] = [];
  const counts: StepCounts[] = [];
  const leftOut: string[] = [];
  const notReached: string[] = [];
  const { stop = new Stop() } = run;
  for (const w of workloads) {
    const rowOn = (name: string) => `${titleOf(w)}/${name}`;
    const asked = [...run.backends].filter(([name]) => run.wanted(rowOn(name)));
    const able = asked.filter(([, { info }]) => !w.hardwareOnly || isHardware(info));
    leftOut.push(...asked.filter((a) => !able.includes(a)).map(([name]) => rowOn(name)));
    const peers = run.peers.filter((p) => w.job && run.wanted(rowOn(p.name)) && (!w.hardwareOnly || isHardware(p)));
    if (able.length + peers.length === 0) continue;
    const lanes = await stop.begin(() => timed(w, able, peers, run));
    if (!lanes) notReached.push(...able.map(([name]) => rowOn(name)), ...peers.map((p) => rowOn(p.name)));
    for (const lane of lanes ?? []) {
      if (lane.counts) counts.push(lane.counts);
      const row = rowOf(w, lane);
      rows.push(row);
      run.print(`${lineOf(row)}${row.rate === null ? '' : `  ${row.rate} ${row.unit}/s`}`);
    }
  }
  if (leftOut.length > 0) run.print(`left out, minutes a run on a CPU: ${leftOut.join(', ')}`);
  return { rows, counts, leftOut, notReached };
}

async function timed(
  w: Workload,
  backends: readonly (readonly [name: string, backend: Backend])[],
  peers: readonly PeerProvider[],
  run: WorkloadRun,
): Promise<readonly WorkLane[]> {
  const want = await (w.reference?.() ?? reference(w));
  const lanes: WorkLane[] = [];
  for (const [name, backend] of backends) lanes.push(await ownLane(w, name, backend, want, run));
  for (const peer of peers) {
    const lane = w.job && (await peerLane(w.job, peer, want, run));
    if (lane) lanes.push(lane);
  }
  const failed = new Map<WorkLane, WorkLane>();
  for (let r = 0; r < run.budget.rounds; r++) {
    for (let i = 0; i < lanes.length; i++) {
      const lane = lanes[(i + r) % lanes.length];
      if (!lane.next || failed.has(lane)) continue;
      if (run.heat && isHardware(lane.who)) await run.heat();
      try {
        lane.wall.push(...(await lane.next()));
      } catch (error) {
        if (!lane.peer) throw error;
        failed.set(lane, failedLane(lane.who, error));
      }
    }
  }
  for (const lane of lanes) await lane.free();
  return lanes.map((lane) => failed.get(lane) ?? lane);
}

/** Of a peer that threw. */
const failedLane = (who: Who, error: unknown): WorkLane => ({
  who,
  relErr: Number.NaN,
  wrong: `does not run: ${(error as Error).message}`,
  peer: true,
  free() {},
  wall: [],
});

const verdict = (relErr: number) =>
  relErr <= MAX_REL_ERR ? null : `relative RMS error ${relErr.toExponential(2)}, at most ${MAX_REL_ERR}`;

async function ownLane(
  w: Workload,
  name: string,
  backend: Backend,
  want: readonly number[],
  { floors, budget, heat }: WorkloadRun,
): Promise<WorkLane> {
  const placed = await w.place(backend);
  const relErr = relativeRms(await placed.result(), want);
  const wrong = verdict(relErr);
  if (heat && isHardware(backend.info)) await heat();
  const counted = w.trainingStep && backend.kind === 'webgpu' && wrong === null;
  const counts = counted ? await count(`${titleOf(w)}/${name}`, backend, placed) : undefined;
  const round = wrong === null ? await prepare({ run: () => placed.run(), sync: () => backend.sync() }, budget) : undefined;
  return {
    who: { provider: name, backend: backend.kind, adapter: backend.info.adapter, threads: backend.info.threads, floor: floors[name] },
    relErr,
    wrong,
    peer: false,
    next: round && (async () => (await round()).wall),
    counts,
    free: () => placed.free(),
    wall: [],
  };
}

/** Undefined when the peer has no such work. What it cannot do it says in the lane. */
async function peerLane(
  job: Job,
  peer: PeerProvider,
  want: readonly number[],
  { floors, budget }: WorkloadRun,
): Promise<WorkLane | undefined> {
  const { name: provider, backend, adapter, threads, floorOf } = peer;
  const who = { provider, backend, adapter, threads, floor: floorOf === undefined ? undefined : floors[floorOf] };
  try {
    const lane = await peer.placeJob(job);
    if (!lane) return undefined;
    const [output] = Object.values(await lane.outputs());
    const relErr = relativeRms(output, want);
    const wrong = verdict(relErr);
    if (wrong === null) await lane.prepare(budget);
    return {
      who,
      relErr,
      wrong,
      peer: true,
      next: wrong === null ? async () => (await lane.round()).wall : undefined,
      free: () => lane.free(),
      wall: [],
    };
  } catch (error) {
    return failedLane(who, error);
  }
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

/** Warm steps over which the host's share is taken. */
const HOST_STEPS = 5;

/** Of the third step: two warm it up. `result` was the first. */
async function count(name: string, backend: Backend, placed: PlacedWorkload): Promise<StepCounts> {
  await placed.run();
  const { submits, buffersCreated } = backend.stats;
  await placed.run();
  const counted = { name, submits: backend.stats.submits - submits, buffersCreated: backend.stats.buffersCreated - buffersCreated };
  return isHardware(backend.info) ? { ...counted, hostShare: await hostShare(backend, placed) } : counted;
}

/**
 * Share of a step's time for which the host queues it: from the call until the step first waits for the device and what it queued is submitted. The
 * device is idle at first, so all that it takes comes within the step's time, after the first submit beside the queueing.
 */
async function hostShare(backend: Backend, placed: PlacedWorkload): Promise<number> {
  let [queueing, all] = [0, 0];
  for (let i = 0; i < HOST_STEPS; i++) {
    await backend.sync();
    const start = performance.now();
    const running = placed.run();
    backend.flush();
    queueing += performance.now() - start;
    await running;
    await backend.sync();
    all += performance.now() - start;
  }
  return queueing / all;
}

function rowOf(w: Workload, { who: { floor, ...who }, relErr, wrong, wall }: WorkLane): Row {
  const time = wall.length > 0 ? summary(wall) : undefined;
  const gflops = time && w.flops > 0 ? w.flops / time.median / 1e6 : undefined;
  return {
    kernel: w.kernel,
    pass: w.pass,
    dtype: 'f32',
    shape: w.shape,
    ...who,
    median_ms: time ? round(time.median) : null,
    spread: time ? round(time.spread) : null,
    samples: wall.length,
    device_ms: null,
    gflops: gflops === undefined ? null : round(gflops),
    gbps: null,
    rel_err: Number.isFinite(relErr) ? round(relErr) : null,
    floor_share: gflops !== undefined && floor ? round(gflops / floor.gflops) : null,
    floor_ms: null,
    intensity: null,
    rate: time ? round((1e3 * w.amount) / time.median) : null,
    unit: w.unit,
    wrong,
  };
}
