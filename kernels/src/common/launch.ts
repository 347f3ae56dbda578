/** Runs one entry point of one spec on a given device or memory and returns what it wrote: for tests, benches and the curious. */
import { type Binding, type DType, entryOf, type KernelEntry, type KernelSpec, type Params, type Phase, type Variant } from './spec.ts';
import { DEFAULT_VARIANT, variantOf } from './variants.ts';

export type HostArray = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
export type HostBuffers = Record<string, HostArray>;

const VIEW = { f32: Float32Array, u32: Uint32Array, i32: Int32Array } as const;
/** A NaN pattern: an output element a kernel forgets to write is seen. */
const POISON = 0x7fc0dead;

/** Names and types of an entry's params in declared order; asked for at every dispatch. */
const paramsOf = new WeakMap<KernelEntry, readonly (readonly [string, DType])[]>();

function declared(entry: KernelEntry): readonly (readonly [string, DType])[] {
  let list = paramsOf.get(entry);
  if (!list) paramsOf.set(entry, (list = Object.entries(entry.params)));
  return list;
}

/** Bytes of an entry's params block: 4-byte words, padded to 16 bytes. */
export const paramBytes = (entry: KernelEntry): number => Math.max(16, Math.ceil(declared(entry).length / 4) * 16);

/** Writes params into `view` from byte `at`, words in declared order. */
export function writeParams(entry: KernelEntry, params: Params, view: DataView, at: number): void {
  for (const [name, dtype] of declared(entry)) {
    const value = params[name];
    if (value === undefined || Number.isNaN(value)) throw new Error(`params: '${name}' is ${value}; expected a number`);
    if (dtype === 'f32') view.setFloat32(at, value, true);
    else if (dtype === 'u32') view.setUint32(at, value, true);
    else view.setInt32(at, value, true);
    at += 4;
  }
}

/** The params block of one launch. */
export function packParams(entry: KernelEntry, params: Params): ArrayBuffer {
  const block = new ArrayBuffer(paramBytes(entry));
  writeParams(entry, params, new DataView(block), 0);
  return block;
}

/** Checks that every binding has at least the elements that the params ask for; throws before any work. */
export function checkSizes(spec: KernelSpec, name: string, params: Params, lengthOf: (b: Binding, at: number) => number): void {
  const { bindings, size } = entryOf(spec, name);
  const need = size(params);
  for (let i = 0; i < bindings.length; i++) {
    const b = bindings[i];
    const have = lengthOf(b, i);
    if (have < need[b.name]) throw new Error(`${name}: '${b.name}' needs ${need[b.name]} ${b.dtype} elements, got ${have}`);
  }
}

/** Inputs as given; `write` outputs poisoned, sized by the spec, unless the caller gives an array (to check what is left alone). */
function fillHost(spec: KernelSpec, name: string, inputs: HostBuffers, params: Params): HostBuffers {
  const entry = entryOf(spec, name);
  const need = entry.size(params);
  const host: HostBuffers = {};
  for (const b of entry.bindings) {
    const given = inputs[b.name];
    if (given) host[b.name] = given.slice() as HostArray;
    else if (b.access === 'write') host[b.name] = new VIEW[b.dtype](new Uint32Array(need[b.name]).fill(POISON).buffer);
    else throw new Error(`${name}: input '${b.name}' missing`);
  }
  checkSizes(spec, name, params, (b) => host[b.name].length);
  return host;
}

const outputs = (entry: KernelEntry, host: HostBuffers): HostBuffers =>
  Object.fromEntries(entry.bindings.filter((b) => b.access !== 'read').map((b) => [b.name, host[b.name]]));

/** The f64 oracle. Integer outputs come back rounded into their own type only by the caller's comparison. */
export function launchRef(spec: KernelSpec, name: string, inputs: HostBuffers, params: Params): Record<string, Float64Array> {
  const entry = entryOf(spec, name);
  const host = fillHost(spec, name, inputs, params);
  const wide: Record<string, Float64Array> = {};
  for (const b of entry.bindings) wide[b.name] = Float64Array.from(host[b.name] as ArrayLike<number>);
  spec.ref[name](wide, params);
  return Object.fromEntries(entry.bindings.filter((b) => b.access !== 'read').map((b) => [b.name, wide[b.name]]));
}

