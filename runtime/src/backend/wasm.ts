/** WebAssembly SIMD on all cores: one shared memory holds every buffer, a pool of threads splits each kernel's work items. */
import { type KernelEntry, type KernelSpec, type Params, phasesOf, TLS_BYTES, wasmModule } from '@eagrl/kernels';
import type { Backend, BackendStats, DeviceBuffer, DeviceInfo, HostData, Launch, Slice } from '../backend.ts';
import { type DispatchLog, Profile, type ProfileRow, reportDispatch, type Switches, scan, validation } from '../debug.ts';
import { DeviceError } from '../errors.ts';
import type { Platform } from '../platform/platform.ts';
import { checkCopy, checkData, checkDispatch, checkLength, checkSlice, type OwnedBuffer, owned } from './check.ts';
import { WasmHeap } from './wasm_heap.ts';
import { POOL_BYTES, WasmPool } from './wasm_pool.ts';

const PAGE = 65_536;
/** Pages to reserve: 4 GiB, a 32-bit address space; or 2 or 1, where a process does not get that many (iOS, 32-bit Android). */
const MAX_PAGES = [65_536, 32_768, 16_384];
/** Memory grows by 4 MiB at least; pages not touched cost nothing. */
const GROW_PAGES = 64;
/** Room for the bytes of all modules, which workers compile from shared memory: no message is needed, so none waits for an event loop. */
const MODULE_ARENA = 4 << 20;
/**
 * Launches with fewer flops + bytes than this run on the calling thread alone. Handing a job to a spinning thread and back takes
 * about 2 us (Zen 4 server), in which one core does some 10,000 to 80,000 of either.
 */
const SMALL = 30_000;
const NAN_BITS = 0x7fc0dead;

interface HeapBuffer extends OwnedBuffer {
  /** Byte address. */
  readonly at: number;
}

interface LoadedModule {
  readonly at: number;
  readonly bytes: number;
  readonly exports: WebAssembly.Exports;
  readonly names: readonly string[];
}

interface LoadedPhase {
  readonly module: LoadedModule;
  readonly fn: (...args: number[]) => void;
  readonly exportIndex: number;
  readonly constants: readonly number[];
  readonly work: (p: Params) => number;
  readonly grain: ((p: Params) => number) | undefined;
}

/** f32x4.relaxed_madd on three v128 parameters: validates where the engine has relaxed SIMD. */
const RELAXED_PROBE = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 133, 2, 11,
]);

/** A shared memory, and how many bytes it may grow to. @throws DeviceError */
function reserve(initial: number): { readonly memory: WebAssembly.Memory; readonly limit: number } {
  let reason = '';
  for (const maximum of MAX_PAGES) {
    try {
      return { memory: new WebAssembly.Memory({ initial, maximum, shared: true }), limit: maximum * PAGE };
    } catch (error) {
      reason = (error as Error).message;
    }
  }
  throw new DeviceError(
    `wasm: expected address space for a shared memory of 1 GiB at least, the system gives none: ${reason}; raise the limit of the process ` +
      '(ulimit -v); Node reserves less with --disable-wasm-trap-handler',
  );
}

export class WasmBackend implements Backend {
  readonly kind = 'wasm';
  readonly info: DeviceInfo;
  readonly stats: BackendStats;
  readonly lost: Promise<string>;
  readonly #memory: WebAssembly.Memory;
  readonly #heap: WasmHeap;
  readonly #relaxed: boolean;
  readonly #platform: Platform;
  readonly #switches: Switches;
  readonly #profile = new Profile();
  readonly #modules = new Map<string, LoadedModule>();
  readonly #phases = new Map<KernelEntry, readonly LoadedPhase[]>();
  #pool!: WasmPool;
  #moduleTop: number;
  #nextId = 0;
  #dead: string | undefined;
  #resolveLost!: (reason: string) => void;

