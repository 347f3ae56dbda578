/** The safetensors files of a model folder, one or several, read and written tensor by tensor (Node edge). */
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import {
  type ByteSource,
  encodeFloats,
  type FloatType,
  openSafetensors,
  openShards,
  type ParamSpec,
  parseShardIndex,
  planShards,
  SafetensorsError,
  type StoredTensor,
  safetensorsHeader,
  shardIndex,
} from '@eagrl/runtime';

const SINGLE = 'model.safetensors';
const INDEX = 'model.safetensors.index.json';

/** Bytes of one file at most, as Hugging Face writes them. */
export const MAX_SHARD_BYTES = 5_000_000_000;

/** Whether a folder has weights to read. */
export const hasWeights = (path: string): boolean => existsSync(join(path, SINGLE)) || existsSync(join(path, INDEX));

/** Opens a folder's weights, gives their tensors to `use`, and closes the files. @throws SafetensorsError naming file and fault. */
export function withWeights<T>(path: string, use: (tensors: ReadonlyMap<string, StoredTensor>) => T): T {
  const handles: number[] = [];
  const open = (file: string) => {
    if (!existsSync(join(path, file))) throw new SafetensorsError(`${file} is missing; the index names it`);
    const handle = openSync(join(path, file), 'r');
    handles.push(handle);
    return named(file, () => openSafetensors(fileSource(handle)));
  };
  try {
    if (existsSync(join(path, SINGLE))) return use(open(SINGLE).tensors);
    const index = named(INDEX, () => parseShardIndex(parseJson(readFileSync(join(path, INDEX), 'utf8'))));
    return use(openShards(index, open));
  } finally {
    for (const handle of handles) closeSync(handle);
  }
}

/**
 * Writes weights into files of at most `maxBytes` of data, one in memory at a time as `read` gives it; with more than one file, an index
 * too. The folder is the caller's, and empty of weights.
 */
export async function writeWeights(
  path: string,
  specs: readonly ParamSpec[],
  read: (name: string) => Promise<Float32Array>,
  dtype: FloatType,
  maxBytes = MAX_SHARD_BYTES,
): Promise<void> {
  const shards = planShards(
    specs.map(({ name, shape }) => ({ name, shape, dtype })),
    maxBytes,
  );
  for (const { file, tensors } of shards) {
    const handle = openSync(join(path, file), 'w');
    try {
      writeAll(handle, safetensorsHeader(tensors, { format: 'pt' }));
      for (const { name } of tensors) writeAll(handle, encodeFloats(dtype, await read(name)));
    } finally {
      closeSync(handle);
    }
  }
  if (shards.length > 1) writeFileSync(join(path, INDEX), `${JSON.stringify(shardIndex(shards), null, 2)}\n`);
}

function fileSource(handle: number): ByteSource {
  return {
    size: fstatSync(handle).size,
    read: (begin, end) => {
      const bytes = new Uint8Array(end - begin);
      for (let at = 0; at < bytes.length; ) {
        const got = readSync(handle, bytes, at, bytes.length - at, begin + at);
        if (got === 0) throw new SafetensorsError(`the file ends at byte ${begin + at}; it was cut while it was read`);
        at += got;
      }
      return bytes;
    },
  };
}

function writeAll(handle: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
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
