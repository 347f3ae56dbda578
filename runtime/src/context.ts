/** Where ops run: a backend, the tape that records them (training) or none (inference), and who frees what. */
import type { Backend, DType, HostData, KernelSpec, Params } from './backend.ts';
import type { Tape } from './tape.ts';
import { alignUp, describe, sizeOf, type Tensor, view } from './tensor.ts';

/**
 * Lifetimes are explicit. A tensor made inside `scope` is freed when the scope ends, unless it is returned from it, freed earlier,
 * given to the tape (which frees it once its op's backward has run) or made persistent. Outside any scope it is the caller's.
 */
export class Context {
  readonly backend: Backend;
  /** Ops record themselves on it while it is set; `new Tape(ctx)` sets it, its backward or discard clears it. */
  tape: Tape | undefined;
  #scopes: Set<Tensor>[] = [];
  #owned = new Set<Tensor>();

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** A fresh tensor; its contents are unspecified. */
  tensor(shape: readonly number[], dtype: DType = 'f32'): Tensor {
    const length = sizeOf(shape);
    const t: Tensor = { slice: { buffer: this.backend.alloc(Math.max(length, 1)), offset: 0, length }, shape, dtype };
    this.#owned.add(t);
    this.#scopes.at(-1)?.add(t);
    return t;
  }

  /** Uploads host numbers. */
  from(data: HostData, shape: readonly number[] = [data.length]): Tensor {
    if (sizeOf(shape) !== data.length)
      throw new Error(`from: shape (${shape.join(', ')}) needs ${sizeOf(shape)} elements, got ${data.length}`);
    const t = this.tensor(shape, data instanceof Float32Array ? 'f32' : data instanceof Uint32Array ? 'u32' : 'i32');
    if (data.length > 0) this.backend.write(t.slice, data);
    return t;
  }

  /** Uploads several u32 arrays by one write. The views live as long as `owner`. */
  fromMany(arrays: readonly Uint32Array[]): { owner: Tensor; views: Tensor[] } {
    const starts: number[] = [];
    let length = 0;
    for (const a of arrays) {
      starts.push(length);
      length += alignUp(Math.max(a.length, 1));
    }
    const all = new Uint32Array(length);
    arrays.forEach((a, i) => {
      all.set(a, starts[i]);
    });
    const owner = this.from(all);
    return { owner, views: arrays.map((a, i) => view(owner, [a.length], starts[i])) };
  }

  /** @throws Error for a view and for a tensor freed before. */
  free(t: Tensor): void {
    if (!this.#owned.delete(t)) throw new Error(`free: ${describe(t)} is a view or was freed before`);
    for (const s of this.#scopes) s.delete(t);
    this.backend.free(t.slice.buffer);
  }

  /** Takes a tensor out of all scopes: from here on somebody else frees it. */
  persist(t: Tensor): Tensor {
    for (const s of this.#scopes) s.delete(t);
    return t;
  }

  /** Runs `fn` and frees what it made, except the tensors in its result (a tensor, or an array or object of them). */
  scope<T>(fn: () => T): T {
    const made = new Set<Tensor>();
    const depth = this.#scopes.push(made);
    let kept: Tensor[] = [];
    try {
      const result = fn();
      kept = tensorsIn(result).filter((t) => made.delete(t));
      return result;
    } finally {
      for (const t of [...made]) this.free(t);
      this.#scopes.length = depth - 1;
      for (const t of kept) this.#scopes.at(-1)?.add(t);
    }
  }

  /**
   * Called by an op after its forward: puts its backward on the tape, which takes over `outputs` and `saved`; without a tape `saved`
   * is freed at once.
   */
  record(outputs: readonly Tensor[], saved: readonly Tensor[], backward: (tape: Tape) => void): void {
    const { tape } = this;
    if (tape) tape.record(outputs, saved, () => backward(tape));
    else for (const t of saved) this.free(t);
  }

  /** One kernel launch; tensors in the entry's binding order. */
  run(spec: KernelSpec, entry: string, tensors: readonly Tensor[], params: Params): void {
    this.backend.dispatch(
      spec,
      entry,
      tensors.map((t) => t.slice),
      params,
    );
  }

  /** Contents of an f32 tensor once everything queued before is done. The tensor may be freed right after the call. */
  read(t: Tensor): Promise<Float32Array> {
    if (t.dtype !== 'f32') throw new Error(`read: expected f32, got ${describe(t)}; use readU32`);
    return this.backend.read(t.slice, 'f32');
  }

  /** Contents of a u32 tensor, as `read`. */
  readU32(t: Tensor): Promise<Uint32Array> {
    if (t.dtype !== 'u32') throw new Error(`readU32: expected u32, got ${describe(t)}`);
    return this.backend.read(t.slice, 'u32');
  }
}

const isTensor = (x: unknown): x is Tensor => typeof x === 'object' && x !== null && 'slice' in x && 'shape' in x && 'dtype' in x;

function tensorsIn(x: unknown): Tensor[] {
  if (isTensor(x)) return [x];
  if (typeof x !== 'object' || x === null) return [];
  return Object.values(x).filter(isTensor);
}
