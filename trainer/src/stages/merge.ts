/**
 * eagrl merge-lora: an adapter added to its base, W + (alpha / r) B A, as a plain Hugging Face folder in the base's dtype. Neither is
 * loaded: weights go from file to file by blocks of rows, those under an adapter by way of the device. (Node edge.)
 */
import { existsSync, readdirSync } from 'node:fs';
import {
  Context,
  FLOAT_MAX,
  loraNames,
  loraPaths,
  matmul,
  openDevice,
  SLICE_ALIGN,
  type StoredTensor,
  sizeOf,
  type Tensor,
  transformerParams,
  view,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { readWords, refused } from '../model_source.ts';
import { type AdapterFolder, checkAdapter, readAdapterFolder, withAdapterTensors } from '../run/adapter_folder.ts';
import { checkModelFolder, type ModelFolder, readModelFolder, writeModelSource } from '../run/model_folder.ts';
import { openWeights, writeWeights } from '../run/weights.ts';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';

export interface MergeOptions {
  /** Folder of the adapter. */
  readonly adapter: string;
  /** Folder of the base; null takes the one that adapter_config.json names. */
  readonly model: string | null;
  readonly out: string;
  readonly device: Config['device'];
  /** Bytes of one weight file at most. */
  readonly maxShardBytes?: number;
}

/** Elements in memory at a time, as f32; a block of rows is a multiple of SLICE_ALIGN rows near it. */
const PIECE = 4 * 1024 * 1024;

/** Merges and writes; gives what was written, in words. @throws ConfigError before any work for folders that do not fit together. */
export async function mergeLora({ adapter: path, model, out, device, maxShardBytes }: MergeOptions): Promise<readonly string[]> {
  const adapter = readAdapterFolder(path);
  const base = model ?? adapter.base;
  if (!existsSync(base)) {
    throw new ConfigError(
      `merge-lora: no folder ${base || '(adapter_config.json names no base)'}; pass --model with the folder of the base model`,
    );
  }
  if (existsSync(out) && readdirSync(out).length > 0) throw new ConfigError(`merge-lora: ${out} is not empty; give a new folder`);
  const source = readModelFolder(base);
  checkModelFolder(source);
  checkAdapter(adapter, readWords(source).config);
  const backend = await openDevice({ device });
  try {
    await writeDirectoryAtomic(out, (folder) => writeMerged(folder, new Context(backend), source, adapter, maxShardBytes));
  } finally {
    await backend.destroy();
  }
  const { r, alpha, target_modules: targets } = adapter.lora;
  return [`merged r ${r}, alpha ${alpha}, on ${targets.length > 7 ? `${targets.length} projections` : targets.join(' ')}`, `wrote ${out}`];
}

async function writeMerged(out: string, ctx: Context, source: ModelFolder, adapter: AdapterFolder, maxShardBytes?: number): Promise<void> {
  const specs = transformerParams(readWords(source).config);
  const adapted = new Map(loraPaths(specs, adapter.lora).map(({ path }) => [`${path}.weight`, loraNames(path)]));
  const { tensors, close } = refused('model', () => openWeights(source.path));
  const merged = async function* (name: string): AsyncGenerator<Float32Array> {
    const weight = tensors.get(name) as StoredTensor;
    const names = adapted.get(name);
    const pair = names && withAdapterTensors(adapter, (file) => [names.a, names.b].map((n) => upload(ctx, file.get(n) as StoredTensor)));
    const [length, width] = [sizeOf(weight.shape), weight.shape[1] ?? 1];
    const step = Math.max(1, Math.floor(PIECE / width / SLICE_ALIGN)) * SLICE_ALIGN * width;
    for (let at = 0; at < length; at += step) {
      const rows = refused('model', () => weight.read(at, Math.min(length, at + step)));
      const sum = pair ? await addLowRank(ctx, rows, at / width, pair, adapter) : rows;
      refuseOverflow(weight, sum, at);
      yield sum;
    }
    for (const t of pair ?? []) ctx.free(t);
  };
  try {
    writeModelSource(out, source);
    const dtypeOf = (name: string) => (tensors.get(name) as StoredTensor).dtype;
    const sources = specs.map(({ name, shape }) => ({ name, shape, dtype: dtypeOf(name), pieces: () => merged(name) }));
    await writeWeights(out, sources, maxShardBytes);
  } finally {
    close();
  }
}

const upload = (ctx: Context, t: StoredTensor): Tensor => ctx.from(t.read(), t.shape);

/** Rows of W from `start` on, and what the adapter adds to them: W + (alpha / r) B A with A (r, in), B (out, r). */
async function addLowRank(
  ctx: Context,
  data: Float32Array,
  start: number,
  [a, b]: readonly Tensor[],
  { lora: { r, alpha } }: AdapterFolder,
): Promise<Float32Array> {
  const width = a.shape[1];
  const rows = data.length / width;
  const w = ctx.from(data, [rows, width]);
  const shape = { m: rows, n: width, k: r, alpha: alpha / r, accumulate: 1 } as const;
  matmul(ctx, 'nn', w, view(b, [rows, r], start * r), a, shape);
  const read = ctx.read(w);
  ctx.free(w);
  return read;
}

/** @throws ConfigError for a number that the base's dtype has no place for: it would be written as an infinity, or is no number. */
function refuseOverflow({ name, dtype }: StoredTensor, data: Float32Array, offset: number): void {
  const most = FLOAT_MAX[dtype];
  const at = data.findIndex((v) => !(Math.abs(v) <= most));
  if (at < 0) return;
  throw new ConfigError(`merge-lora: '${name}': element ${offset + at} is ${data[at]}; ${dtype}, the base's dtype, holds at most ${most}`);
}
