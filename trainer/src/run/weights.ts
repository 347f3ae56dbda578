/** Safetensors files, those of a model folder and single ones, read by range and written piece by piece (Node edge). */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ByteSource,
  encodeFloats,
  openSafetensors,
  openShards,
  parseShardIndex,
  planShards,
  SafetensorsError,
  type SafetensorsFile,
  type StoredTensor,
  safetensorsHeader,
  shardIndex,
  type TensorSource,
  wholePieces,
} from '@eagrl/runtime';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Bytes of one file at most, as Hugging Face writes them. */
export const MAX_SHARD_BYTES = 5_000_000_000;

/** Whether a folder has weights to read. */
export const hasWeights = (path: string): boolean => existsSync(join(path, SINGLE)) || existsSync(join(path, INDEX));

/** Tensors of one file or several; nothing of them is in memory until it is read. `close` ends that. */
export interface OpenWeights {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  close(): void;
}

/** Opens a folder's weights, one file or the shards that its index names. @throws SafetensorsError naming file and fault. */
export function openWeights(path: string): OpenWeights {
  const handles: number[] = [];
  const close = (): void => {
    for (const handle of handles.splice(0)) closeSync(handle);
  };
  const open = (file: string): SafetensorsFile => {
    if (!existsSync(join(path, file))) throw new SafetensorsError(`${file} is missing; the index names it`);
    const handle = openSync(join(path, file), 'r');
    handles.push(handle);
    return named(file, () => openSafetensors(fileSource(handle)));
  };
  try {
    if (existsSync(join(path, SINGLE))) return { tensors: open(SINGLE).tensors, close };
    const index = named(INDEX, () => parseShardIndex(parseJson(readFileSync(join(path, INDEX), 'utf8'))));
    return { tensors: openShards(index, open), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Gives a folder's tensors to `use`, and closes the files. @throws SafetensorsError as {@link openWeights} */
export function withWeights<T>(path: string, use: (tensors: ReadonlyMap<string, StoredTensor>) => T): T {
  const { tensors, close } = openWeights(path);
  try {
    return use(tensors);
  } finally {
    close();
  }
}

/** Gives one open file to `use`, and closes it. @throws SafetensorsError naming the fault. */
export function withSafetensors<T>(path: string, use: (file: SafetensorsFile) => T): T {
  const handle = openSync(path, 'r');
  try {
    return use(openSafetensors(fileSource(handle)));
  } finally {
    closeSync(handle);
  }
}

/** Writes one file, a piece in memory at a time. @throws SafetensorsError as `safetensorsHeader` */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const handle = openSync(path, 'w');
  try {
    writeAll(handle, safetensorsHeader(tensors, metadata));
    for (const tensor of tensors)
      for await (const piece of wholePieces(tensor)) writeAll(handle, encodeFloats(tensor.dtype ?? 'F32', piece));
  } finally {
    closeSync(handle);
  }
}

/** Writes a folder's weights in files of at most `maxBytes` of data; with more than one, an index too. The folder is empty of weights. */
export async function writeWeights(path: string, tensors: readonly TensorSource[], maxBytes = MAX_SHARD_BYTES): Promise<void> {
  const shards = planShards(tensors, maxBytes);
  for (const shard of shards) await writeSafetensorsFile(join(path, shard.file), shard.tensors, { format: 'pt' });
  if (shards.length > 1) writeFileSync(join(path, INDEX), `${JSON.stringify(shardIndex(shards), null, 2)}\n`);
}

function fileSource(handle: number): ByteSource {
  return {
    size: fstatSync(handle).size,
    read: (begin, end) => {
      const bytes = new Uint8Array(end - begin);
      for (let at = 0; at < bytes.length; ) {
        const got = readSync(handle, bytes, at, Math.min(MAX_CALL, bytes.length - at), begin + at);
        if (got === 0) throw new SafetensorsError(`the file ends at byte ${begin + at}; it was cut while it was read`);
        at += got;
      }
      return bytes;
    },
  };
}

/** Bytes of one call at most: more than 2^31 - 1 are refused. */
const MAX_CALL = 2 ** 30;

function writeAll(handle: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at, Math.min(MAX_CALL, bytes.length - at));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SafetensorsError('not JSON');
  }
}

function named<T>(file: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    throw new SafetensorsError(`${file}: ${error.message}`, { cause: error });
  }
}
