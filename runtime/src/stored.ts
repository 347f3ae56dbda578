/**
 * Frozen matrices as f32, f16, int8 or int4 (kernels/src/qmatmul/format.ts), each in buffers of its own: one that is larger than the device
 * binds at once is cut into blocks of rows. Backward passes through them and gives them no gradient.
 */
import { rowWords, scaleWords, type WeightType } from '@eagrl/kernels';
import { SLICE_ALIGN } from './backend.ts';
import type { Context } from './context.ts';
import { DeviceError } from './errors.ts';
import { encodeRows } from './io/weight_format.ts';
import type { ParamSpec } from './params.ts';
import { sizeOf, type Tensor } from './tensor.ts';

/** Some rows of a matrix. */
export interface StoredPart {
  /** The first row; a multiple of SLICE_ALIGN. */
  readonly start: number;
  readonly rows: number;
  /** (rows, words of a row): u32, or f32 (rows, columns) where that is the format. */
  readonly w: Tensor;
  /** (rows, words of a row's scales) u32; empty for f32 and f16. */
  readonly scales: Tensor;
}

export interface StoredMatrix extends ParamSpec {
  /** Rows, columns. */
  readonly shape: readonly [number, number];
  readonly dtype: WeightType;
  readonly parts: readonly StoredPart[];
  /** None: what is stored is not trained. */
  readonly grad?: undefined;
}

/** Bytes of a (rows, columns) matrix. */
export const matrixBytes = (dtype: WeightType, [rows, k]: readonly [number, number]): number =>
  4 * rows * (rowWords(dtype, k) + scaleWords(dtype, k));

/** Rows in one binding of at most `limit` bytes: all, or a multiple of SLICE_ALIGN. @throws DeviceError when not even that many fit. */
function rowsPerPart(name: string, dtype: WeightType, [rows, k]: readonly [number, number], limit: number): number {
  const bytes = 4 * rowWords(dtype, k);
  if (rows * bytes <= limit) return rows;
  const fit = Math.floor(limit / bytes / SLICE_ALIGN) * SLICE_ALIGN;
  if (fit > 0) return fit;
  throw new DeviceError(
    `${name}: ${SLICE_ALIGN} rows of ${k} ${dtype} numbers are ${SLICE_ALIGN * bytes} bytes; the device binds at most ${limit} at once; use another device`,
  );
}

export class StoredWeights {
  readonly ctx: Context;
  readonly dtype: WeightType;
  readonly list: readonly StoredMatrix[];
  readonly #byName: ReadonlyMap<string, StoredMatrix>;

  /** Allocates matrices, contents unspecified until written. @throws DeviceError when memory does not suffice. */
  constructor(ctx: Context, specs: readonly ParamSpec[], dtype: WeightType) {
    this.ctx = ctx;
    this.dtype = dtype;
    const { maxBindingBytes, maxBufferBytes } = ctx.backend.info;
    const limit = Math.min(maxBindingBytes, maxBufferBytes);
    this.list = specs.map((spec) => {
      const shape = [spec.shape[0], spec.shape[1]] as const;
      const [rows, k] = shape;
      const step = rowsPerPart(spec.name, dtype, shape, limit);
      const parts: StoredPart[] = [];
      for (let start = 0; start < rows; start += step) {
        const count = Math.min(step, rows - start);
        const w = dtype === 'f32' ? ctx.tensor([count, k]) : ctx.tensor([count, rowWords(dtype, k)], 'u32');
        const scales = ctx.tensor([count, scaleWords(dtype, k)], 'u32');
        parts.push({ start, rows: count, w: ctx.persist(w), scales: ctx.persist(scales) });
      }
      return { ...spec, shape, dtype, parts };
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
      const put = (t: Tensor, words: Uint32Array | Float32Array) => {
        if (words.length === 0) return;
        const offset = ((from - part.start) * words.length) / (to - from);
        backend.write({ ...t.slice, offset: t.slice.offset + offset, length: words.length }, words);
      };
      if (m.dtype === 'f32') put(part.w, values);
      else {
        const { w, scales } = encodeRows(m.dtype, values, k, m.name);
        put(part.w, w);
        put(part.scales, scales);
      }
    }
  }

  /** An f32 matrix as it was written. @throws Error for another format: its numbers are not those that were written. */
  async read(name: string): Promise<Float32Array> {
    const m = this.get(name);
    if (m.dtype !== 'f32') throw new Error(`stored weights: '${name}' is kept as ${m.dtype}; load the model as f32 to read it`);
    const out = new Float32Array(sizeOf(m.shape));
    for (const part of m.parts) out.set(await this.ctx.read(part.w), part.start * m.shape[1]);
    return out;
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
