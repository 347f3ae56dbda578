/**
 * Measured choice of kernel variants (WebGPU). Off unless asked for: a variant may add in another order, so a run with a tuning gives
 * other bits than one without, and the same bits only with the same tuning. `tune` measures, `useTuning` puts it to work,
 * `saveTuning` and `loadTuning` keep it in the user's cache folder, one file per adapter.
 */
import { type KernelSpec, matmul, type Params } from '@eagrl/kernels';
import type { Backend, Slice, Variants } from './backend.ts';
import { DeviceError } from './errors.ts';
import { loadPlatform } from './platform/platform.ts';
import { normals } from './rng.ts';

/** One launch to find the fastest variant for. */
export interface TuneRequest {
  readonly spec: KernelSpec;
  readonly entry: string;
  readonly params: Params;
}

export interface TunedShape {
  /** Entry and shape: `matmul_nt 512x704x256x1`. */
  readonly key: string;
  readonly variant: string;
  /** Median milliseconds of a launch, by variant; of those that computed what the default does. */
  readonly ms: Readonly<Record<string, number>>;
  /** Variants that did not, on this adapter: a driver's fault or ours, worth a report. */
  readonly wrong: readonly string[];
}

/** Plain JSON. */
export interface Tuning {
  readonly version: 1;
  /** `DeviceInfo.adapter` of the device it holds for. */
  readonly adapter: string;
  readonly shapes: readonly TunedShape[];
}

/** c (m, n) over k, one batch, no bias, no epilogue: what is found holds for these too. */
export function matmulRequest(form: 'nn' | 'nt' | 'tn', m: number, n: number, k: number): TuneRequest {
  const params = { m, n, k, batch: 1, stride_a: 0, stride_b: 0, stride_c: 0, alpha: 1, accumulate: 0, has_bias: 0, epilogue: 0 };
  return { spec: matmul, entry: `matmul_${form}`, params };
}

/** Samples per variant at the least; a median of fewer says nothing. */
const MIN_ROUNDS = 3;
/** Launches that fill a sample of this length, milliseconds, so that the wait for the device does not weigh. */
const SAMPLE_MS = 5;
/** A variant must be this much faster than what the rules pick: less is noise. */
const GAIN = 0.95;
/** Relative root mean square against the default: another order of f32 sums stays far below, a wrong kernel far above. */
const MAX_DIFFERENCE = 1e-4;

/**
 * Measures the variants of each request and takes the fastest that computes what the default does. The budget, milliseconds, is shared out
 * evenly; each variant runs a few times at the least. The device's memory must hold one launch. A tuning in use is set aside.
 * @throws DeviceError when the backend has no variants (wasm, reference), an entry has none or takes indices, or the budget is not positive.
 */
export async function tune(backend: Backend, requests: readonly TuneRequest[], budgetMs: number): Promise<Tuning> {
  const variants = variantsOf(backend, 'tune');
  if (!(budgetMs > 0)) throw new DeviceError(`tune: budget ${budgetMs} ms; expected more than 0`);
  const shapes: TunedShape[] = [];
  try {
    for (const request of requests) shapes.push(await tuneShape(backend, variants, request, budgetMs / requests.length));
  } finally {
    variants.use(new Map());
  }
  return { version: 1, adapter: backend.info.adapter, shapes };
}

/** From now on this device runs what was measured, for the shapes that were. @throws DeviceError when it was measured on another adapter. */
export function useTuning(backend: Backend, tuning: Tuning): void {
  const variants = variantsOf(backend, 'useTuning');
  if (tuning.adapter !== backend.info.adapter) {
    throw new DeviceError(`useTuning: measured on '${tuning.adapter}', this is '${backend.info.adapter}'; tune this one`);
  }
  variants.use(new Map(tuning.shapes.map(({ key, variant }) => [key, variant])));
}

/** Writes the tuning into the cache folder and returns where it lies. @throws Error in a browser, which has no such folder. */
export async function saveTuning(tuning: Tuning): Promise<string> {
  const platform = await loadPlatform();
  return platform.writeCache(fileOf(tuning.adapter), `${JSON.stringify(tuning, undefined, 1)}\n`);
}

