/** Parameters and optimiser state to and from safetensors tensors. Files themselves are the caller's. */
import type { AdamW } from '../optim/adamw.ts';
import type { ParamSpec, ParamStore } from '../params.ts';
import type { StoredWeights } from '../stored.ts';
import { sizeOf } from '../tensor.ts';
import { type FloatType, SafetensorsError, type StoredTensor, type TensorSource } from './safetensors.ts';

/** Names tensors that may be there without a place: a tied model's `lm_head.weight`. */
export interface LoadOptions {
  readonly ignore?: readonly string[];
}

/**
 * Whether a file holds these parameters, by name and shape: needs no device, so a wrong file is refused before any work.
 * @throws SafetensorsError with the missing and unexpected names, or the shape that differs.
 */
export function checkParams(
  specs: readonly ParamSpec[],
  tensors: ReadonlyMap<string, StoredTensor>,
  { ignore = [] }: LoadOptions = {},
): void {
  const names = new Set(specs.map((p) => p.name));
  const missing = specs.filter((p) => !tensors.has(p.name)).map((p) => p.name);
  const unexpected = [...tensors.keys()].filter((name) => !names.has(name) && !ignore.includes(name));
  if (missing.length > 0 || unexpected.length > 0) {
    const lines = ['the file holds another model.'];
    if (missing.length > 0)
      lines.push(
        `Missing: ${missing
          .slice(0, 5)
          .map((m) => `'${m}'${didYouMean(m, unexpected)}`)
          .join(', ')}${more(missing)}.`,
      );
    if (unexpected.length > 0)
      lines.push(
        `Unexpected: ${unexpected
          .slice(0, 5)
          .map((u) => `'${u.slice(0, 80)}'`)
          .join(', ')}${more(unexpected)}.`,
      );
    throw new SafetensorsError(lines.join(' '));
  }
  for (const p of specs) {
    const { shape } = tensors.get(p.name) as StoredTensor;
    if (shape.length !== p.shape.length || shape.some((d, i) => d !== p.shape[i])) {
      throw new SafetensorsError(`'${p.name}': expected shape (${p.shape.join(', ')}), the file has (${shape.join(', ')})`);
    }
  }
}

/** Elements in host memory at a time while weights and moments are loaded or saved: 16 MiB as f32. */
const CHUNK = 4 * 1024 * 1024;

/** A tensor's numbers, a chunk at a time, and where each starts. */
function* chunksOf(stored: StoredTensor): Generator<[at: number, data: Float32Array]> {
  const length = sizeOf(stored.shape);
  for (let at = 0; at < length; at += CHUNK) yield [at, stored.read(at, Math.min(length, at + CHUNK))];
}

/**
 * Fills a store, a chunk at a time: host memory does not grow with the model. @throws SafetensorsError as {@link checkParams}, before
 * anything is written; for a NaN or an infinity when its tensor is reached.
 */
export function loadParams(store: ParamStore, tensors: ReadonlyMap<string, StoredTensor>, options: LoadOptions = {}): void {
  checkParams(store.list, tensors, options);
  fill(store, tensors);
}

function fill(store: ParamStore, tensors: ReadonlyMap<string, StoredTensor>): void {
  for (const p of store.list) {
    for (const [at, data] of chunksOf(tensors.get(p.name) as StoredTensor)) {
      refuseNonFinite(p.name, data, at);
      store.writeFrom(p, at, data);
    }
  }
}

/**
 * Fills a model's weights, those kept in another format too, as {@link loadParams} does: rows are converted as they are read.
 * @throws SafetensorsError as {@link checkParams}, before anything is written, and for a number that the format has no place for.
 */
export function loadWeights(
  { params, stored }: { readonly params: ParamStore; readonly stored: StoredWeights | undefined },
  tensors: ReadonlyMap<string, StoredTensor>,
  options: LoadOptions = {},
): void {
  const matrices = stored?.list ?? [];
  checkParams([...params.list, ...matrices], tensors, options);
  fill(params, tensors);
  for (const m of matrices) {
    const file = tensors.get(m.name) as StoredTensor;
    const [rows, k] = m.shape;
    const step = Math.max(1, Math.floor(CHUNK / k));
    for (let row = 0; row < rows; row += step) {
      const data = file.read(row * k, Math.min(rows, row + step) * k);
      refuseNonFinite(m.name, data, row * k);
      stored?.writeRows(m, row, data);
    }
  }
}

/** A NaN would reach every number of the model. */
function refuseNonFinite(name: string, data: Float32Array, offset: number): void {
  for (let i = 0; i < data.length; i++)
    if (!Number.isFinite(data[i])) throw new SafetensorsError(`'${name}': element ${offset + i} is ${data[i]}; weights must be finite`);
}

/** All parameters, to be written in the model's dtype. They are read when they are written: queue nothing that changes them until then. */
export const saveParams = (store: ParamStore, dtype: FloatType = 'F32'): TensorSource[] =>
  store.list.map((p) => ({ name: p.name, shape: p.shape, dtype, pieces: () => store.pieces(p, CHUNK) }));

/** First and second moments as `m.<parameter>` and `v.<parameter>`, f32, read as those of {@link saveParams}; the step count as metadata. */
export function saveOptimizer(optimizer: AdamW): { tensors: TensorSource[]; metadata: Record<string, string> } {
  const { params, m, v } = optimizer;
  const tensors = [['m', m] as const, ['v', v] as const].flatMap(([prefix, from]) =>
    params.list.map((p) => ({ name: `${prefix}.${p.name}`, shape: p.shape, pieces: () => params.pieces(p, CHUNK, from) })),
  );
  return { tensors, metadata: { step_count: String(optimizer.stepCount) } };
}

/**
 * The reverse of saveOptimizer, a chunk at a time: the next step is bit-equal to that of the optimiser that was saved.
 * @throws SafetensorsError before anything is written
 */
export function loadOptimizer(
  optimizer: AdamW,
  tensors: ReadonlyMap<string, StoredTensor>,
  metadata: Readonly<Record<string, string>>,
): void {
  const { params } = optimizer;
  const stepCount = Number(metadata['step_count']);
  if (!Number.isSafeInteger(stepCount) || stepCount < 0)
    throw new SafetensorsError(`optimiser state: step_count is '${metadata['step_count']}'`);
  const moments = [['m', optimizer.m] as const, ['v', optimizer.v] as const].flatMap(([prefix, into]) =>
    params.list.map((p) => {
      const name = `${prefix}.${p.name}`;
      const stored = tensors.get(name);
      if (!stored) throw new SafetensorsError(`optimiser state: missing '${name}'`);
      if (stored.shape.join() !== p.shape.join()) {
        throw new SafetensorsError(`optimiser state: '${name}' has shape (${stored.shape.join(', ')}), expected (${p.shape.join(', ')})`);
      }
      return { p, stored, into };
    }),
  );
  for (const { p, stored, into } of moments) for (const [at, data] of chunksOf(stored)) params.writeFrom(p, at, data, into);
  optimizer.stepCount = stepCount;
}

const more = (names: readonly string[]): string => (names.length > 5 ? ` and ${names.length - 5} more` : '');

/** The candidate that shares the longest ending with `name`: prefixes are what differs between exporters. */
function didYouMean(name: string, candidates: readonly string[]): string {
  let best = '';
  let shared = 7;
  for (const c of candidates) {
    let n = 0;
    while (n < c.length && n < name.length && c[c.length - 1 - n] === name[name.length - 1 - n]) n++;
    if (n > shared) {
      shared = n;
      best = c;
    }
  }
  return best ? ` (did you mean '${best.slice(0, 80)}'?)` : '';
}
