/**
 * All parameters of a model in flat buffers, their gradients in others of the same layout: the optimiser and a snapshot are a launch or a copy
 * per buffer. There is one buffer of at most ARENA_BYTES, or several; a matrix larger than that has one of its own, and one that exceeds
 * what the device binds at once lies in blocks of rows. Parameters named as a group lie side by side, so that one product can take them all.
 */
import { elementwise } from '@eagrl/kernels';
import { SLICE_ALIGN } from './backend.ts';
import type { Context } from './context.ts';
import { bindingLimit, cutRows, type WeightPart } from './parts.ts';
import { alignUp, sizeOf, type Tensor, view } from './tensor.ts';

export interface ParamSpec {
  /** As in the checkpoint: `model.layers.0.self_attn.q_proj.weight`. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether weight decay applies: not to norms and biases. */
  readonly decay: boolean;
}

/** A part of a parameter, and the flat buffer that it lies in. */
interface ParamPart extends WeightPart {
  readonly arena: number;
}

export class Parameter implements ParamSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly decay: boolean;
  readonly dtype = 'f32';
  readonly parts: readonly ParamPart[];

  constructor({ name, shape, decay }: ParamSpec, parts: readonly ParamPart[]) {
    this.name = name;
    this.shape = shape;
    this.decay = decay;
    this.parts = parts;
  }

  /** @throws Error for a matrix in blocks of rows. */
  get value(): Tensor {
    return this.#whole.w;
  }

  /** Backward adds here; undefined while the store holds no gradients. @throws Error for a matrix in blocks of rows. */
  get grad(): Tensor | undefined {
    return this.#whole.grad;
  }

  get #whole(): ParamPart {
    const { parts, name } = this;
    if (parts.length > 1) throw new Error(`params: '${name}' lies in ${parts.length} blocks of rows; take its parts`);
    return parts[0];
  }
}

/**
 * Bytes of a flat buffer that holds several parameters: what WebGPU promises of every device. Drivers refuse single allocations near their
 * stated limits (SwiftShader 1.07 GB of 1.1), and a launch per 256 MiB costs nothing.
 */
const ARENA_BYTES = 2 ** 28;

/** Names of parameters that are to lie one after the other, in one buffer if they fit. */
export type ParamGroup = readonly string[];

/** In the order of the specs, each group at the place of its first. */
function units(specs: readonly ParamSpec[], groups: readonly ParamGroup[]): ParamSpec[][] {
  const byName = new Map(specs.map((s) => [s.name, s]));
  const specOf = (name: string): ParamSpec => {
    const spec = byName.get(name);
    if (!spec) throw new Error(`params: no '${name}', which a group names`);
    return spec;
  };
  const members = new Map(groups.map((g) => [g[0], g.map(specOf)]));
  const later = new Set(groups.flatMap((g) => g.slice(1)));
  return specs.filter(({ name }) => !later.has(name)).map((s) => members.get(s.name) ?? [s]);
}

/** Where each parameter goes: blocks of rows, each in a flat buffer (`arena`) from a multiple of SLICE_ALIGN elements on; and their lengths. */
export function layOut(specs: readonly ParamSpec[], limit: number, groups: readonly ParamGroup[] = []) {
  // A buffer ends at a granule too.
  const most = Math.floor(limit / 4 / SLICE_ALIGN) * SLICE_ALIGN;
  const shared = Math.min(most, ARENA_BYTES / 4);
  const lengths = [0];
  const full = (more: number) => lengths[lengths.length - 1] > 0 && lengths[lengths.length - 1] + more > shared;
  const place = ({ name, shape }: ParamSpec) => {
    const matrix = shape.length === 2 ? ([shape[0], shape[1]] as const) : ([1, sizeOf(shape)] as const);
    return cutRows(name, 'f32', matrix, 4 * most).map(({ start, rows }) => {
      const length = alignUp(rows * matrix[1]);
      if (full(length)) lengths.push(0);
      const arena = lengths.length - 1;
      const offset = lengths[arena];
      lengths[arena] += length;
      return { start, rows, shape: shape.length === 2 ? [rows, shape[1]] : shape, arena, offset };
    });
  };
  const placed = new Map<string, ReturnType<typeof place>>();
  for (const unit of units(specs, groups)) {
    const all = unit.reduce((n, { shape }) => n + alignUp(sizeOf(shape)), 0);
    if (all <= shared && full(all)) lengths.push(0);
    for (const spec of unit) placed.set(spec.name, place(spec));
  }
  return { lengths, blocks: specs.map(({ name }) => placed.get(name) as ReturnType<typeof place>) };
}

