/** Compiled entry points of one GPUDevice, with layouts made from the spec. */
import { type KernelEntry, type KernelSpec, packParams } from '@eagrl/kernels';

export interface Pipeline {
  readonly entry: KernelEntry;
  readonly layout: GPUBindGroupLayout;
  readonly pipeline: GPUComputePipeline;
  readonly label: string;
  /** Bytes of the params block. */
  readonly paramBytes: number;
  /** Small number that stands for the entry in cache keys. */
  readonly key: number;
}

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #ready = new Map<KernelEntry, Pipeline>();
  #nextKey = 0;

  constructor(device: GPUDevice) {
    this.#device = device;
  }

  /** The pipeline of an entry, compiled now if `prepare` has not done it. */
  get(spec: KernelSpec, name: string): Pipeline {
    const entry = spec.entries[name];
    let known = this.#ready.get(entry);
    if (!known) {
      const { layout, descriptor } = this.#describe(spec, name);
      known = this.#keep(spec, name, layout, this.#device.createComputePipeline(descriptor));
    }
    return known;
  }

  /**
   * Compiles what is missing, all at once. A shader error is held here and does not take the device down.
   * @throws Error with the kernel's name and the compiler's message and line.
   */
  async prepare(kernels: readonly KernelSpec[]): Promise<void> {
    await Promise.all(
      kernels.map(async (spec) => {
        this.#device.pushErrorScope('validation');
        this.#module(spec);
        const error = await this.#device.popErrorScope();
        if (error) throw new Error(`${spec.name}: ${error.message}`);
      }),
    );
    const missing = kernels.flatMap((spec) =>
      Object.keys(spec.entries)
        .filter((name) => !this.#ready.has(spec.entries[name]))
        .map((name) => ({ spec, name })),
    );
    await Promise.all(
      missing.map(async ({ spec, name }) => {
        const { layout, descriptor } = this.#describe(spec, name);
        const pipeline = await this.#device.createComputePipelineAsync(descriptor);
        if (!this.#ready.has(spec.entries[name])) this.#keep(spec, name, layout, pipeline);
      }),
    );
  }

  #keep(spec: KernelSpec, name: string, layout: GPUBindGroupLayout, pipeline: GPUComputePipeline): Pipeline {
    const entry = spec.entries[name];
    const zeros = Object.fromEntries(Object.keys(entry.params).map((k) => [k, 0]));
    const paramBytes = packParams(entry, zeros).byteLength;
    const made = { entry, layout, pipeline, label: `${spec.name}/${name}`, paramBytes, key: this.#nextKey++ };
    this.#ready.set(entry, made);
    return made;
  }

  #describe(spec: KernelSpec, name: string): { layout: GPUBindGroupLayout; descriptor: GPUComputePipelineDescriptor } {
    const label = `${spec.name}/${name}`;
    const storage = spec.entries[name].bindings.map((b, binding) => ({
      binding,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: b.access === 'read' ? ('read-only-storage' as const) : ('storage' as const) },
    }));
    const params = {
      binding: storage.length,
      visibility: GPUShaderStage.COMPUTE,
      buffer: { type: 'uniform' as const, hasDynamicOffset: true },
    };
    const layout = this.#device.createBindGroupLayout({ label, entries: [...storage, params] });
    const compute = { module: this.#module(spec), entryPoint: name };
    return {
      layout,
      descriptor: { label, layout: this.#device.createPipelineLayout({ label, bindGroupLayouts: [layout] }), compute },
    };
  }

  #module(spec: KernelSpec): GPUShaderModule {
    let module = this.#modules.get(spec.wgsl);
    if (!module) {
      module = this.#device.createShaderModule({ label: spec.name, code: spec.wgsl });
      this.#modules.set(spec.wgsl, module);
    }
    return module;
  }
}
