/**
 * A checkpoint cut into several safetensors files, and the index that says which tensor lies in which:
 * `{"metadata": {"total_size": n}, "weight_map": {tensor: file}}`, as Hugging Face writes model.safetensors.index.json. The index is as
 * untrusted as the files.
 */
import { SafetensorsError, type SafetensorsFile, type StoredTensor, storedBytes, type TensorEntry } from './safetensors.ts';

/** Tensor -> file, in the index's order. @throws SafetensorsError when it is no index, or names anything but a file beside it. */
export function parseShardIndex(json: unknown): ReadonlyMap<string, string> {
  const map = typeof json === 'object' && json !== null ? (json as Record<string, unknown>)['weight_map'] : undefined;
  if (typeof map !== 'object' || map === null || Array.isArray(map))
    throw new SafetensorsError('index: weight_map is missing or no object');
  const entries = Object.entries(map as Record<string, unknown>);
  for (const [tensor, file] of entries) {
    if (typeof file !== 'string' || !/^[\w.-]+\.safetensors$/.test(file)) {
      throw new SafetensorsError(
        `index: '${tensor.slice(0, 80)}' lies in ${String(JSON.stringify(file)).slice(0, 80)}; expected a .safetensors file`,
      );
    }
  }
  return new Map(entries as [string, string][]);
}

/**
 * All tensors of the indexed files. `open` opens a file by its name in the index; each is opened once.
 * @throws SafetensorsError naming the file whose tensors are not those that the index says it has.
 */
export function openShards(index: ReadonlyMap<string, string>, open: (file: string) => SafetensorsFile): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const file of new Set(index.values())) {
    const shard = open(file).tensors;
    for (const [name, tensor] of shard) {
      if (index.get(name) !== file) {
        throw new SafetensorsError(`${file}: holds '${name.slice(0, 80)}', which the index puts in ${index.get(name) ?? 'no file'}`);
      }
      tensors.set(name, tensor);
    }
  }
  for (const [name, file] of index) {
    if (!tensors.has(name)) throw new SafetensorsError(`${file}: '${name.slice(0, 80)}' is missing; the index says it is there`);
  }
  return tensors;
}

export interface Shard<T extends TensorEntry> {
  /** model.safetensors, or model-00002-of-00005.safetensors. */
  readonly file: string;
  readonly tensors: readonly T[];
}

/** Cuts tensors, in order, into files of at most `maxBytes` of data; one that is larger has a file to itself. */
export function planShards<T extends TensorEntry>(tensors: readonly T[], maxBytes: number): Shard<T>[] {
  const parts: T[][] = [[]];
  let used = 0;
  for (const t of tensors) {
    const last = parts[parts.length - 1];
    if (last.length > 0 && used + storedBytes(t) > maxBytes) {
      parts.push([t]);
      used = 0;
    } else last.push(t);
    used += storedBytes(t);
  }
  const of = (n: number) => String(n).padStart(5, '0');
  if (parts.length === 1) return [{ file: 'model.safetensors', tensors: parts[0] }];
  return parts.map((part, i) => ({ file: `model-${of(i + 1)}-of-${of(parts.length)}.safetensors`, tensors: part }));
}

/** model.safetensors.index.json of a plan of several files. */
export const shardIndex = (shards: readonly Shard<TensorEntry>[]): object => ({
  metadata: { total_size: shards.reduce((n, s) => s.tensors.reduce((m, t) => m + storedBytes(t), n), 0) },
  weight_map: Object.fromEntries(shards.flatMap((s) => s.tensors.map((t) => [t.name, s.file]))),
});
