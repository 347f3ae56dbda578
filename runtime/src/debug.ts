/**
 * Switches from the environment, read when a device opens. Nothing else changes what a device does.
 *
 * | switch           | effect                                                                                         |
 * |------------------|------------------------------------------------------------------------------------------------|
 * | EAGRL_DEBUG=1    | a line about the device that was opened                                                        |
 * | EAGRL_DEBUG=2    | and a line per dispatch: entry, params, and on wasm and reference its time, GFLOP/s and GB/s     |
 * | EAGRL_DEBUG=5    | and every f32 output is scanned for NaN and infinities, named by kernel; fresh wasm memory is NaN |
 * | EAGRL_VALIDATE=1 | wasm: each dispatch is compared with its f64 reference (very slow)                             |
 * | EAGRL_TRACE=file | wasm: time per entry point, written as JSON when the device is destroyed (Node)                |
 * | EAGRL_SUBGROUP_MATRIX=1 | webgpu: matrix products on the adapter's f16 matrix units (experimental; error without them) |
 */
import type { KernelSpec, Params } from '@eagrl/kernels';
import type { BackendKind, DeviceInfo } from './backend.ts';
import { DeviceError } from './errors.ts';

export interface Switches {
  readonly debug: number;
  readonly validate: boolean;
  readonly trace: string | undefined;
  readonly subgroupMatrix: boolean;
}

/** The switches of this process; all off in a browser, which has no environment. */
export function readSwitches(): Switches {
  const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env ?? {};
  return {
    debug: Number(env.EAGRL_DEBUG ?? 0),
    validate: env.EAGRL_VALIDATE === '1',
    trace: env.EAGRL_TRACE || undefined,
    subgroupMatrix: env.EAGRL_SUBGROUP_MATRIX === '1',
  };
}

export interface DispatchLog {
  readonly backend: BackendKind;
  readonly spec: KernelSpec;
  readonly name: string;
  readonly params: Params;
  /** Milliseconds; undefined where only the device knows. */
  readonly ms?: number;
}

const line = (text: string) => console.error(`eagrl: ${text}`);

export function reportDevice(info: DeviceInfo): void {
  const { backend, adapter, threads, features, maxBufferBytes } = info;
  line(`${backend}: ${adapter}, ${threads} thread(s), [${features.join(' ')}], buffers up to ${(maxBufferBytes / 2 ** 20).toFixed(0)} MiB`);
}

export function reportDispatch({ backend, spec, name, params, ms }: DispatchLog): void {
  const entry = spec.entries[name];
  const shape = Object.keys(entry.params).map((k) => `${k}=${params[k]}`);
  const rate = (n: number) => (n / Math.max(ms ?? 0, 1e-6) / 1e6).toFixed(2);
  const speed = ms === undefined ? '' : `  ${ms.toFixed(3)} ms  ${rate(entry.flops(params))} GFLOP/s  ${rate(entry.bytes(params))} GB/s`;
  line(`${backend} ${spec.name}/${name} ${shape.join(' ')}${speed}`);
}

/** @throws DeviceError that names the kernel when an output holds a NaN or an infinity. */
export function scan({ backend, spec, name }: DispatchLog, output: string, values: ArrayLike<number>): void {
  let bad = 0;
  let first = -1;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    if (bad++ === 0) first = i;
  }
  if (bad > 0) {
    throw new DeviceError(
      `${backend} ${spec.name}/${name}: '${output}' has ${bad} of ${values.length} values not finite, first at ${first}`,
    );
  }
}

/** Relative root-mean-square error that a validated f32 output may have; 100 times what the loosest kernel test allows. */
const VALIDATE_RMS = 1e-2;

/** Runs the reference of an entry point on copies of what is bound, before the launch, and returns the comparison to make after it. */
export function validation(log: DispatchLog, valuesOf: (binding: number) => Float64Array): () => void {
  const { spec, name, params } = log;
  const { bindings } = spec.entries[name];
  const want = Object.fromEntries(bindings.map((b, i) => [b.name, valuesOf(i)]));
  spec.ref[name](want, params);
  return () => {
    bindings.forEach((b, i) => {
      if (b.access === 'read') return;
      const got = valuesOf(i);
      let error = 0;
      let norm = 0;
      for (let k = 0; k < got.length; k++) {
        if (Object.is(got[k], want[b.name][k]) || (Number.isNaN(got[k]) && Number.isNaN(want[b.name][k]))) continue;
        error += (got[k] - want[b.name][k]) ** 2;
      }
      for (const w of want[b.name]) if (Number.isFinite(w)) norm += w * w;
      const relative = Math.sqrt(error / Math.max(norm, Number.MIN_VALUE));
      if (error > 0 && !(relative <= (b.dtype === 'f32' ? VALIDATE_RMS : 0))) {
        throw new DeviceError(
          `${log.backend} ${spec.name}/${name}: '${b.name}' is off its reference by ${relative.toExponential(2)} relative RMS`,
        );
      }
    });
  };
}

/** Time that one entry point took so far. */
export interface ProfileRow {
  readonly entry: string;
  readonly count: number;
  readonly ms: number;
  readonly gflops: number;
  readonly gbytesPerSecond: number;
}

/** Sums per entry point; two additions per dispatch, so it is always on. */
export class Profile {
  readonly #sums = new Map<string, { count: number; ms: number; flops: number; bytes: number }>();

  add(entry: string, ms: number, flops: number, bytes: number): void {
    let s = this.#sums.get(entry);
    if (!s) this.#sums.set(entry, (s = { count: 0, ms: 0, flops: 0, bytes: 0 }));
    s.count++;
    s.ms += ms;
    s.flops += flops;
    s.bytes += bytes;
  }

  /** Longest first. */
  rows(): ProfileRow[] {
    return [...this.#sums]
      .map(([entry, s]) => ({ entry, count: s.count, ms: s.ms, gflops: s.flops / s.ms / 1e6, gbytesPerSecond: s.bytes / s.ms / 1e6 }))
      .sort((a, b) => b.ms - a.ms);
  }
}
