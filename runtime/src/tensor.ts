/** Numbers on a device: a slice of a buffer, a shape, an element type. Row-major; the last dim varies fastest. */
import { type DType, SLICE_ALIGN, type Slice } from './backend.ts';

export interface Tensor {
  readonly slice: Slice;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Elements of a shape; 1 for a scalar `[]`. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** `(4, 8) f32`, for messages. */
export const describe = (t: Tensor): string => `(${t.shape.join(', ')}) ${t.dtype}`;

/** Rounds a length up to the granule at which slices may start. */
export const alignUp = (length: number): number => Math.ceil(length / SLICE_ALIGN) * SLICE_ALIGN;

/**
 * The same memory under another shape, from `offset` elements on. A view is never freed; its owner is.
 * @throws Error when the offset is no multiple of SLICE_ALIGN or the view does not fit.
 */
export function view(t: Tensor, shape: readonly number[], offset = 0): Tensor {
  const length = sizeOf(shape);
  if (offset % SLICE_ALIGN !== 0 || offset + length > t.slice.length) {
    throw new Error(`view: (${shape.join(', ')}) at ${offset} does not fit ${describe(t)} at steps of ${SLICE_ALIGN} elements`);
  }
  return { slice: { buffer: t.slice.buffer, offset: t.slice.offset + offset, length }, shape, dtype: t.dtype };
}

/** @throws Error unless `t` has this dtype and shape; a dim of -1 fits anything. */
export function expectTensor(op: string, name: string, t: Tensor, shape: readonly number[], dtype: DType = 'f32'): void {
  const fits = t.dtype === dtype && t.shape.length === shape.length && shape.every((d, i) => d === -1 || d === t.shape[i]);
  if (fits) return;
  const want = shape.map((d) => (d === -1 ? 'any' : d)).join(', ');
  throw new Error(`${op}: expected ${name} (${want}) ${dtype}, got ${describe(t)}`);
}