  private constructor(platform: Platform, threads: number, switches: Switches) {
    this.#platform = platform;
    this.#switches = switches;
    platform.enableRelaxedSimd();
    this.#relaxed = WebAssembly.validate(RELAXED_PROBE);
    this.#moduleTop = POOL_BYTES + threads * TLS_BYTES;
    const base = this.#moduleTop + MODULE_ARENA;
    const { memory, limit } = reserve(Math.ceil(base / PAGE));
    this.#memory = memory;
    this.#heap = new WasmHeap(base, limit);
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    const heap = this.#heap;
    this.stats = {
      peakBytes: 0,
      dispatches: 0,
      flops: 0,
      submits: 0,
      compiled: 0,
      get liveBytes() {
        return heap.liveBytes;
      },
      get pooledBytes() {
        return heap.top - heap.base - heap.liveBytes;
      },
      get buffersCreated() {
        return heap.growths;
      },
    };
    this.info = {
      backend: 'wasm',
      adapter: 'WebAssembly SIMD',
      threads,
      features: ['simd128', ...(this.#relaxed ? ['relaxed-simd'] : []), ...(threads > 1 ? ['threads'] : [])],
      maxBufferBytes: limit - base,
      maxBindingBytes: limit - base,
    };
  }

  /** `threads` counts the calling thread; each gets scratch of TLS_BYTES. @throws DeviceError when workers do not start, or for want of memory. */
  static async open(platform: Platform, threads: number, switches: Switches): Promise<WasmBackend> {
    const backend = new WasmBackend(platform, threads, switches);
    const tlsOf = (thread: number) => POOL_BYTES + thread * TLS_BYTES;
    try {
      backend.#pool = await WasmPool.start(platform, backend.#memory, threads, tlsOf, (reason) => backend.#die(reason));
    } catch (error) {
      throw new DeviceError(`wasm: ${threads - 1} worker thread(s) did not start: ${(error as Error).message}; try threads: 1`);
    }
    return backend;
  }

  alloc(length: number): DeviceBuffer {
    checkLength('alloc', length);
    this.#checkAlive();
    const at = this.#take(length * 4);
    if (this.#switches.debug >= 5) this.#words(at, length).fill(NAN_BITS);
    return { id: ++this.#nextId, length, owner: this, freed: false, at } as HeapBuffer;
  }

  free(buffer: DeviceBuffer): void {
    const b = owned<HeapBuffer>(this, buffer, 'free');
    b.freed = true;
    this.#heap.free(b.at, b.length * 4);
  }

  write(to: Slice, data: HostData): void {
    const b = checkSlice<HeapBuffer>(this, to, 'write');
    checkData(to, data);
    this.#words(b.at + to.offset * 4, to.length).set(new Uint32Array(data.buffer, data.byteOffset, data.length));
  }

  read(from: Slice, dtype: 'f32'): Promise<Float32Array>;
  read(from: Slice, dtype: 'u32'): Promise<Uint32Array>;
  async read(from: Slice, dtype: 'f32' | 'u32'): Promise<Float32Array | Uint32Array> {
    this.#checkAlive();
    const b = checkSlice<HeapBuffer>(this, from, 'read');
    const words = this.#words(b.at + from.offset * 4, from.length).slice(); // a copy of its own, not shared
    return dtype === 'f32' ? new Float32Array(words.buffer) : words;
  }

  copy(to: Slice, from: Slice): void {
    const b = checkCopy<HeapBuffer>(this, to, from);
    this.#words(b.to.at + to.offset * 4, to.length).set(this.#words(b.from.at + from.offset * 4, from.length));
  }

  dispatch(spec: KernelSpec, name: string, slices: readonly Slice[], params: Params): void {
    this.#checkAlive();
    const { entry, buffers } = checkDispatch<HeapBuffer>(this, spec, name, slices, params);
    const { debug, validate } = this.#switches;
    const valuesOf = (i: number) => this.#values(buffers[i], slices[i], entry.bindings[i].dtype);
    const log: DispatchLog = { backend: this.kind, spec, name, params };
    const compare = validate ? validation(log, (i) => Float64Array.from(valuesOf(i))) : undefined;
    const flops = entry.flops(params);
    const bytes = entry.bytes(params);
    const pointers = buffers.map((b, i) => b.at + slices[i].offset * 4);
    const start = performance.now();
    this.#launch(spec, name, pointers, params, flops + bytes < SMALL);
    const ms = performance.now() - start;
    this.stats.dispatches++;
    this.stats.flops += flops;
    this.#profile.add(name, ms, flops, bytes);
    if (debug >= 2) reportDispatch({ ...log, ms });
    if (debug >= 5) {
      for (const [i, b] of entry.bindings.entries()) if (b.access !== 'read' && b.dtype === 'f32') scan(log, b.name, valuesOf(i));
    }
    compare?.();
  }

  /** Work is done when a call returns. */
  flush(): void {}
  async sync(): Promise<void> {
    this.#checkAlive();
  }

  readonly compilesAside = false;

  async prepare(what: readonly (KernelSpec | Launch)[]): Promise<void> {
    for (const one of what) {
      if ('params' in one) this.#load(one.spec, one.entry);
      else for (const name of Object.keys(one.entries)) this.#load(one, name);
    }
  }

  /** Time per entry point since the device was opened, longest first. */
  profile(): readonly ProfileRow[] {
    return this.#profile.rows();
  }

  async destroy(): Promise<void> {
    if (this.#dead === undefined) this.#dead = 'it was destroyed';
    await this.#pool.destroy();
    const { trace } = this.#switches;
    if (trace)
      await this.#platform.writeText(trace, JSON.stringify({ device: this.info, stats: this.stats, entries: this.profile() }, null, 2));
  }

  #launch(spec: KernelSpec, name: string, pointers: readonly number[], params: Params, small: boolean): void {
    const entry = spec.entries[name];
    const phases = this.#load(spec, name);
    const args = [...pointers, ...Object.keys(entry.params).map((k) => params[k])];
    const scratchBytes = entry.scratch ? entry.scratch(params) * 4 : 0;
    const scratch = entry.scratch ? this.#take(scratchBytes) : undefined;
    if (scratch !== undefined) args.push(scratch);
    try {
      for (const phase of phases) this.#runPhase(phase, args, params, small);
    } catch (error) {
      // A trap leaves outputs half written: nothing later can be trusted.
      this.#die(`kernel ${spec.name}/${name} stopped: ${(error as Error).message}`);
      this.#checkAlive();
    } finally {
      if (scratch !== undefined) this.#heap.free(scratch, scratchBytes);
    }
  }

  #runPhase(phase: LoadedPhase, shared: readonly number[], params: Params, small: boolean): void {
    const { module, fn, exportIndex, constants, work: workOf, grain: grainOf } = phase;
    const work = workOf(params);
    if (work <= 0) return;
    const args = constants.length > 0 ? [...shared, ...constants] : shared;
    const { threads } = this.#pool;
    if (small || threads === 1 || work === 1) fn(...args, 0, work);
    else {
      const grain = Math.max(1, grainOf ? grainOf(params) : Math.ceil(work / (4 * threads)));
      this.stats.submits++;
      this.#pool.run({ module, fn, exportIndex, args, work, grain });
    }
  }

  /** The passes of an entry, with this thread's instance. */
  #load(spec: KernelSpec, name: string): readonly LoadedPhase[] {
    const entry = spec.entries[name];
    let phases = this.#phases.get(entry);
    if (!phases) {
      const module = this.#module(spec);
      phases = phasesOf(name, entry).map((phase) => {
        const exportIndex = module.names.indexOf(phase.export);
        if (exportIndex < 0) throw new DeviceError(`${spec.name}: wasm exports no '${phase.export}'; it has ${module.names.join(', ')}`);
        const fn = module.exports[phase.export] as LoadedPhase['fn'];
        return { module, fn, exportIndex, constants: phase.constants, work: phase.work, grain: phase.grain };
      });
      this.#phases.set(entry, phases);
    }
    return phases;
  }

  #module(spec: KernelSpec): LoadedModule {
    const text = this.#relaxed && spec.wasm.relaxed ? spec.wasm.relaxed : spec.wasm.simd;
    let loaded = this.#modules.get(text);
    if (!loaded) {
      const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
      const at = this.#moduleTop;
      if (at + bytes.length > this.#heap.base)
        throw new DeviceError(`wasm: ${MODULE_ARENA} bytes of kernel modules are full at ${spec.name}`);
      this.#moduleTop += Math.ceil(bytes.length / 8) * 8;
      new Uint8Array(this.#memory.buffer, at, bytes.length).set(bytes);
      const { exports } = new WebAssembly.Instance(wasmModule(spec, this.#relaxed), {
        env: { memory: this.#memory, tls: new WebAssembly.Global({ value: 'i32' }, POOL_BYTES) },
      });
      loaded = { at, bytes: bytes.length, exports, names: Object.keys(exports) };
      this.#modules.set(text, loaded);
    }
    return loaded;
  }

  /** Address of `bytes` bytes that memory reaches. */
  #take(bytes: number): number {
    const heap = this.#heap;
    const before = heap.top;
    const at = heap.alloc(bytes);
    if (at === undefined) this.#outOfMemory(bytes);
    const missing = Math.ceil((heap.top - this.#memory.buffer.byteLength) / PAGE);
    if (missing > 0) {
      const room = (heap.limit - this.#memory.buffer.byteLength) / PAGE;
      try {
        this.#memory.grow(Math.min(room, Math.max(missing, GROW_PAGES)));
      } catch {
        heap.free(at, bytes);
        heap.top = before;
        this.#outOfMemory(bytes);
      }
    }
    this.stats.peakBytes = Math.max(this.stats.peakBytes, heap.liveBytes);
    return at;
  }

  #outOfMemory(bytes: number): never {
    const mib = (n: number) => `${(n / 2 ** 20).toFixed(1)} MiB`;
    throw new DeviceError(
      `wasm: no memory for ${mib(bytes)}; ${mib(this.#heap.liveBytes)} are live of at most ${mib(this.#heap.limit - this.#heap.base)}; ` +
        'use smaller batches, a smaller model, or --device webgpu',
    );
  }

  /** Elements as 32-bit words; taken anew each time, as growing the memory replaces its buffer. */
  #words(at: number, length: number): Uint32Array<SharedArrayBuffer> {
    return new Uint32Array(this.#memory.buffer as unknown as SharedArrayBuffer, at, length);
  }

  #values(b: HeapBuffer, slice: Slice, dtype: 'f32' | 'u32' | 'i32'): Float32Array | Uint32Array | Int32Array {
    const View = { f32: Float32Array, u32: Uint32Array, i32: Int32Array }[dtype];
    return new View(this.#memory.buffer, b.at + slice.offset * 4, slice.length);
  }

  #die(reason: string): void {
    if (this.#dead !== undefined) return;
    this.#dead = reason;
    this.#resolveLost(reason);
  }

  #checkAlive(): void {
    if (this.#dead !== undefined) throw new DeviceError(`wasm: the device is gone: ${this.#dead}; open it again`);
  }
}
