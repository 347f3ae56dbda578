/** WebGPU: dispatches gather in one command encoder, params in one uniform buffer, both handed over together. */
import {
  type AdapterFacts,
  applicable,
  entryOf,
  type KernelEntry,
  type KernelSpec,
  type Params,
  pickable,
  pickVariant,
  SUBGROUP_MATRIX,
  subgroupMatrixOf,
  writeParams,
} from '@eagrl/kernels';
import type { Backend, BackendStats, DeviceBuffer, DeviceInfo, HostData, Launch, Recording, Slice, Variants } from '../backend.ts';
import { type DispatchLog, reportDispatch, type Switches, scan } from '../debug.ts';
import { DeviceError } from '../errors.ts';
import { adapterName, isSoftware } from './adapter.ts';
import { checkCopy, checkData, checkDispatch, checkLength, checkSlice, type OwnedBuffer, owned } from './check.ts';
import { NumberKeys } from './number_keys.ts';
import { BufferPool, type Memory } from './webgpu_memory.ts';
import { Pace } from './webgpu_pace.ts';
import { type Pipeline, Pipelines } from './webgpu_pipelines.ts';
import { type RecordedCommand, RecordedWork } from './webgpu_recording.ts';

/** Dispatches per submit: enough to hide the cost of a submit, few enough to bound what waits for the device. */
const MAX_PENDING = 1024;
/** Of the first submit after the queue ran dry: until then the device waits. Each submit that follows has GROWTH times as many. */
const FIRST_PENDING = 64;
const GROWTH = 4;
/** WebGPU's default minUniformBufferOffsetAlignment; no params block is larger. */
const PARAM_STRIDE = 256;
/** Bind groups kept; a training step has some thousands. Beyond it the cache starts afresh, so it cannot leak. */
const MAX_BIND_GROUPS = 16_384;
/** Memory held beyond the peak and a quarter of it, or this, is given back to the driver. */
const MIN_POOL_BYTES = 64 << 20;
/** Smallest binding that WGSL arrays of vec4 accept; stands in for a slice without elements. */
const DUMMY_BYTES = 16;

/** Uploads of one submit that go by way of a buffer of their own; more of them make a submit. */
const UPLOAD_BYTES = 4 << 20;
/** Writes without a submit after which one is made: Dawn gives their host memory back at a submit, so a model's would all be held. */
const WRITTEN_BYTES = 64 << 20;

/** Features that kernels and timings use where the adapter has them. */
const WANTED = ['timestamp-query', 'subgroups', 'shader-f16'] as const;

/** Two timestamps of 64 bits, nanoseconds. */
const TICK_BYTES = 16;

interface GpuBuffer extends OwnedBuffer {
  readonly memory: Memory;
}

/** Stands in cache keys for the length of a slice that is all of its buffer. */
const WHOLE = -1;

/**
 * Whether a slice is all of its buffer. Then the memory is bound to its end, which the length asked for does not change: tensors of packs of
 * nearly one length share bind groups. No kernel asks for arrayLength.
 */
const wholly = (buffer: GpuBuffer, { offset, length }: Slice): boolean => offset === 0 && length > 0 && length === buffer.length;

