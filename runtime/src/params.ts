/** All parameters of a model in one flat buffer, their gradients in another: the optimiser and a snapshot are one launch each. */
import { elementwise } from '@eagrl/kernels';
import type { Context } from './context.ts';
import { alignUp, sizeOf, type Tensor, view } from './tensor.ts';

export interface ParamSpec {
  /** As in the checkpoint: `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether weight decay applies: not to norms and biases. */
  readonly decay: boolean;
}

export interface Parameter extends ParamSpec {
  readonly value: Tensor;
  /** Backward adds here; undefined while the store holds no gradients (inference, a frozen reference): then nobody computes it. */
  grad: Tensor | undefined;
}

export class ParamStore {
  readonly ctx: Context;
  readonly list: readonly Parameter[];
  /** (length) f32: every parameter, each from a multiple of SLICE_ALIGN on, gaps zero. */
  readonly values: Tensor;
  /** Gradients in the layout of `values`; undefined until `enableGrad`. */
  grads: Tensor | undefined;
  readonly #byName = new Map<string, Parameter>();
  readonly #starts: number[] = [];

  /** Allocates all values as zeros. @throws Error for a name given twice. */
  constructor(ctx: Context, specs: readonly ParamSpec[]) {
    this.ctx = ctx;
    let length = 0;
    for (const s of specs) {
      this.#starts.push(length);
      length += alignUp(sizeOf(s.shape));
    }
    this.values = ctx.persist(ctx.tensor([length]));
    ctx.run(elementwise, 'fill', [this.values], { n: length, value: 0 });
    this.list = specs.map((s, i) => ({ ...s, value: view(this.values, s.shape, this.#starts[i]), grad: undefined }));
    for (const p of this.list) {
      if (this.#byName.has(p.name)) throw new Error(`params: '${p.name}' given twice`);
      this.#byName.set(p.name, p);
    }
  }

  /** Elements of the flat buffers, gaps included. */
  get length(): number {
    return this.values.slice.length;
  }

  /** Parameters without the gaps. */
  get count(): number {
    return this.list.reduce((n, p) => n + sizeOf(p.shape), 0);
  }

  get(name: string): Parameter {
    const p = this.#byName.get(name);
    if (!p) throw new Error(`params: no '${name}'`);
    return p;
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Allocates the gradients as zeros, if not yet there. */
  enableGrad(): void {
    if (this.grads) return;
    const grads = this.ctx.persist(this.ctx.tensor([this.length]));
    this.grads = grads;
    this.zeroGrad();
    this.list.forEach((p, i) => {
      p.grad = view(grads, p.shape, this.#starts[i]);
    });
  }

  zeroGrad(): void {
    if (this.grads) this.ctx.run(elementwise, 'fill', [this.grads], { n: this.length, value: 0 });
  }

  /** 1 or 0 per block of 64 elements (parameters start at multiples of 64): where weight decay applies. */
  decayBlocks(): Float32Array {
    const blocks = new Float32Array(this.length / 64);
    this.list.forEach((p, i) => {
      const from = this.#starts[i] / 64;
      blocks.fill(p.decay ? 1 : 0, from, from + alignUp(sizeOf(p.shape)) / 64);
    });
    return blocks;
  }

  /** Values become those of `other`: a snapshot of the old policy, a frozen reference. @throws Error when the layouts differ. */
  copyFrom(other: ParamStore): void {
    const same =
      other.list.length === this.list.length &&
      this.list.every((p, i) => p.name === other.list[i].name && sizeOf(p.shape) === sizeOf(other.list[i].shape));
    if (!same) throw new Error('copyFrom: the two stores hold different parameters');
    this.ctx.backend.copy(this.values.slice, other.values.slice);
  }

  /** Sets one parameter from host numbers. */
  write(name: string, data: Float32Array): void {
    const p = this.get(name);
    if (data.length !== sizeOf(p.shape)) throw new Error(`params: '${name}' has ${sizeOf(p.shape)} elements, got ${data.length}`);
    this.ctx.backend.write(p.value.slice, data);
  }

  /**
   * Cuts a flat array in the layout of `values` (values, gradients, moments) into its parameters; the arrays are views of `flat`.
   */
  split(flat: Float32Array): Map<string, Float32Array> {
    return new Map(this.list.map((p, i) => [p.name, flat.subarray(this.#starts[i], this.#starts[i] + sizeOf(p.shape))]));
  }

  /** The reverse of `split`; gaps are zero. @throws Error when one is missing or of the wrong length. */
  join(parts: ReadonlyMap<string, Float32Array>): Float32Array {
    const flat = new Float32Array(this.length);
    this.list.forEach((p, i) => {
      const part = parts.get(p.name);
      if (part?.length !== sizeOf(p.shape)) throw new Error(`params: '${p.name}' needs ${sizeOf(p.shape)} elements, got ${part?.length}`);
      flat.set(part, this.#starts[i]);
    });
    return flat;
  }

  /** All values by name. */
  async read(): Promise<Map<string, Float32Array>> {
    return this.split(await this.ctx.read(this.values));
  }

  /** All gradients by name. @throws Error before `enableGrad`. */
  async readGrads(): Promise<Map<string, Float32Array>> {
    if (!this.grads) throw new Error('params: no gradients; call enableGrad first');
    return this.split(await this.ctx.read(this.grads));
  }

  destroy(): void {
    this.ctx.free(this.values);
    if (this.grads) this.ctx.free(this.grads);
    this.grads = undefined;
  }
}
