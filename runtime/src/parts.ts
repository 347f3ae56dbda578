/**
 * Where a weight lies in device memory: whole, or in blocks of rows where a matrix exceeds what the device binds at once. Products with
 * it, its rows by index and its gradients go block by block: ops/weight.ts.
 */
import { rowWords, type WeightType } from '@eagrl/kernels';
import { SLICE_ALIGN } from './backend.ts';
import type { Context } from './context.ts';
import { DeviceError } from './errors.ts';
import type { Tensor } from './tensor.ts';

export interface WeightPart {
  /** The first row; a multiple of SLICE_ALIGN. */
  readonly start: number;
  readonly rows: number;
  /** f32 (rows, columns), or the weight's own shape where it has other than two dims; in another format (rows, words of a row) u32. */
  readonly w: Tensor;
  /** (rows, words of a row's scales) u32; empty for f32 and f16. */
  readonly scales: Tensor;
  /** dL/dw in the shape of `w`: backward adds here. Undefined where nobody trains: then nobody computes it. */
  grad: Tensor | undefined;
}

/** Bytes that one buffer may have and one binding may show. */
export const bindingLimit = ({ backend }: Context): number => Math.min(backend.info.maxBindingBytes, backend.info.maxBufferBytes);

/**
 * The rows of a (rows, columns) matrix in blocks of at most `limit` bytes: one, or several of a multiple of SLICE_ALIGN rows.
 * @throws DeviceError when not even SLICE_ALIGN rows fit.
 */
export function cutRows(
  name: string,
  dtype: WeightType,
  [rows, k]: readonly [number, number],
  limit: number,
): { readonly start: number; readonly rows: number }[] {
  const bytes = 4 * rowWords(dtype, k);
  const step = rows * bytes <= limit ? rows : Math.floor(limit / bytes / SLICE_ALIGN) * SLICE_ALIGN;
  if (step === 0) {
    const least = Math.min(rows, SLICE_ALIGN);
    throw new DeviceError(
      `${name}: ${least > 1 ? `${least} rows of ` : ''}${k} ${dtype} numbers are ${least * bytes} bytes; the device binds at most ${limit} at once; use another device`,
    );
  }
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => ({ start: i * step, rows: Math.min(step, rows - i * step) }));
}