export class WebgpuBackend implements Backend {
  readonly kind = 'webgpu';
  readonly info: DeviceInfo;
  readonly stats: BackendStats;
  readonly lost: Promise<string>;
  readonly #device: GPUDevice;
  readonly #switches: Switches;
  readonly #pool: BufferPool;
  readonly #staging: BufferPool;
  readonly #pipelines: Pipelines;
  readonly #mostBytes: number;
  /** Workgroups per dimension. */
  readonly #mostGroups: number;
  readonly #bindGroups = new NumberKeys<GPUBindGroup>(MAX_BIND_GROUPS);
  /** What a bind group is known by, gathered anew at each dispatch: pipeline, scratch, and buffer, offset and length of each slice. */
  readonly #groupFacts: number[] = [];
  readonly #dummies: GPUBuffer[] = [];
  /**
   * Params of the submit being gathered, on the host and on the device. One device buffer serves all submits: writeBuffer takes
   * its turn in the queue, so it changes the block only after the submits before it have read theirs.
   */
  readonly #paramsHost = new Uint8Array(MAX_PENDING * PARAM_STRIDE);
  readonly #paramsView = new DataView(this.#paramsHost.buffer);
  readonly #params: GPUBuffer;
  readonly deviceTime?: (work: () => void) => Promise<number>;
  readonly record?: (work: () => void) => Recording;
  #recording: RecordedWork | undefined;
  /** Buffers that commands not yet submitted name. */
  readonly #named = new Set<Memory>();
  #uploads: GPUBuffer | undefined;
  #uploadTop = 0;
  /** Bytes written since the last submit. */
  #written = 0;
  readonly variants: Variants;
  readonly #adapter: AdapterFacts;
  #picks: ReadonlyMap<string, string> = new Map();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  /** Set last in the pass that is open. */
  #pipeline: GPUComputePipeline | undefined;
  /** Dispatches and operations not yet submitted, and how many of the first there may be. */
  #pending = 0;
  #work = 0;
  #most = FIRST_PENDING;
  readonly #pace = new Pace();
  /** While `deviceTime` gathers: in one pass, whatever it takes. */
  #timing = false;
  #nextId = 0;
  #dead: string | undefined;
  #resolveLost!: (reason: string) => void;

