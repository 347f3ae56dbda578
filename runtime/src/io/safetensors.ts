/**
 * The safetensors format, read and written by hand: 8 bytes of header length (little-endian), a JSON header, the data.
 * https://github.com/huggingface/safetensors#format. Files are untrusted: everything is checked against the bytes there are before
 * anything of a size that the file names is allocated.
 */
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './float16.ts';

/** The file is not a safetensors file, or not the one that was expected; the message names the tensor and what is wrong. */
export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError';
}

export const FLOAT_TYPES = ['F32', 'F16', 'BF16'] as const;
export type FloatType = (typeof FLOAT_TYPES)[number];
const BYTES: Readonly<Record<FloatType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** The largest finite number of each type. */
export const FLOAT_MAX: Readonly<Record<FloatType, number>> = { F32: 3.4028234663852886e38, F16: 65_504, BF16: 3.3895313892515355e38 };

/** One tensor of an open file. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: FloatType;
  readonly shape: readonly number[];
  /** Elements [begin, end), all by default, converted to f32 exactly, into fresh memory. */
  read(begin?: number, end?: number): Float32Array;
}

/** The bytes of a file, by range: what lies outside the ranges asked for need never be in memory. */
export interface ByteSource {
  readonly size: number;
  /** Bytes [begin, end); the caller keeps within `size`. */
  read(begin: number, end: number): Uint8Array;
}

export interface SafetensorsFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The reference implementation's limit on the header. */
const MAX_HEADER_BYTES = 100_000_000;

/** A file in memory. @throws SafetensorsError as {@link openSafetensors} */
export const parseSafetensors = (file: Uint8Array): SafetensorsFile =>
  openSafetensors({ size: file.length, read: (begin, end) => file.subarray(begin, end) });

/** Reads the header and checks all of it; tensors are read from the source when asked for. @throws SafetensorsError */
export function openSafetensors(source: ByteSource): SafetensorsFile {
  const header = parseHeader(source);
  const start = 8 + header.length;
  const metadata: Record<string, string> = {};
  const entries: { name: string; dtype: FloatType; shape: number[]; begin: number; end: number }[] = [];
  for (const [name, value] of Object.entries(header.json)) {
    if (name === '__metadata__') Object.assign(metadata, checkMetadata(value));
    else entries.push({ name, ...checkEntry(name, value) });
  }
  // In order of offset the tensors must tile the data: no overlap, no hole, nothing left over.
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let at = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== at)
      throw new SafetensorsError(`'${quote(name)}': data starts at ${begin}, expected ${at}; tensors overlap or leave a hole`);
    at = end;
  }
  if (at !== source.size - start)
    throw new SafetensorsError(`tensors cover ${at} bytes of data, the file has ${source.size - start}; it is truncated or has a tail`);
  const tensors = new Map(
    entries.map(({ name, dtype, shape, begin, end }) => {
      const size = BYTES[dtype];
      const read = (from = 0, to = (end - begin) / size) =>
        decode(dtype, new Uint8Array(source.read(start + begin + from * size, start + begin + to * size)));
      return [name, { name, dtype, shape, read }];
    }),
  );
  return { tensors, metadata };
}

/** What to write: `dtype` is the stored type. */
export interface TensorToStore {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly dtype?: FloatType;
}

/** What a header says of a tensor. */
export type TensorEntry = Omit<TensorToStore, 'data'>;

/** What to write, its numbers in order and in pieces of any length, each had when its turn comes: they need not be in memory together. */
export interface TensorSource extends TensorEntry {
  pieces(): AsyncIterable<Float32Array>;
}

/** The pieces, none past the shape. @throws SafetensorsError, after the last of them, when they do not fill it. */
export async function* wholePieces({ name, shape, pieces }: TensorSource): AsyncGenerator<Float32Array> {
  const size = shape.reduce((n, d) => n * d, 1);
  let at = 0;
  for await (const piece of pieces()) {
    at += piece.length;
    if (at <= size) yield piece;
  }
  if (at !== size) throw new SafetensorsError(`'${name}': shape (${shape.join(', ')}), ${at} elements`);
}

/** All of the numbers in memory, for {@link writeSafetensors}. @throws SafetensorsError when the pieces do not fill the shape. */
export async function inMemory(sources: readonly TensorSource[]): Promise<TensorToStore[]> {
  const tensors: TensorToStore[] = [];
  for (const source of sources) {
    const { pieces: _, ...entry } = source;
    const data = new Float32Array(entry.shape.reduce((n, d) => n * d, 1));
    let at = 0;
    for await (const piece of wholePieces(source)) {
      data.set(piece, at);
      at += piece.length;
    }
    tensors.push({ ...entry, data });
  }
  return tensors;
}

/** Bytes of a tensor's data in the file. */
export const storedBytes = ({ shape, dtype = 'F32' }: TensorEntry): number => shape.reduce((n, d) => n * d, BYTES[dtype]);