export class ParamStore {
  readonly ctx: Context;
  readonly list: readonly Parameter[];
  /** The flat buffers, f32: parameters or blocks of their rows one after the other, gaps zero. */
  readonly values: readonly Tensor[];
  /** Gradients in the layout of `values`; undefined until `enableGrad`. */
  grads: readonly Tensor[] | undefined;
  readonly #byName: ReadonlyMap<string, Parameter>;
  readonly #joined: Parameter[] = [];

  /** Allocates all values as zeros. @throws Error for a name given twice; DeviceError for a row block that no buffer can hold. */
  constructor(ctx: Context, specs: readonly ParamSpec[], groups: readonly ParamGroup[] = []) {
    this.ctx = ctx;
    const names = new Set<string>();
    for (const { name } of specs) {
      if (names.has(name)) throw new Error(`params: '${name}' given twice`);
      names.add(name);
    }
    const { lengths, blocks } = layOut(specs, bindingLimit(ctx), groups);
    this.values = this.#zeros(lengths);
    this.list = specs.map((spec, i) => {
      const parts = blocks[i].map(({ start, rows, shape, arena, offset }) => ({ start, rows, ...this.#part(shape, arena, offset) }));
      return new Parameter(spec, parts);
    });
    this.#byName = new Map(this.list.map((p) => [p.name, p]));
  }

  /** Elements of the flat buffers, gaps included. */
  get length(): number {
    return this.values.reduce((n, t) => n + t.slice.length, 0);
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

  /**
   * A group as one parameter, the rows of its members one after the other; it shares their memory and their gradients. Undefined where a gap parts
   * them (a member but the last that is no multiple of SLICE_ALIGN elements) or a buffer's end does.
   */
  joined(group: ParamGroup): Parameter | undefined {
    const members = group.map((name) => this.get(name));
    const [first] = members;
    const { w, arena } = first.parts[0];
    let end = w.slice.offset;
    for (const { shape, parts } of members) {
      const fits = parts.length === 1 && parts[0].arena === arena && parts[0].w.slice.offset === end;
      if (!fits || shape.length !== first.shape.length || shape[1] !== first.shape[1]) return undefined;
      end += parts[0].w.slice.length;
    }
    const shape = [members.reduce((n, p) => n + p.shape[0], 0), ...first.shape.slice(1)];
    const part = { start: 0, rows: shape.length === 2 ? shape[0] : 1, ...this.#part(shape, arena, w.slice.offset) };
    const joined = new Parameter({ name: group.join(' + '), shape, decay: first.decay }, [part]);
    if (this.grads) this.#setGrad(joined);
    this.#joined.push(joined);
    return joined;
  }

  #part(shape: readonly number[], arena: number, offset: number): Omit<ParamPart, 'start' | 'rows'> {
    const w = view(this.values[arena], shape, offset);
    return { w, scales: { ...view(w, [shape[0], 0]), dtype: 'u32' }, grad: undefined, arena };
  }

  #setGrad({ parts }: Parameter): void {
    for (const p of parts) if (this.grads) p.grad = view(this.grads[p.arena], p.w.shape, p.w.slice.offset);
  }

  /** Fresh zeros in the layout of `values`, the caller's: gradients, moments. */
  zerosLike(): Tensor[] {
    return this.#zeros(this.values.map((t) => t.slice.length));
  }

  /** All of them or, where memory does not suffice, none. */
  #zeros(lengths: readonly number[]): Tensor[] {
    const { ctx } = this;
    const made = ctx.scope(() =>
      lengths.map((n) => {
        const t = ctx.tensor([n]);
        ctx.run(elementwise, 'fill', [t], { n, value: 0 });
        return t;
      }),
    );
    return made.map((t) => ctx.persist(t));
  }

  /** Allocates the gradients as zeros, if not yet there. */
  enableGrad(): void {
    if (this.grads) return;
    this.grads = this.zerosLike();
    for (const p of [...this.list, ...this.#joined]) this.#setGrad(p);
  }

  zeroGrad(): void {
    for (const t of this.grads ?? []) this.ctx.run(elementwise, 'fill', [t], { n: t.slice.length, value: 0 });
  }

  /** For each flat buffer, 1 or 0 per block of 64 elements (parameters start at multiples of 64): where weight decay applies. */
  decayBlocks(): Float32Array[] {
    const blocks = this.values.map((t) => new Float32Array(t.slice.length / 64));
    for (const { decay, parts } of this.list) {
      for (const { arena, w } of parts) {
        const from = w.slice.offset / 64;
        blocks[arena].fill(decay ? 1 : 0, from, from + alignUp(w.slice.length) / 64);
      }
    }
    return blocks;
  }

  /** Values become those of `other`: a snapshot of the old policy, a frozen reference. @throws Error when the layouts differ. */
  copyFrom(other: ParamStore): void {
    const same =
      other.list.length === this.list.length &&
      this.list.every((p, i) => p.name === other.list[i].name && sizeOf(p.shape) === sizeOf(other.list[i].shape)) &&
      this.list.every(({ parts }, i) => parts.every(({ w }, b) => w.slice.offset === other.list[i].parts[b]?.w.slice.offset)) &&
      this.values.every((t, i) => t.slice.length === other.values[i]?.slice.length);
    if (!same) throw new Error('copyFrom: the two stores hold different parameters');
    for (const [i, t] of this.values.entries()) this.ctx.backend.copy(t.slice, other.values[i].slice);
  }

  /** Sets one parameter from host numbers. */
  write(name: string, data: Float32Array): void {
    const p = this.get(name);
    if (data.length !== sizeOf(p.shape)) throw new Error(`params: '${name}' has ${sizeOf(p.shape)} elements, got ${data.length}`);
    this.writeFrom(p, 0, data);
  }

  /** Sets the elements of a parameter from `at` on; or those of its gradient, of its moments: `into` has the layout of `values`. */
  writeFrom(p: Parameter, at: number, data: Float32Array, into: readonly Tensor[] = this.values): void {
    let begin = 0;
    for (const { w, arena } of p.parts) {
      const from = Math.max(at, begin);
      const to = Math.min(at + data.length, begin + w.slice.length);
      const slice = { buffer: into[arena].slice.buffer, offset: w.slice.offset + from - begin, length: to - from };
      if (from < to) this.ctx.backend.write(slice, data.subarray(from - at, to - at));
      begin += w.slice.length;
    }
  }

  /** Cuts flat arrays in the layout of `values` (values, gradients, moments) into parameters: views of them, or copies of several blocks. */
  split(flat: readonly Float32Array[]): Map<string, Float32Array> {
    return new Map(
      this.list.map(({ name, parts }) => [
        name,
        joined(parts.map(({ arena, w }) => flat[arena].subarray(w.slice.offset, w.slice.offset + w.slice.length))),
      ]),
    );
  }

  /**
   * What is on the device in the layout of `values`, by parameter. Buffers are read one after the other, so that a GPU's host memory holds one
   * of them beside the result: queue nothing that changes them until it resolves.
   */
  async #readLike(tensors: readonly Tensor[]): Promise<Map<string, Float32Array>> {
    const flat: Float32Array[] = [];
    for (const t of tensors) flat.push(await this.ctx.read(t));
    return this.split(flat);
  }

  /** All values by name. */
  read(): Promise<Map<string, Float32Array>> {
    return this.#readLike(this.values);
  }

  /** A parameter's elements in order, at most `most` at a time; or those of its gradient, of its moments: `from` has the layout of `values`. */
  async *pieces(p: Parameter, most: number, from: readonly Tensor[] = this.values): AsyncGenerator<Float32Array> {
    for (const { w, arena } of p.parts) {
      for (let at = 0; at < w.slice.length; at += most) {
        const length = Math.min(most, w.slice.length - at);
        yield await this.ctx.backend.read({ buffer: from[arena].slice.buffer, offset: w.slice.offset + at, length }, 'f32');
      }
    }
  }

  /** The values of one parameter. */
  async readOne(name: string): Promise<Float32Array> {
    return joined(await Promise.all(this.get(name).parts.map(({ w }) => this.ctx.read(w))));
  }

  /** All gradients by name. @throws Error before `enableGrad`. */
  async readGrads(): Promise<Map<string, Float32Array>> {
    if (!this.grads) throw new Error('params: no gradients; call enableGrad first');
    return this.#readLike(this.grads);
  }

  destroy(): void {
    for (const t of [...this.values, ...(this.grads ?? [])]) this.ctx.free(t);
    this.grads = undefined;
  }
}

function joined(blocks: readonly Float32Array[]): Float32Array {
  if (blocks.length === 1) return blocks[0];
  const out = new Float32Array(blocks.reduce((n, b) => n + b.length, 0));
  let at = 0;
  for (const b of blocks) {
    out.set(b, at);
    at += b.length;
  }
  return out;
}