  private constructor(device: GPUDevice, adapter: GPUAdapterInfo, switches: Switches) {
    this.#device = device;
    this.#switches = switches;
    this.lost = new Promise((resolve) => {
      this.#resolveLost = resolve;
    });
    device.addEventListener('uncapturederror', (event) => {
      event.preventDefault(); // reported here, not on the console as well
      const name = event.error.constructor.name.replace(/^GPU/, '');
      this.#die(`${name}: ${event.error.message}${name === 'OutOfMemoryError' ? this.#memoryAdvice() : ''}`);
    });
    device.lost.then(({ reason, message }) => this.#die(`device lost (${reason}): ${message}`));
    const { maxBufferSize, maxStorageBufferBindingSize, maxComputeWorkgroupsPerDimension } = device.limits;
    this.#mostGroups = maxComputeWorkgroupsPerDimension;
    this.#mostBytes = Math.floor(Math.min(maxBufferSize, maxStorageBufferBindingSize) / 16) * 16;
    const { STORAGE, COPY_DST, COPY_SRC, UNIFORM, MAP_READ } = GPUBufferUsage;
    this.#pool = new BufferPool(device, STORAGE | COPY_DST | COPY_SRC, 'storage', this.#mostBytes);
    this.#staging = new BufferPool(device, MAP_READ | COPY_DST, 'read-back', this.#mostBytes);
    this.#params = device.createBuffer({ label: 'params', size: this.#paramsHost.byteLength, usage: UNIFORM | COPY_DST });
    const matrix = device.features.has(SUBGROUP_MATRIX) ? subgroupMatrixOf(adapter) : undefined;
    const features = new Set(device.features); // Dawn's own set is asked through a call into the driver's side
    const { maxComputeWorkgroupStorageSize: workgroupBytes, maxStorageBuffersPerShaderStage: storageBuffers } = device.limits;
    this.#adapter = { features, software: isSoftware(adapter), workgroupBytes, storageBuffers, matrix };
    this.#pipelines = new Pipelines(device, this.#adapter);
    this.variants = {
      applicable: (spec, name, params) => applicable(spec.entries[name], params, this.#adapter),
      pick: (spec, name, params) => this.#pick(spec.entries[name], name, params),
      use: (picks) => {
        this.#picks = picks;
      },
    };
    if (device.features.has('timestamp-query')) {
      const set = device.createQuerySet({ label: 'first and last', type: 'timestamp', count: 2 });
      const ticks = device.createBuffer({ label: 'ticks', size: TICK_BYTES, usage: GPUBufferUsage.QUERY_RESOLVE | COPY_SRC });
      this.deviceTime = (work) => this.#deviceTime(work, set, ticks);
    }
    if (switches.debug < 2) this.record = (work) => this.#record(work);
    const pool = this.#pool;
    const staging = this.#staging;
    const pipelines = this.#pipelines;
    this.stats = {
      liveBytes: 0,
      peakBytes: 0,
      dispatches: 0,
      flops: 0,
      submits: 0,
      get pooledBytes() {
        return pool.bytesFree + staging.bytesFree;
      },
      get buffersCreated() {
        return pool.created;
      },
      get compiled() {
        return pipelines.compiled;
      },
    };
    this.info = {
      backend: 'webgpu',
      adapter: adapterName(adapter),
      threads: 1,
      features: [...device.features].sort(),
      maxBufferBytes: maxBufferSize,
      maxBindingBytes: maxStorageBufferBindingSize,
    };
  }

  /** @throws DeviceError when the adapter gives no device. */
  static async open(adapter: GPUAdapter, switches: Switches): Promise<WebgpuBackend> {
    const { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize } = adapter.limits;
    const { subgroupMatrix } = switches;
    if (subgroupMatrix && !(adapter.features.has(SUBGROUP_MATRIX) && subgroupMatrixOf(adapter.info))) {
      throw new DeviceError(
        `webgpu: EAGRL_SUBGROUP_MATRIX=1, but ${adapterName(adapter.info)} has no square f16 subgroup matrices with sums in f32; unset it`,
      );
    }
    const wanted = [...WANTED, ...(subgroupMatrix ? [SUBGROUP_MATRIX] : [])] as GPUFeatureName[];
    let device: GPUDevice;
    try {
      device = await adapter.requestDevice({
        label: 'eagrl',
        // Models and KV caches outgrow the defaults (256 MiB buffers, 128 MiB bindings).
        requiredFeatures: wanted.filter((f) => adapter.features.has(f)),
        requiredLimits: { maxBufferSize, maxStorageBufferBindingSize, maxStorageBuffersPerShaderStage, maxComputeWorkgroupStorageSize },
      });
    } catch (error) {
      throw new DeviceError(`webgpu: the adapter gave no device: ${(error as Error).message}; restart the browser or use --device wasm`);
    }
    return new WebgpuBackend(device, adapter.info, switches);
  }

  /** When the driver runs out of memory it says so only later: then `lost` resolves and the calls after it throw. */
  alloc(length: number): DeviceBuffer {
    checkLength('alloc', length);
    this.#checkAlive();
    const memory = this.#take(length);
    this.stats.liveBytes += memory.bytes;
    this.stats.peakBytes = Math.max(this.stats.peakBytes, this.stats.liveBytes);
    return { id: ++this.#nextId, length, owner: this, freed: false, memory } as GpuBuffer;
  }

  free(buffer: DeviceBuffer): void {
    const b = owned<GpuBuffer>(this, buffer, 'free');
    b.freed = true;
    this.stats.liveBytes -= b.memory.bytes;
    this.#give(b.memory);
  }

  write(to: Slice, data: HostData): void {
    const b = checkSlice<GpuBuffer>(this, to, 'write');
    checkData(to, data);
    this.#checkAlive();
    this.#expectNoRecording('write');
    if (data.length === 0) return;
    // Shared memory is refused by writeBuffer.
    const plain = data.buffer instanceof ArrayBuffer ? (data as HostData & ArrayBufferView<ArrayBuffer>) : data.slice();
    // writeBuffer acts before anything not yet submitted; where that names this memory, its old contents must live until then.
    const { gpu } = b.memory;
    if (this.#named.has(b.memory) && this.#upload(gpu, to.offset * 4, plain)) return;
    this.#device.queue.writeBuffer(gpu, to.offset * 4, plain);
    this.#written += plain.byteLength;
    if (this.#written >= WRITTEN_BYTES) this.#submit();
  }

  /** Writes in the order of the commands being gathered, by way of a buffer of its own. False: no room, they were submitted instead. */
  #upload(gpu: GPUBuffer, at: number, data: ArrayBufferView<ArrayBuffer>): boolean {
    const top = this.#uploadTop;
    if (top + data.byteLength > UPLOAD_BYTES) {
      this.flush();
      return false;
    }
    const { COPY_SRC, COPY_DST } = GPUBufferUsage;
    this.#uploads ??= this.#device.createBuffer({ label: 'uploads', size: UPLOAD_BYTES, usage: COPY_SRC | COPY_DST });
    this.#device.queue.writeBuffer(this.#uploads, top, data);
    this.#commands().copyBufferToBuffer(this.#uploads, top, gpu, at, data.byteLength);
    this.#uploadTop = top + data.byteLength;
    return true;
  }

  read(from: Slice, dtype: 'f32'): Promise<Float32Array>;
  read(from: Slice, dtype: 'u32'): Promise<Uint32Array>;
  async read(from: Slice, dtype: 'f32' | 'u32'): Promise<Float32Array | Uint32Array> {
    const b = checkSlice<GpuBuffer>(this, from, 'read');
    this.#checkAlive();
    this.#expectNoRecording('read');
    const View = dtype === 'f32' ? Float32Array : Uint32Array;
    if (from.length === 0) return new View(0);
    const bytes = from.length * 4;
    const staging = this.#staging.take(bytes);
    this.#commands().copyBufferToBuffer(b.memory.gpu, from.offset * 4, staging.gpu, 0, bytes);
    this.flush();
    return new View(await this.#readBack(staging, bytes));
  }

  /** Contents of a read-back buffer once all that is submitted is done; the buffer goes back to its pool. */
  async #readBack(staging: Memory, bytes: number): Promise<ArrayBuffer> {
    const { mark } = this.#pace;
    try {
      await staging.gpu.mapAsync(GPUMapMode.READ, 0, bytes);
    } catch (error) {
      this.#die(`read of ${bytes} bytes failed: ${(error as Error).message}`);
    }
    this.#checkAlive();
    this.#pace.seen(mark, performance.now());
    this.#most = FIRST_PENDING;
    const copy = staging.gpu.getMappedRange(0, bytes).slice(0);
    staging.gpu.unmap();
    this.#staging.give(staging);
    this.#staging.trim(MIN_POOL_BYTES);
    return copy;
  }

  copy(to: Slice, from: Slice): void {
    const b = checkCopy<GpuBuffer>(this, to, from);
    this.#checkAlive();
    const bytes = to.length * 4;
    if (bytes === 0) return;
    this.#recording?.name([b.from, b.to]);
    const source = b.from.memory;
    const target = b.to.memory;
    // Within one buffer WebGPU wants a way station. It comes first: room for it may take a submit, after which nothing is named.
    const between = target === source ? this.#take(to.length) : undefined;
    this.#named.add(source).add(target);
    if (!between) {
      this.#copy(source.gpu, from.offset * 4, target.gpu, to.offset * 4, bytes);
      return;
    }
    this.#named.add(between);
    this.#copy(source.gpu, from.offset * 4, between.gpu, 0, bytes);
    this.#copy(between.gpu, 0, target.gpu, to.offset * 4, bytes);
    this.#give(between); // queue order keeps whoever takes it next behind these copies
  }

  #copy(from: GPUBuffer, fromByte: number, to: GPUBuffer, toByte: number, bytes: number): void {
    this.#commands().copyBufferToBuffer(from, fromByte, to, toByte, bytes);
    this.#recording?.commands.push({ from, fromByte, to, toByte, bytes });
  }

  dispatch(spec: KernelSpec, name: string, slices: readonly Slice[], params: Params): void {
    this.#checkAlive();
    const { entry, buffers } = checkDispatch<GpuBuffer>(this, spec, name, slices, params);
    const pipeline = this.#pipelines.get(spec, name, this.#pick(entry, name, params));
    const { passes, scratch } = pipeline.variant;
    const grids = passes.map(({ grid }) => this.#checkGrid(name, grid(params)));
    // A pooled buffer, given back at once: queue order keeps whoever takes it next behind these passes.
    const between = scratch && this.#take(scratch(params));
    const group = this.#bindGroup(pipeline, buffers, slices, between);
    for (const { memory } of buffers) this.#named.add(memory);
    if (between) {
      this.#named.add(between);
      this.#give(between);
    }
    const offset = this.#pending * PARAM_STRIDE;
    writeParams(entry, params, this.#paramsView, offset);
    const flops = entry.flops(params);
    if (this.#recording) {
      this.#recording.name(buffers);
      if (between) this.#recording.named.add(between);
      const block = this.#paramsHost.slice(offset, offset + pipeline.paramBytes);
      this.#recording.commands.push({ group, passes: pipeline.passes, grids, params: block, flops });
    }
    this.#encode(group, offset, pipeline.passes, grids, flops);
    if (this.#switches.debug < 2) return;
    const log: DispatchLog = { backend: this.kind, spec, name, params };
    reportDispatch(log);
    if (this.#switches.debug >= 5) this.#scanOutputs(log, slices);
  }

  /** One dispatch whose params lie at `offset`. */
  #encode(
    group: GPUBindGroup,
    offset: number,
    passes: readonly GPUComputePipeline[],
    grids: readonly (readonly [number, number, number])[],
    flops: number,
  ): void {
    const pass = this.#computePass();
    pass.setBindGroup(0, group, [offset]);
    for (let i = 0; i < passes.length; i++) {
      if (this.#pipeline !== passes[i]) pass.setPipeline((this.#pipeline = passes[i]));
      const [x, y, z] = grids[i];
      pass.dispatchWorkgroups(x, y, z);
    }
    this.stats.dispatches++;
    this.stats.flops += flops;
    this.#work += flops;
    if (++this.#pending < this.#most && (this.#work < this.#pace.limit || this.#timing)) return;
    this.flush();
    this.#most = Math.min(this.#most * GROWTH, MAX_PENDING);
  }

  #record(work: () => void): Recording {
    this.#checkAlive();
    this.#expectNoRecording('record');
    const recorded = new RecordedWork();
    const release = () => {
      for (const memory of recorded.idle) this.#pool.give(memory);
    };
    this.#recording = recorded;
    try {
      work();
    } catch (error) {
      release();
      throw error;
    } finally {
      this.#recording = undefined;
    }
    if (recorded.taken > 0) {
      release();
      throw new DeviceError(`record: ${recorded.taken} buffers were allocated and not freed; allocate before what a recording shall leave`);
    }
    const { bytes } = recorded;
    this.stats.liveBytes += bytes;
    this.stats.peakBytes = Math.max(this.stats.peakBytes, this.stats.liveBytes);
    const picks = this.#picks;
    const outside = [...recorded.outside];
    let destroyed = false;
    return {
      replay: (flops = 0) => {
        this.#checkAlive();
        this.#expectNoRecording('replay');
        if (destroyed || picks !== this.#picks || outside.some((b) => b.freed)) return false;
        this.#replay(recorded.commands, recorded.named);
        this.stats.flops += flops;
        return true;
      },
      destroy: () => {
        if (destroyed) return;
        destroyed = true;
        this.stats.liveBytes -= bytes;
        release();
      },
    };
  }

  #replay(commands: readonly RecordedCommand[], named: ReadonlySet<Memory>): void {
    let submits = -1;
    for (const c of commands) {
      if (this.stats.submits !== submits) {
        // Since the last submit nothing is named.
        submits = this.stats.submits;
        for (const memory of named) this.#named.add(memory);
      }
      if ('group' in c) {
        const offset = this.#pending * PARAM_STRIDE;
        this.#paramsHost.set(c.params, offset);
        this.#encode(c.group, offset, c.passes, c.grids, c.flops);
      } else this.#commands().copyBufferToBuffer(c.from, c.fromByte, c.to, c.toByte, c.bytes);
    }
  }

  #expectNoRecording(what: string): void {
    if (this.#recording) throw new DeviceError(`${what}: not while work is being recorded; do it before or after`);
  }

  flush(): void {
    if (!this.#encoder) return;
    this.#pass?.end();
    this.#pass = undefined;
    const commands = this.#encoder.finish();
    this.#encoder = undefined;
    if (this.#pending > 0) this.#device.queue.writeBuffer(this.#params, 0, this.#paramsHost, 0, this.#pending * PARAM_STRIDE);
    this.#pace.submit(this.#work, performance.now());
    this.#pending = 0;
    this.#work = 0;
    this.#named.clear();
    this.#uploadTop = 0;
    this.#submit(commands);
  }

  #submit(...commands: readonly GPUCommandBuffer[]): void {
    this.#device.queue.submit(commands);
    this.#written = 0;
    this.stats.submits++;
  }

  async sync(): Promise<void> {
    this.#checkAlive();
    this.#expectNoRecording('sync');
    this.flush();
    const { mark } = this.#pace;
    await this.#device.queue.onSubmittedWorkDone();
    this.#checkAlive();
    this.#pace.seen(mark, performance.now());
    this.#most = FIRST_PENDING;
  }

  async #deviceTime(work: () => void, set: GPUQuerySet, ticks: GPUBuffer): Promise<number> {
    this.#checkAlive();
    this.flush();
    const encoder = this.#commands();
    const timestampWrites = { querySet: set, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    const pass = encoder.beginComputePass({ label: 'eagrl, timed', timestampWrites });
    this.#pass = pass;
    this.#pipeline = undefined;
    this.#most = MAX_PENDING;
    this.#timing = true;
    try {
      work();
    } catch (error) {
      if (this.#pass === pass) this.#commands(); // ends it
      throw error;
    } finally {
      this.#timing = false;
    }
    if (this.#pass !== pass) {
      throw new DeviceError(
        `webgpu: deviceTime takes dispatches only, at most ${MAX_PENDING - 1}; time anything else with performance.now`,
      );
    }
    const staging = this.#staging.take(TICK_BYTES);
    const commands = this.#commands();
    commands.resolveQuerySet(set, 0, 2, ticks, 0);
    commands.copyBufferToBuffer(ticks, 0, staging.gpu, 0, TICK_BYTES);
    this.flush();
    const [first, last] = new BigUint64Array(await this.#readBack(staging, TICK_BYTES));
    return Number(last - first) / 1e6;
  }

  get compilesAside(): boolean {
    return !this.#adapter.software;
  }

  async prepare(what: readonly (KernelSpec | Launch)[]): Promise<void> {
    this.#checkAlive();
    const wanted = what.flatMap((one) => {
      if ('params' in one) {
        const { spec, entry: name, params } = one;
        return [{ spec, name, variant: this.#pick(entryOf(spec, name), name, params) }];
      }
      return Object.entries(one.entries).flatMap(([name, entry]) =>
        pickable(entry, this.#adapter).map((variant) => ({ spec: one, name, variant })),
      );
    });
    try {
      await this.#pipelines.prepare(wanted);
    } catch (error) {
      this.#checkAlive(); // a device that is gone compiles nothing
      throw new DeviceError(`webgpu: a kernel does not compile: ${(error as Error).message}`);
    }
  }

  async destroy(): Promise<void> {
    if (this.#dead === undefined) this.#dead = 'it was destroyed';
    this.#device.destroy();
  }

  #commands(): GPUCommandEncoder {
    this.#pass?.end();
    this.#pass = undefined;
    this.#encoder ??= this.#device.createCommandEncoder({ label: 'eagrl' });
    return this.#encoder;
  }

  #computePass(): GPUComputePassEncoder {
    if (!this.#pass) {
      this.#pass = this.#commands().beginComputePass({ label: 'eagrl' });
      this.#pipeline = undefined;
    }
    return this.#pass;
  }

  /** A measured choice if there is one and it can run, else what the entry's rules say. */
  #pick(entry: KernelEntry, name: string, params: Params): string {
    if (!entry.variants) return 'default';
    const measured = this.#picks.size > 0 && entry.shape && this.#picks.get(`${name} ${entry.shape(params)}`);
    if (measured && applicable(entry, params, this.#adapter).includes(measured)) return measured;
    return pickVariant(entry, params, this.#adapter);
  }

  #checkGrid(name: string, grid: readonly [number, number, number]): readonly [number, number, number] {
    const most = this.#mostGroups;
    for (const n of grid) {
      if (Number.isInteger(n) && n >= 0 && n <= most) continue;
      throw new DeviceError(
        `${name}: grid ${grid.join(' x ')}; WebGPU takes whole numbers up to ${most} per dimension (grid1d spreads over two)`,
      );
    }
    return grid;
  }

  #bindGroup(
    { key, label, layout, paramBytes }: Pipeline,
    buffers: readonly GpuBuffer[],
    slices: readonly Slice[],
    scratch: Memory | undefined,
  ): GPUBindGroup {
    const facts = this.#groupFacts;
    let n = 0;
    facts[n++] = key;
    facts[n++] = scratch ? scratch.id : -1;
    for (let i = 0; i < buffers.length; i++) {
      facts[n++] = buffers[i].memory.id;
      facts[n++] = slices[i].offset;
      facts[n++] = wholly(buffers[i], slices[i]) ? WHOLE : slices[i].length;
    }
    const known = this.#bindGroups.get(facts, n);
    if (known) return known;
    const storage = buffers.map((b, binding): GPUBindGroupEntry => {
      const slice = slices[binding];
      const { gpu } = b.memory;
      if (slice.length === 0) return { binding, resource: { buffer: this.#dummy(binding) } };
      if (wholly(b, slice)) return { binding, resource: { buffer: gpu } };
      return { binding, resource: { buffer: gpu, offset: slice.offset * 4, size: slice.length * 4 } };
    });
    const params = { binding: buffers.length, resource: { buffer: this.#params, size: paramBytes } };
    const entries: GPUBindGroupEntry[] = [...storage, params];
    if (scratch) entries.push({ binding: entries.length, resource: { buffer: scratch.gpu } });
    return this.#bindGroups.keep(facts, n, this.#device.createBindGroup({ label, layout, entries }));
  }

  /** A pooled buffer of at least `length` elements. */
  #take(length: number): Memory {
    const bytes = Math.max(length * 4, DUMMY_BYTES);
    const limit = this.#mostBytes;
    if (bytes > limit) {
      throw new DeviceError(
        `webgpu: ${bytes} bytes asked; this adapter binds at most ${limit} at once, ${this.stats.liveBytes} are live; use smaller batches or a smaller model`,
      );
    }
    const kept = this.#recording?.take(this.#pool.sizeFor(bytes));
    if (kept) return kept;
    if (!this.#pool.has(bytes)) this.#trimPool(bytes);
    const memory = this.#pool.take(bytes);
    return this.#recording?.adopt(memory) ?? memory;
  }

  #give(memory: Memory): void {
    if (this.#recording?.owns(memory)) this.#recording.give(memory);
    else this.#pool.give(memory);
  }

  /** One per binding, so that no two bindings of a dispatch share it. */
  #dummy(binding: number): GPUBuffer {
    this.#dummies[binding] ??= this.#device.createBuffer({ label: `empty ${binding}`, size: DUMMY_BYTES, usage: GPUBufferUsage.STORAGE });
    return this.#dummies[binding];
  }

  /**
   * Gives memory back before `bytes` more are asked for, when the pool holds sizes that the run no longer uses. What is live counts: between two
   * steps nearly all of a step's memory lies in the pool.
   */
  #trimPool(bytes: number): void {
    const { peakBytes, liveBytes } = this.stats;
    const keep = Math.max(0, peakBytes + Math.max(MIN_POOL_BYTES, peakBytes / 4) - liveBytes - bytes);
    if (this.#pool.bytesFree <= keep) return;
    this.flush(); // work not yet submitted may use what is destroyed
    this.#pool.trim(keep);
    this.#bindGroups.clear();
  }

  /** Reads take their place in the queue now; what they find stops the device, with the kernel's name. */
  #scanOutputs(log: DispatchLog, slices: readonly Slice[]): void {
    log.spec.entries[log.name].bindings.forEach((b, i) => {
      if (b.access === 'read' || b.dtype !== 'f32') return;
      this.read(slices[i], 'f32')
        .then((values) => scan(log, b.name, values))
        .catch((error: Error) => this.#die(error.message));
    });
  }

  #die(reason: string): void {
    if (this.#dead !== undefined) return;
    this.#dead = reason;
    this.#resolveLost(reason);
  }

  #memoryAdvice(): string {
    const { liveBytes, pooledBytes } = this.stats;
    return `; ${liveBytes} bytes were live and ${pooledBytes} pooled: use smaller batches, gradient checkpointing or a smaller model`;
  }

  #checkAlive(): void {
    if (this.#dead !== undefined) throw new DeviceError(`webgpu: the device is gone: ${this.#dead}; open it again`);
  }
}