/**
 * The start of a file, up to the data: the encoded tensors follow in the same order. Padded so that the data starts at a multiple of
 * 8 bytes. @throws SafetensorsError for a name given twice or reserved.
 */
export function safetensorsHeader(tensors: readonly TensorEntry[], metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  const header: Record<string, unknown> = Object.create(null);
  if (Object.keys(metadata).length > 0) header['__metadata__'] = metadata;
  let at = 0;
  for (const t of tensors) {
    const { name, shape, dtype = 'F32' } = t;
    if (name === '__metadata__' || name in header) throw new SafetensorsError(`'${name}': name given twice or reserved`);
    header[name] = { dtype, shape, data_offsets: [at, at + storedBytes(t)] };
    at += storedBytes(t);
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const length = Math.ceil(json.length / 8) * 8;
  const start = new Uint8Array(8 + length).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(length), true);
  start.set(json, 8);
  return start;
}

/** A complete file. Tensors keep their order. @throws SafetensorsError as {@link safetensorsHeader}, and for a wrong length. */
export function writeSafetensors(tensors: readonly TensorToStore[], metadata: Readonly<Record<string, string>> = {}): Uint8Array {
  for (const { name, shape, data } of tensors) {
    const elements = shape.reduce((n, d) => n * d, 1);
    if (elements !== data.length)
      throw new SafetensorsError(`'${name}': shape (${shape.join(', ')}) needs ${elements} elements, got ${data.length}`);
  }
  const header = safetensorsHeader(tensors, metadata);
  const file = new Uint8Array(tensors.reduce((n, t) => n + storedBytes(t), header.length));
  file.set(header);
  let at = header.length;
  for (const { data, dtype = 'F32' } of tensors) {
    const bytes = encodeFloats(dtype, data);
    file.set(bytes, at);
    at += bytes.length;
  }
  return file;
}

function parseHeader(source: ByteSource): { json: Record<string, unknown>; length: number } {
  const { size } = source;
  if (size < 8) throw new SafetensorsError(`file of ${size} bytes is too short for a safetensors header`);
  const first = source.read(0, 8);
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(Math.min(size - 8, MAX_HEADER_BYTES))) {
    throw new SafetensorsError(
      `header claims ${length} bytes; the file has ${size - 8} after the length, the limit is ${MAX_HEADER_BYTES}`,
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(source.read(8, 8 + Number(length))));
  } catch (cause) {
    throw new SafetensorsError('header is not valid UTF-8 JSON', { cause });
  }
  if (!isRecord(json)) throw new SafetensorsError('header is not a JSON object');
  return { json, length: Number(length) };
}

function checkMetadata(value: unknown): Record<string, string> {
  if (!isRecord(value) || Object.values(value).some((v) => typeof v !== 'string'))
    throw new SafetensorsError('__metadata__ must map strings to strings');
  return value as Record<string, string>;
}

function checkEntry(name: string, value: unknown): { dtype: FloatType; shape: number[]; begin: number; end: number } {
  const at = `'${quote(name)}'`;
  if (!isRecord(value)) throw new SafetensorsError(`${at}: expected an object with dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (!FLOAT_TYPES.includes(dtype as FloatType)) {
    throw new SafetensorsError(
      `${at}: dtype ${quote(JSON.stringify(dtype) ?? 'missing')} is not supported; expected ${FLOAT_TYPES.join(', ')}`,
    );
  }
  if (!isCounts(shape)) throw new SafetensorsError(`${at}: shape is not a list of whole numbers`);
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1])
    throw new SafetensorsError(`${at}: data_offsets is not [begin, end]`);
  const [begin, end] = offsets;
  const bytes = shape.reduce((n, d) => n * d, BYTES[dtype as FloatType]);
  if (!Number.isSafeInteger(bytes) || bytes !== end - begin) {
    throw new SafetensorsError(`${at}: (${shape.join(', ')}) ${dtype} is ${bytes} bytes, data_offsets span ${end - begin}`);
  }
  return { dtype: dtype as FloatType, shape, begin, end };
}

const isRecord = (x: unknown): x is Record<string, unknown> => typeof x === 'object' && x !== null && !Array.isArray(x);
const isCounts = (x: unknown): x is number[] => Array.isArray(x) && x.every((d) => Number.isSafeInteger(d) && d >= 0);
/** Names come from the file: keep messages short. */
const quote = (s: string): string => (s.length > 80 ? `${s.slice(0, 80)}...` : s);

/** `bytes` is a fresh copy, so it starts at an aligned address. */
function decode(dtype: FloatType, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  const half = new Uint16Array(bytes.buffer);
  return dtype === 'F16' ? f16ToF32(half) : bf16ToF32(half);
}

/** f32 as it is stored: 16-bit types are rounded to nearest, ties to even. */
export function encodeFloats(dtype: FloatType, data: Float32Array): Uint8Array {
  const values = dtype === 'F32' ? data : dtype === 'F16' ? f32ToF16(data) : f32ToBf16(data);
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