const modules = new Map<string, WebAssembly.Module>();

/** The compiled module of a spec; the relaxed build when asked for and the engine takes it. */
export function wasmModule(spec: KernelSpec, relaxed: boolean): WebAssembly.Module {
  const text = relaxed && spec.wasm.relaxed ? spec.wasm.relaxed : spec.wasm.simd;
  let module = modules.get(text);
  if (!module) {
    module = new WebAssembly.Module(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)));
    modules.set(text, module);
  }
  return module;
}

/** Bytes of per-thread scratch that every wasm instance gets (`TLS` in simd.as.ts). */
export const TLS_BYTES = 262_144;

/** Runs the WebAssembly side on this thread, its work cut into `pieces` to show that the cut changes nothing. */
export function launchWasm(
  spec: KernelSpec,
  name: string,
  inputs: HostBuffers,
  params: Params,
  { relaxed = false, pieces = 3 } = {},
): HostBuffers {
  const entry = entryOf(spec, name);
  const host = fillHost(spec, name, inputs, params);
  const scratchBytes = (entry.scratch?.(params) ?? 0) * 4;
  const bytes = Object.values(host).reduce((n, a) => n + align16(a.byteLength) + 16, TLS_BYTES + align16(scratchBytes) + 65_536);
  const memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / 65_536), maximum: 65_536, shared: true });
  const tls = 65_536;
  let top = tls + TLS_BYTES;
  const take = (n: number) => {
    const at = top;
    top += align16(n) + 16;
    return at;
  };
  const pointers = entry.bindings.map((b) => {
    const at = take(host[b.name].byteLength);
    new VIEW[b.dtype](memory.buffer, at, host[b.name].length).set(host[b.name] as any);
    return at;
  });
  const args = [...pointers, ...Object.keys(entry.params).map((k) => params[k])];
  if (entry.scratch) {
    const at = take(scratchBytes);
    new Uint32Array(memory.buffer, at, scratchBytes / 4).fill(POISON);
    args.push(at);
  }
  const instance = new WebAssembly.Instance(wasmModule(spec, relaxed), {
    env: { memory, tls: new WebAssembly.Global({ value: 'i32' }, tls) },
  });
  for (const phase of phasesOf(name, entry)) {
    const total = phase.work(params);
    const grain = total > 0 ? (phase.grain?.(params) ?? 1) : 1;
    if (!Number.isInteger(grain) || grain < 1)
      throw new Error(`${name}: a thread would take ${grain} items of '${phase.export}' at a time`);
    const fn = instance.exports[phase.export] as (...a: number[]) => void;
    if (!fn) throw new Error(`${spec.name}: wasm exports no '${phase.export}'`);
    for (let i = 0; i < pieces; i++) {
      const lo = Math.floor((total * i) / pieces);
      const hi = Math.floor((total * (i + 1)) / pieces);
      if (hi > lo) fn(...args, ...phase.constants, lo, hi);
    }
  }
  entry.bindings.forEach((b, i) => {
    host[b.name] = new VIEW[b.dtype](memory.buffer, pointers[i], host[b.name].length).slice() as unknown as HostArray;
  });
  return outputs(entry, host);
}

const align16 = (n: number): number => (n + 15) & ~15;

/** The wasm passes of an entry: its phases, or the one export of its own name. */
export function phasesOf(name: string, entry: KernelEntry): readonly (Phase & { readonly constants: readonly number[] })[] {
  if (entry.phases) return entry.phases.map((phase) => ({ constants: [], ...phase }));
  if (!entry.work) throw new Error(`${name}: the spec has neither work nor phases`);
  return [{ export: name, work: entry.work, constants: [] }];
}

/**
 * Layout of bind group 0: the bindings in order, the params block, and the scratch of a variant that has one. `dynamic`: the params
 * block has a dynamic offset.
 */
export function bindingLayout(entry: KernelEntry, { scratch = false, dynamic = false } = {}): GPUBindGroupLayoutEntry[] {
  const types: GPUBufferBindingType[] = entry.bindings.map((b) => (b.access === 'read' ? 'read-only-storage' : 'storage'));
  const buffers: GPUBufferBindingLayout[] = [...types.map((type) => ({ type })), { type: 'uniform', hasDynamicOffset: dynamic }];
  if (scratch) buffers.push({ type: 'storage' });
  return buffers.map((buffer, binding) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer }));
}

