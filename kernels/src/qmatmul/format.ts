/**
 * How a frozen matrix W (N, K) lies in memory, row by row, in 32-bit words. `scales` is empty for f32 and f16.
 *
 *   f32   K numbers as they are.
 *   f16   two IEEE binary16 in a word, the earlier element in the low half; rows padded with zeros to multiples of 8 elements.
 *   int8  four bytes in a word, the earliest lowest, q in [-127, 127]; w = q s.
 *   int4  eight elements in a word: byte b holds element b in its low half and element b + 4 in its high half, each q + 8 with q in
 *         [-7, 7]; w = q s.
 *
 * int8 and int4 have one scale s for GROUP consecutive elements of a row, a bfloat16, two in a word, the earlier one low; rows are padded
 * with q = 0 to whole groups. 8.5 and 4.5 bits per weight. q s is exact in f32 (7 bits times 8), so every backend dequantises alike, and a
 * bfloat16 has the range of f32, so groups of tiny weights keep their precision.
 */
export const WEIGHT_TYPES = ['f32', 'f16', 'int8', 'int4'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

/** Elements of a row that share a scale. */
export const GROUP = 32;

const groups = (k: number): number => Math.ceil(k / GROUP);

/** Words of a row of `k` elements. */
export function rowWords(dtype: WeightType, k: number): number {
  if (dtype === 'f32') return k;
  if (dtype === 'f16') return 4 * Math.ceil(k / 8);
  return groups(k) * (dtype === 'int8' ? 8 : 4);
}

/** Words of the scales of a row of `k` elements. */
export const scaleWords = (dtype: WeightType, k: number): number => (dtype === 'int8' || dtype === 'int4' ? Math.ceil(groups(k) / 2) : 0);

/** A stored matrix as the host sees it: u32 words, or f32 numbers where that is the format. */
export interface StoredWords {
  readonly w: ArrayLike<number>;
  readonly scales: ArrayLike<number>;
}

const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);
/** The number whose bits are `word`. */
function asFloat(word: number): number {
  words[0] = word;
  return floats[0];
}

function half(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

/** Element (row, i) of a stored matrix with rows of `k` elements, exactly. */
export function element(dtype: WeightType, { w, scales }: StoredWords, k: number, row: number, i: number): number {
  const start = row * rowWords(dtype, k);
  if (dtype === 'f32') return w[start + i];
  if (dtype === 'f16') return half((w[start + (i >> 1)] >>> (16 * (i & 1))) & 0xffff);
  const g = Math.floor(i / GROUP);
  const pair = scales[row * scaleWords(dtype, k) + (g >> 1)];
  const scale = asFloat(g & 1 ? pair & 0xffff0000 : pair << 16);
  if (dtype === 'int8') return ((w[start + (i >> 2)] << (24 - 8 * (i & 3))) >> 24) * scale;
  return (((w[start + (i >> 3)] >>> (8 * (i & 3) + 4 * ((i >> 2) & 1))) & 15) - 8) * scale;
}

/** W (rows, k) of a stored matrix. */
export function dequantize(dtype: WeightType, matrix: StoredWords, rows: number, k: number): Float64Array {
  const out = new Float64Array(rows * k);
  for (let r = 0; r < rows; r++) for (let i = 0; i < k; i++) out[r * k + i] = element(dtype, matrix, k, r, i);
  return out;
}
