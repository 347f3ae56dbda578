/** A case in a device's memory. */
import { type Binding, checkSizes, entryOf, type HostArray, type HostBuffers } from '@eagrl/kernels';
import type { Backend, Slice } from '@eagrl/runtime';
import type { BenchCase } from './case.ts';
import type { Launch } from './time.ts';

/** A NaN pattern: an output element that a kernel does not write is seen. */
const POISON = 0x7fc0dead;
const VIEW = { f32: Float32Array, u32: Uint32Array, i32: Int32Array } as const;

export class Placed {
  readonly #case: BenchCase;
  readonly #backend: Backend;
  readonly #bindings: readonly Binding[];
  readonly #slices: readonly Slice[];

  /** Uploads the inputs; outputs are poisoned. */
  constructor(c: BenchCase, backend: Backend, inputs: HostBuffers) {
    const entry = entryOf(c.spec, c.entry);
    const need = entry.size(c.params);
    this.#case = c;
    this.#backend = backend;
    this.#bindings = entry.bindings;
    const host = entry.bindings.map((b) => inputs[b.name] ?? new VIEW[b.dtype](new Uint32Array(need[b.name]).fill(POISON).buffer));
    checkSizes(c.spec, c.entry, c.params, (_, i) => host[i].length);
    this.#slices = host.map((data) => {
      const slice = { buffer: backend.alloc(data.length), offset: 0, length: data.length };
      backend.write(slice, data);
      return slice;
    });
  }

  get launch(): Launch {
    const { deviceTime } = this.#backend;
    const run = () => this.#backend.dispatch(this.#case.spec, this.#case.entry, this.#slices, this.#case.params);
    const timed = (times: number) => () => {
      for (let i = 0; i < times; i++) run();
    };
    return { run, sync: () => this.#backend.sync(), deviceTime: deviceTime && ((times) => deviceTime(timed(times))) };
  }

  /** Every binding that the kernel writes, by name. */
  async outputs(): Promise<Record<string, HostArray>> {
    const out: Record<string, HostArray> = {};
    for (const [i, { name, dtype, access }] of this.#bindings.entries()) {
      if (access === 'read') continue;
      const values = dtype === 'f32' ? await this.#backend.read(this.#slices[i], 'f32') : await this.#backend.read(this.#slices[i], 'u32');
      out[name] = values as HostArray;
    }
    return out;
  }

  /** Zeros the bindings that the case wants still while the clock runs. */
  steady(): void {
    for (const name of this.#case.steady ?? []) {
      const slice = this.#slices[this.#bindings.findIndex((b) => b.name === name)];
      this.#backend.write(slice, new Float32Array(slice.length));
    }
  }

  free(): void {
    for (const { buffer } of this.#slices) this.#backend.free(buffer);
  }
}
