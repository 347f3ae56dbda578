/**
 * A device that computes nothing. Work that runs on it for show tells what it will launch for real, so that all of it can be compiled ahead: a
 * GPU's driver does that beside the calling thread and several at a time, where a first step meets one kernel after the other and waits for each.
 */
import { entryOf, type KernelEntry, type KernelSpec, type Params } from '@eagrl/kernels';
import type { Backend, BackendKind, DeviceBuffer, DeviceInfo, HostData, Launch, Slice, Variants } from '../backend.ts';
import { noStats } from '../backend.ts';
import { Context } from '../context.ts';
import { checkCopy, checkData, checkDispatch, checkLength, checkSlice, type OwnedBuffer, owned } from './check.ts';

/** Stands for a backend: checks dispatches and copies as every backend does, but no limit of the device; holds no memory there and reads zeros. */
class Rehearsal implements Backend {
  readonly kind: BackendKind;
  readonly info: DeviceInfo;
  readonly variants: Variants | undefined;
  readonly lost = new Promise<string>(() => {});
  readonly stats = noStats();
  readonly compilesAside = false;
  /** One launch of each entry and variant. */
  readonly #met = new Map<KernelEntry, Map<string, Launch>>();

  constructor({ kind, info, variants }: Backend) {
    this.kind = kind;
    this.info = info;
    this.variants = variants;
  }

  get launches(): readonly Launch[] {
    return [...this.#met.values()].flatMap((variants) => [...variants.values()]);
  }

  alloc(length: number): DeviceBuffer {
    checkLength('alloc', length);
    this.stats.liveBytes += 4 * length;
    this.stats.peakBytes = Math.max(this.stats.peakBytes, this.stats.liveBytes);
    return { id: ++this.stats.buffersCreated, length, owner: this, freed: false } as OwnedBuffer;
  }

  free(buffer: DeviceBuffer): void {
    owned(this, buffer, 'free').freed = true;
    this.stats.liveBytes -= 4 * buffer.length;
  }

  write(to: Slice, data: HostData): void {
    checkSlice(this, to, 'write');
    checkData(to, data);
  }

  read(from: Slice, dtype: 'f32'): Promise<Float32Array>;
  read(from: Slice, dtype: 'u32'): Promise<Uint32Array>;
  async read(from: Slice, dtype: 'f32' | 'u32'): Promise<Float32Array | Uint32Array> {
    checkSlice(this, from, 'read');
    return dtype === 'f32' ? new Float32Array(from.length) : new Uint32Array(from.length);
  }

  copy(to: Slice, from: Slice): void {
    checkCopy(this, to, from);
  }

  dispatch(spec: KernelSpec, entry: string, slices: readonly Slice[], params: Params): void {
    checkDispatch(this, spec, entry, slices, params);
    this.stats.dispatches++;
    const known = entryOf(spec, entry);
    this.stats.flops += known.flops(params);
    const variants = this.#met.get(known) ?? new Map<string, Launch>();
    this.#met.set(known, variants);
    const variant = this.variants?.pick(spec, entry, params) ?? '';
    if (!variants.has(variant)) variants.set(variant, { spec, entry, params });
  }

  flush(): void {}
  async sync(): Promise<void> {}
  async prepare(): Promise<void> {}
  async destroy(): Promise<void> {}
}

/**
 * Does `work` on a device that computes nothing, then compiles on `backend` what it launched. `work` must make all that it uses on the context it is
 * given, models included: they take no memory of the device. Numbers that it reads back are zeros. What it would not launch is compiled when it is first met, as ever.
 * @throws what `work` throws; DeviceError when a kernel does not compile.
 */
export async function compileAhead(backend: Backend, work: (ctx: Context) => unknown): Promise<void> {
  const rehearsal = new Rehearsal(backend);
  await work(new Context(rehearsal));
  await backend.prepare(rehearsal.launches);
}
