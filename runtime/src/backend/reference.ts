/** The f64 references of the kernels as a device: slow, obviously right, what the other backends are compared with. */
import type { KernelSpec, Params, RefBuffers } from '@eagrl/kernels';
import type { Backend, DeviceBuffer, DeviceInfo, HostData, Slice } from '../backend.ts';
import { noStats } from '../backend.ts';
import { type DispatchLog, reportDispatch, scan } from '../debug.ts';
import { checkCopy, checkData, checkDispatch, checkLength, checkSlice, type OwnedBuffer, owned } from './check.ts';

interface WideBuffer extends OwnedBuffer {
  /** 8 bytes per element here; the statistics count the 4 of the other backends. */
  values: Float64Array;
}

export class ReferenceBackend implements Backend {
  readonly kind = 'reference';
  readonly info: DeviceInfo = {
    backend: 'reference',
    adapter: 'f64 reference in TypeScript',
    threads: 1,
    features: ['f64'],
    maxBufferBytes: 2 ** 33,
    maxBindingBytes: 2 ** 33,
  };
  readonly stats = noStats();
  /** Never resolves: nothing can be lost. */
  readonly lost = new Promise<string>(() => {});
  readonly #debug: number;

  constructor(debug: number) {
    this.#debug = debug;
  }

  alloc(length: number): DeviceBuffer {
    checkLength('alloc', length);
    const id = ++this.stats.buffersCreated;
    this.stats.liveBytes += length * 4;
    this.stats.peakBytes = Math.max(this.stats.peakBytes, this.stats.liveBytes);
    // NaN: a value used before it is written is seen.
    return { id, length, owner: this, freed: false, values: new Float64Array(length).fill(Number.NaN) } as WideBuffer;
  }

  free(buffer: DeviceBuffer): void {
    const b = owned<WideBuffer>(this, buffer, 'free');
    b.freed = true;
    b.values = new Float64Array(0);
    this.stats.liveBytes -= b.length * 4;
  }

  /** The elements themselves, not a copy, at full precision: finite differences need more than f32. */
  values(slice: Slice): Float64Array {
    const b = checkSlice<WideBuffer>(this, slice, 'values');
    return b.values.subarray(slice.offset, slice.offset + slice.length);
  }

  write(to: Slice, data: HostData): void {
    checkData(to, data);
    this.values(to).set(data);
  }

  read(from: Slice, dtype: 'f32'): Promise<Float32Array>;
  read(from: Slice, dtype: 'u32'): Promise<Uint32Array>;
  async read(from: Slice, dtype: 'f32' | 'u32'): Promise<Float32Array | Uint32Array> {
    const values = this.values(from);
    return dtype === 'f32' ? Float32Array.from(values) : Uint32Array.from(values);
  }

  copy(to: Slice, from: Slice): void {
    checkCopy(this, to, from);
    this.values(to).set(this.values(from));
  }

  dispatch(spec: KernelSpec, name: string, slices: readonly Slice[], params: Params): void {
    const { entry } = checkDispatch<WideBuffer>(this, spec, name, slices, params);
    const buffers: RefBuffers = {};
    entry.bindings.forEach((b, i) => {
      buffers[b.name] = this.values(slices[i]);
    });
    const start = performance.now();
    spec.ref[name](buffers, params);
    this.stats.dispatches++;
    this.stats.flops += entry.flops(params);
    const log: DispatchLog = { backend: this.kind, spec, name, params, ms: performance.now() - start };
    if (this.#debug >= 2) reportDispatch(log);
    if (this.#debug >= 5) for (const b of entry.bindings) if (b.access !== 'read' && b.dtype === 'f32') scan(log, b.name, buffers[b.name]);
  }

  flush(): void {}
  async sync(): Promise<void> {}
  readonly compilesAside = false;
  async prepare(): Promise<void> {}
  async destroy(): Promise<void> {}
}