interface Compiled {
  readonly layout: GPUBindGroupLayout;
  readonly passes: readonly GPUComputePipeline[];
}

const compiled = new WeakMap<GPUDevice, Map<string, Compiled>>();

/** The pipelines of a variant, compiled once per device; a WGSL error carries the kernel's name and line. */
async function compile(device: GPUDevice, spec: KernelSpec, name: string, variant: Variant): Promise<Compiled> {
  let known = compiled.get(device);
  if (!known) compiled.set(device, (known = new Map()));
  const key = `${name} ${variant.name}`;
  let made = known.get(key);
  if (!made) {
    const layout = device.createBindGroupLayout({
      label: key,
      entries: bindingLayout(entryOf(spec, name), { scratch: variant.scratch !== undefined }),
    });
    const passes = [];
    for (const pass of variant.passes) {
      const module = device.createShaderModule({ label: key, code: pass.wgsl });
      const { messages } = await module.getCompilationInfo();
      const wrong = messages.find((m) => m.type === 'error');
      if (wrong) throw new Error(`${key}, wgsl:${wrong.lineNum}:${wrong.linePos}: ${wrong.message}`);
      const compute = { module, entryPoint: pass.entry, constants: pass.constants };
      passes.push(
        await device.createComputePipelineAsync({
          label: key,
          layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
          compute,
        }),
      );
    }
    known.set(key, (made = { layout, passes }));
  }
  return made;
}

/** Runs the WGSL side, the entry's own or the named variant, and reads its outputs back. Validation errors reject. */
export async function launchWebgpu(
  device: GPUDevice,
  spec: KernelSpec,
  name: string,
  inputs: HostBuffers,
  params: Params,
  variantName = DEFAULT_VARIANT,
): Promise<HostBuffers> {
  const entry = entryOf(spec, name);
  const host = fillHost(spec, name, inputs, params);
  device.pushErrorScope('validation');
  const variant = variantOf(spec, name, variantName);
  if (!variant.applies(params)) throw new Error(`${name}: variant '${variantName}' cannot compute ${JSON.stringify(params)}`);
  const { layout, passes } = await compile(device, spec, name, variant);
  const made: GPUBuffer[] = [];
  const buffer = (size: number, usage: number) => {
    const b = device.createBuffer({ size: Math.max(16, size), usage });
    made.push(b);
    return b;
  };
  const storage = entry.bindings.map((b) => {
    const g = buffer(host[b.name].byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC);
    device.queue.writeBuffer(g, 0, host[b.name]);
    return g;
  });
  const block = packParams(entry, params);
  const uniform = buffer(block.byteLength, GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST);
  device.queue.writeBuffer(uniform, 0, block);
  const bound = [...storage, uniform];
  if (variant.scratch) {
    const poison = new Uint32Array(variant.scratch(params)).fill(POISON);
    const scratch = buffer(poison.byteLength, GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST);
    device.queue.writeBuffer(scratch, 0, poison);
    bound.push(scratch);
  }
  const group = device.createBindGroup({
    layout,
    entries: bound.map((b, binding) => ({ binding, resource: { buffer: b } })),
  });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setBindGroup(0, group);
  variant.passes.forEach(({ grid }, i) => {
    pass.setPipeline(passes[i]);
    pass.dispatchWorkgroups(...grid(params));
  });
  pass.end();
  const reads = entry.bindings.map((b, i) => {
    if (b.access === 'read') return undefined;
    const r = buffer(host[b.name].byteLength, GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    encoder.copyBufferToBuffer(storage[i], 0, r, 0, host[b.name].byteLength);
    return r;
  });
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(`${name}: ${error.message}`);
  for (const [i, b] of entry.bindings.entries()) {
    const r = reads[i];
    if (!r) continue;
    await r.mapAsync(GPUMapMode.READ);
    host[b.name] = new VIEW[b.dtype](r.getMappedRange(0, host[b.name].byteLength).slice(0)) as HostArray;
    r.unmap();
  }
  for (const b of made) b.destroy();
  return outputs(entry, host);
}
