/**
 * Frozen matrices as f16, int8 or int4 (kernels/src/qmatmul/format.ts), each in buffers of its own: one that is larger than the device
 * binds at once is cut into blocks of rows. Backward passes through them and gives them no gradient.
 */
import { rowWords, scaleWords, type WeightType } from '@eagrl/kernels';
import type { Context } from './context.ts';
import { encodeRows, type PackedType } from './io/weight_format.ts';
import type { ParamSpec } from './params.ts';
import { bindingLimit, cutRows, type WeightPart } from './parts.ts';
import { sizeOf, type Tensor } from './tensor.ts';

export interface StoredMatrix extends ParamSpec {
  /** Rows, columns. */
  readonly shape: readonly [number, number];
  readonly dtype: PackedType;
  readonly parts: readonly WeightPart[];
}

/** Bytes of a (rows, columns) matrix. */
export const matrixBytes = (dtype: WeightType, [rows, k]: readonly [number, number]): number =>
  4 * rows * (rowWords(dtype, k) + scaleWords(dtype, k));

export class StoredWeights {
  readonly ctx: Context;
  readonly dtype: PackedType;
  readonly list: readonly StoredMatrix[];
  readonly #byName: ReadonlyMap<string, StoredMatrix>;

  /** Allocates matrices, contents unspecified until written. @throws DeviceError when memory does not suffice; then none is taken. */
  constructor(ctx: Context, specs: readonly ParamSpec[], dtype: PackedType) {
    this.ctx = ctx;
    this.dtype = dtype;
    const limit = bindingLimit(ctx);
    const matrix = (spec: ParamSpec): StoredMatrix => {
      const shape = [spec.shape[0], spec.shape[1]] as const;
      const parts = cutRows(spec.name, dtype, shape, limit).map(({ start, rows }): WeightPart => {
        const w = ctx.tensor([rows, rowWords(dtype, shape[1])], 'u32');
        const scales = ctx.tensor([rows, scaleWords(dtype, shape[1])], 'u32');
        return { start, rows, w, scales, grad: undefined };
      });
      return { ...spec, shape, dtype, parts };
    };
    this.list = ctx.scope(() => {
      const list = specs.map(matrix);
      for (const { w, scales } of list.flatMap((m) => m.parts)) for (const t of [w, scales]) ctx.persist(t);
      return list;
    });
    this.#byName = new Map(this.list.map((m) => [m.name, m]));
  }

  has(name: string): boolean {
    return this.#byName.has(name);
  }

  get(name: string): StoredMatrix {
    const m = this.#byName.get(name);
    if (!m) throw new Error(`stored weights: no '${name}'`);
    return m;
  }

  /** Sets a whole matrix from f32 numbers. */
  write(name: string, data: Float32Array): void {
    const m = this.get(name);
    if (data.length !== sizeOf(m.shape)) throw new Error(`stored weights: '${name}' has ${sizeOf(m.shape)} elements, got ${data.length}`);
    this.writeRows(m, 0, data);
  }

  /** Sets the rows from `row` on. @throws SafetensorsError for a number that the format has no place for. */
  writeRows(m: StoredMatrix, row: number, data: Float32Array): void {
    const { backend } = this.ctx;
    const k = m.shape[1];
    const end = row + data.length / k;
    for (const part of m.parts) {
      const from = Math.max(row, part.start);
      const to = Math.min(end, part.start + part.rows);
      if (from >= to) continue;
      const values = data.subarray((from - row) * k, (to - row) * k);
      const put = (t: Tensor, words: Uint32Array) => {
        if (words.length === 0) return;
        const offset = ((from - part.start) * words.length) / (to - from);
        backend.write({ ...t.slice, offset: t.slice.offset + offset, length: words.length }, words);
      };
      const { w, scales } = encodeRows(m.dtype, values, k, m.name);
      put(part.w, w);
      put(part.scales, scales);
    }
  }

  destroy(): void {
    for (const { parts } of this.list) {
      for (const { w, scales } of parts) {
        this.ctx.free(w);
        this.ctx.free(scales);
      }
    }
  }
}