/** The tuning saved for this adapter, if there is one. @throws DeviceError when the file is not what `saveTuning` writes. */
export async function loadTuning(backend: Backend): Promise<Tuning | undefined> {
  const name = fileOf(backend.info.adapter);
  const text = await (await loadPlatform()).readCache(name);
  if (text === undefined) return undefined;
  let tuning: Tuning | undefined;
  try {
    tuning = JSON.parse(text);
  } catch {
    // said below
  }
  const strings = (t: TunedShape) => typeof t?.key === 'string' && typeof t?.variant === 'string';
  if (tuning?.version !== 1 || typeof tuning.adapter !== 'string' || !Array.isArray(tuning.shapes) || !tuning.shapes.every(strings)) {
    throw new DeviceError(`loadTuning: '${name}' in the cache folder is no tuning of version 1; delete it and tune again`);
  }
  return tuning;
}

function variantsOf(backend: Backend, what: string): Variants {
  if (!backend.variants) throw new DeviceError(`${what}: ${backend.kind} has one way to compute each kernel; use a webgpu device`);
  return backend.variants;
}

const fileOf = (adapter: string) => `tuning-${adapter.replace(/[^\w.]+/g, '-')}.json`;

async function tuneShape(
  backend: Backend,
  variants: Variants,
  { spec, entry, params }: TuneRequest,
  budgetMs: number,
): Promise<TunedShape> {
  const { shape, bindings, size } = spec.entries[entry] ?? {};
  if (!shape || !bindings || !size) throw new DeviceError(`tune: '${entry}' of ${spec.name} has no variants to choose from`);
  const index = bindings.find((b) => b.dtype !== 'f32');
  if (index)
    throw new DeviceError(`tune: '${entry}' reads '${index.name}', ${index.dtype}; it is fed with random numbers, so f32 bindings only`);
  const key = `${entry} ${shape(params)}`;
  variants.use(new Map());
  const byRules = variants.pick(spec, entry, params);
  const need = size(params);
  const slices: Slice[] = bindings.map(({ name }, i) => {
    const length = Math.max(need[name], 1);
    const slice = { buffer: backend.alloc(length), offset: 0, length };
    backend.write(slice, normals(0, i, length));
    return slice;
  });
  const launch = (variant: string, times: number) => {
    variants.use(new Map([[key, variant]]));
    for (let i = 0; i < times; i++) backend.dispatch(spec, entry, slices, params);
  };
  try {
    const [output] = slices;
    const before = await backend.read(output, 'f32');
    const result = async (variant: string) => {
      backend.write(output, before);
      launch(variant, 1);
      return backend.read(output, 'f32');
    };
    const names = variants.applicable(spec, entry, params);
    const want = await result(names[0]);
    const wrong: string[] = [];
    for (const name of names.slice(1)) if (!(difference(await result(name), want) < MAX_DIFFERENCE)) wrong.push(name);
    const right = names.filter((n) => !wrong.includes(n));
    const ms = await measure(backend, launch, right, budgetMs);
    const variant = right.reduce(
      (best, name) => (ms[name] < ms[best] * (best === byRules ? GAIN : 1) ? name : best),
      wrong.includes(byRules) ? names[0] : byRules,
    );
    return { key, variant, ms, wrong };
  } finally {
    for (const { buffer } of slices) backend.free(buffer);
  }
}

/** Median milliseconds of a launch, by variant; the variants take turns, so that a machine that slows down slows them all. */
async function measure(backend: Backend, launch: (variant: string, times: number) => void, names: readonly string[], budgetMs: number) {
  const timed = async (name: string, times: number) => {
    if (backend.deviceTime) return backend.deviceTime(() => launch(name, times));
    const start = performance.now();
    launch(name, times);
    await backend.sync();
    return performance.now() - start;
  };
  const start = performance.now();
  const chains: Record<string, number> = {};
  const samples: Record<string, number[]> = {};
  for (const name of names) {
    chains[name] = Math.min(100, Math.max(1, Math.round(SAMPLE_MS / (await timed(name, 1)))));
    samples[name] = [];
  }
  for (let round = 0; round < MIN_ROUNDS || performance.now() - start < budgetMs; round++) {
    for (const name of names) samples[name].push((await timed(name, chains[name])) / chains[name]);
  }
  return Object.fromEntries(names.map((n) => [n, samples[n].sort((a, b) => a - b)[samples[n].length >> 1]]));
}

/** Relative root mean square. */
function difference(got: Float32Array, want: Float32Array): number {
  let num = 0;
  let den = 0;
  for (let i = 0; i < want.length; i++) {
    num += (got[i] - want[i]) ** 2;
    den += want[i] ** 2;
  }
  return Math.sqrt(num / Math.max(den, Number.MIN_VALUE));
}
