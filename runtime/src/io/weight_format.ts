/** Rows of f32 numbers in the formats of kernels/src/qmatmul/format.ts. */
import { GROUP, rowWords, scaleWords, type WeightType } from '@eagrl/kernels';
import { f32ToF16 } from './float16.ts';
import { FLOAT_MAX, SafetensorsError } from './safetensors.ts';

/** Largest |q| of a whole-number format. */
const QMAX = { int8: 127, int4: 7 } as const;

/** Formats of fewer bits than f32. */
export type PackedType = Exclude<WeightType, 'f32'>;

/**
 * Encodes rows of `k` elements. f16: rounded to nearest, ties to even. int8, int4: per group s = max |w| / qmax, rounded up to a bfloat16,
 * and q = w / s rounded to nearest: |w - q s| <= s / 2.
 * @throws SafetensorsError naming the tensor for a number that the format has no place for.
 */
export function encodeRows(dtype: PackedType, data: Float32Array, k: number, name: string): { w: Uint32Array; scales: Uint32Array } {
  const rows = data.length / k;
  const w = new Uint32Array(rows * rowWords(dtype, k));
  const scales = new Uint32Array(rows * scaleWords(dtype, k));
  if (dtype === 'f16') {
    checkRange(data, FLOAT_MAX.F16, dtype, name);
    const halves = new Uint16Array(w.buffer);
    const width = 2 * rowWords(dtype, k);
    for (let row = 0; row < rows; row++) halves.set(f32ToF16(data.subarray(row * k, (row + 1) * k)), row * width);
    return { w, scales };
  }
  checkRange(data, FLOAT_MAX.F32, dtype, name);
  const bytes = new Uint8Array(w.buffer);
  const pairs = new Uint16Array(scales.buffer);
  const rowBytes = 4 * rowWords(dtype, k);
  const rowScales = 2 * scaleWords(dtype, k);
  for (let row = 0; row < rows; row++) {
    for (let g = 0; g * GROUP < k; g++) {
      const start = row * k + g * GROUP;
      const end = Math.min(start + GROUP, (row + 1) * k);
      const scale = groupScale(data, start, end, QMAX[dtype]);
      pairs[row * rowScales + g] = scale >>> 16;
      if (dtype === 'int8') putBytes(bytes, row * rowBytes + g * GROUP, data, start, end);
      else putNibbles(bytes, row * rowBytes + (g * GROUP) / 2, data, start, end);
    }
  }
  return { w, scales };
}

/** The scale in hand, as a number and as bits. */
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** Bits of the smallest bfloat16 s with max |w| <= qmax s, left in `float`; 0 for a group of zeros. */
function groupScale(data: Float32Array, start: number, end: number, qmax: number): number {
  let most = 0;
  for (let i = start; i < end; i++) {
    const v = Math.abs(data[i]);
    if (v > most) most = v;
  }
  float[0] = most / qmax;
  bits[0] = (bits[0] + 0xffff) & 0xffff0000;
  return bits[0];
}

function putBytes(bytes: Uint8Array, at: number, data: Float32Array, start: number, end: number): void {
  const scale = float[0] || 1;
  for (let i = start; i < end; i++) bytes[at + i - start] = Math.round(data[i] / scale);
}

/** Element i of eight goes into byte i mod 4, the upper four into the high halves; what a row leaves free is q = 0. */
function putNibbles(bytes: Uint8Array, at: number, data: Float32Array, start: number, end: number): void {
  const scale = float[0] || 1;
  for (let b = 0; b < GROUP / 2; b++) {
    const i = start + 8 * (b >> 2) + (b & 3);
    const low = i < end ? Math.round(data[i] / scale) : 0;
    const high = i + 4 < end ? Math.round(data[i + 4] / scale) : 0;
    bytes[at + b] = (low + 8) | ((high + 8) << 4);
  }
}

function checkRange(data: Float32Array, most: number, dtype: WeightType, name: string): void {
  for (let i = 0; i < data.length; i++) {
    if (Math.abs(data[i]) <= most) continue;
    const cure = Number.isFinite(data[i]) ? 'load the model as f32 or int8' : 'restore the file from its source';
    throw new SafetensorsError(`'${name}': holds ${data[i]}, which ${dtype} cannot; ${cure}`);
  }
}
