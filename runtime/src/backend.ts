/** What the runtime asks of a device: memory, and "run this kernel". `webgpu`, `wasm` and `reference` implement it. */
import type { DType, KernelSpec, Params } from '@eagrl/kernels';
import type { ProfileRow } from './debug.ts';

export type BackendKind = 'webgpu' | 'wasm' | 'reference';

/** Device memory of `length` 4-byte elements. */
export interface DeviceBuffer {
  readonly id: number;
  readonly length: number;
}

/** Part of a buffer, in elements. `offset` is a multiple of SLICE_ALIGN. */
export interface Slice {
  readonly buffer: DeviceBuffer;
  readonly offset: number;
  readonly length: number;
}

/** WebGPU binds storage at multiples of 256 bytes. */
export const SLICE_ALIGN = 64;

export type HostData = Float32Array | Uint32Array | Int32Array;

export interface DeviceInfo {
  readonly backend: BackendKind;
  /** What the driver or engine calls itself. */
  readonly adapter: string;
  readonly threads: number;
  /** f16, subgroups, timestamp-query, relaxed-simd …: those in use. */
  readonly features: readonly string[];
  /** Largest buffer and largest binding, bytes. */
  readonly maxBufferBytes: number;
  readonly maxBindingBytes: number;
}

export interface BackendStats {
  /** Bytes handed out now and at most so far, and what the pool holds for re-use. */
  liveBytes: number;
  peakBytes: number;
  pooledBytes: number;
  dispatches: number;
  /** Of all dispatches, as their specs count them. */
  flops: number;
  submits: number;
  /** Device buffers created since the start; constant once a training loop is warm. */
  buffersCreated: number;
  /** webgpu: variants of entry points compiled since the start. */
  compiled: number;
}

/** Of a backend that has done nothing. */
export const noStats = (): BackendStats => ({
  liveBytes: 0,
  peakBytes: 0,
  pooledBytes: 0,
  dispatches: 0,
  flops: 0,
  submits: 0,
  buffersCreated: 0,
  compiled: 0,
});

/**
 * The ways in which a backend can compute an entry. Names are those of the spec; `default` is the entry's own WGSL.
 */
export interface Variants {
  /** Those that can run these params here. */
  applicable(spec: KernelSpec, entry: string, params: Params): readonly string[];
  /** The one that a dispatch would run now. */
  pick(spec: KernelSpec, entry: string, params: Params): string;
  /**
   * From now on, measured choices go before the entries' rules: `matmul_nt 512x704x256x1` -> variant. They change the order of sums,
   * so runs with other choices give other bits. One that cannot run some params is passed over for them.
   */
  use(picks: ReadonlyMap<string, string>): void;
}

/** Work that was queued once and can be queued again: the same kernels and copies, the same memory and params. */
export interface Recording {
  /**
   * Queues all of it. `flops`: what `stats` shall count beyond those of the first time, where data that the kernels read decide about them.
   * False, and nothing is queued, when memory that it names was freed meanwhile, or when other variants are in use: record it anew.
   */
  replay(flops?: number): boolean;
  /** Gives back the memory that the work took for itself. */
  destroy(): void;
}

/** What a dispatch would run, its memory left open. */
export interface Launch {
  readonly spec: KernelSpec;
  readonly entry: string;
  readonly params: Params;
}

/**
 * Work is queued in call order. `alloc`, `free`, `write`, `copy` and `dispatch` return at once; `read` resolves when everything
 * queued before it is done. A freed buffer may be handed out again at once: order makes that safe.
 * Contents of a fresh buffer are unspecified.
 */
export interface Backend {
  readonly kind: BackendKind;
  readonly info: DeviceInfo;
  readonly stats: Readonly<BackendStats>;
  /** Resolves with the reason when the device is gone (lost, out of memory); never rejects. */
  readonly lost: Promise<string>;
  /** @throws DeviceError naming what was asked and what there is, when memory does not suffice. */
  alloc(length: number): DeviceBuffer;
  free(buffer: DeviceBuffer): void;
  write(to: Slice, data: HostData): void;
  read(from: Slice, dtype: 'f32'): Promise<Float32Array>;
  read(from: Slice, dtype: 'u32'): Promise<Uint32Array>;
  copy(to: Slice, from: Slice): void;
  /** Slices in the entry's binding order. Sizes are checked against the spec; no slice may be written and also bound a second time. */
  dispatch(spec: KernelSpec, entry: string, slices: readonly Slice[], params: Params): void;
  /**
   * webgpu, unless it reports each dispatch (EAGRL_DEBUG): queues what `work` does and keeps it for replay, which costs half as much on the host.
   * Memory that `work` allocates stays the recording's until that is destroyed.
   * @throws DeviceError when `work` writes, reads or waits, or leaves memory allocated.
   */
  readonly record?: (work: () => void) => Recording;
  /** Hands queued work to the device; `read` and `sync` do it too. */
  flush(): void;
  sync(): Promise<void>;
  /** Whether `prepare` has several kernels compiled at a time, beside the calling thread: then calling it ahead saves time. */
  readonly compilesAside: boolean;
  /**
   * Compiles ahead of use: of a kernel all that its rules may pick here, of a launch what they pick for its params (`compileAhead` finds launches).
   * @throws DeviceError with the compiler's message when one does not compile.
   */
  prepare(what: readonly (KernelSpec | Launch)[]): Promise<void>;
  /**
   * webgpu where the adapter has timestamp-query: milliseconds of device time from the start of the first dispatch that `work` queues
   * to the end of the last. What was queued before is handed over first and not counted.
   * @throws DeviceError when `work` does anything but dispatch, or that more than 511 times: it must fit one pass.
   */
  deviceTime?(work: () => void): Promise<number>;
  /** webgpu: which variant of an entry runs. */
  readonly variants?: Variants;
  /** wasm: time per entry point since the device was opened, longest first. */
  profile?(): readonly ProfileRow[];
  destroy(): Promise<void>;
}

export type { DType, KernelSpec, Params };
