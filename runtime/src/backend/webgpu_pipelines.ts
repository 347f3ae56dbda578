/** Compiled variants of one GPUDevice's entry points, with layouts made from the spec. */
import { type AdapterFacts, bindingLayout, type KernelEntry, type KernelSpec, paramBytes, type Variant, variantOf } from '@eagrl/kernels';

export interface Pipeline {
  readonly entry: KernelEntry;
  readonly variant: Variant;
  readonly layout: GPUBindGroupLayout;
  /** One per pass of the variant. */
  readonly passes: readonly GPUComputePipeline[];
  readonly label: string;
  /** Bytes of the params block. */
  readonly paramBytes: number;
  /** Small number that stands for entry and variant in cache keys. */
  readonly key: number;
}

/** A variant of an entry point. */
export interface Wanted {
  readonly spec: KernelSpec;
  readonly name: string;
  readonly variant: string;
}

interface Described {
  readonly label: string;
  readonly variant: Variant;
  readonly layout: GPUBindGroupLayout;
  readonly descriptors: readonly GPUComputePipelineDescriptor[];
}

/** As Promise.all, but it waits for all of them, and of several errors it throws the first in order. */
async function allOf<T>(promises: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(promises);
  return settled.map((one) => {
    if (one.status === 'rejected') throw one.reason;
    return one.value;
  });
}

export class Pipelines {
  readonly #device: GPUDevice;
  readonly #adapter: AdapterFacts;
  readonly #modules = new Map<string, GPUShaderModule>();
  readonly #ready = new Map<KernelEntry, Map<string, Pipeline>>();
  #nextKey = 0;

  constructor(device: GPUDevice, adapter: AdapterFacts) {
    this.#device = device;
    this.#adapter = adapter;
  }

  /** Variants compiled so far. */
  get compiled(): number {
    return this.#nextKey;
  }

  /** The pipelines of a variant, compiled now if `prepare` has not done it. */
  get(spec: KernelSpec, name: string, variant: string): Pipeline {
    const known = this.#ready.get(spec.entries[name])?.get(variant);
    if (known) return known;
    const described = this.#describe(spec, name, variant);
    return this.#keep(
      spec,
      name,
      described,
      described.descriptors.map((d) => this.#device.createComputePipeline(d)),
    );
  }

  /**
   * Compiles what is missing of `wanted`. A shader error is held here and does not take the device down.
   * @throws Error with the kernel's name and the compiler's message and line.
   */
  async prepare(wanted: readonly Wanted[]): Promise<void> {
    const missing = wanted.filter(({ spec, name, variant }) => !this.#ready.get(spec.entries[name])?.has(variant));
    // All modules first: a pipeline of a broken one would only say that it is broken.
    const described = await allOf(
      missing.map(async ({ spec, name, variant }) => ({ spec, name, made: await this.#valid(() => this.#describe(spec, name, variant)) })),
    );
    const compile = async ({ spec, name, made }: (typeof described)[number]) => {
      const passes = await Promise.all(made.descriptors.map((d) => this.#compile(d)));
      if (!this.#ready.get(spec.entries[name])?.has(made.variant.name)) this.#keep(spec, name, made, passes);
    };
    if (this.#adapter.software) for (const one of described) await compile(one);
    else await allOf(described.map(compile));
  }

  /**
   * What Dawn compiles off the caller's thread takes twice the CPU time (SwiftShader: LOG.md, 2026-11-27): worth it only where the compiler works
   * for a GPU. Of a software adapter each pipeline holds the caller up, and others have their turn in between.
   */
  async #compile(descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    if (!this.#adapter.software) return this.#device.createComputePipelineAsync(descriptor);
    return this.#valid(() => this.#device.createComputePipeline(descriptor));
  }

  /** @throws Error with the label of what was made and the device's objection to it. */
  async #valid<T extends { readonly label: string }>(make: () => T): Promise<T> {
    this.#device.pushErrorScope('validation');
    const made = make();
    const error = await this.#device.popErrorScope();
    if (error) throw new Error(`${made.label}: ${error.message}`);
    return made;
  }

  #keep(spec: KernelSpec, name: string, { label, variant, layout }: Described, passes: readonly GPUComputePipeline[]): Pipeline {
    const entry = spec.entries[name];
    const made = { entry, variant, layout, passes, label, paramBytes: paramBytes(entry), key: this.#nextKey++ };
    let variants = this.#ready.get(entry);
    if (!variants) this.#ready.set(entry, (variants = new Map()));
    variants.set(variant.name, made);
    return made;
  }

  #describe(spec: KernelSpec, name: string, variantName: string): Described {
    const variant = variantOf(spec, name, variantName);
    const label = variantName === 'default' ? `${spec.name}/${name}` : `${spec.name}/${name}/${variantName}`;
    const entries = bindingLayout(spec.entries[name], { scratch: variant.scratch !== undefined, dynamic: true });
    const bindings = this.#device.createBindGroupLayout({ label, entries });
    const layout = this.#device.createPipelineLayout({ label, bindGroupLayouts: [bindings] });
    const descriptors = variant.passes.map(({ wgsl, entry: entryPoint, constants }) => ({
      label,
      layout,
      compute: { module: this.#module(label, wgsl), entryPoint, constants },
    }));
    return { label, variant, layout: bindings, descriptors };
  }

  #module(label: string, code: string): GPUShaderModule {
    let module = this.#modules.get(code);
    if (!module) this.#modules.set(code, (module = this.#device.createShaderModule({ label, code })));
    return module;
  }
}
