/** GPUBuffers by size class, re-used in queue order; staging buffers for reads. */

/** From here on a buffer is worth a class of its own. */
const LARGE = 2 ** 20;

/**
 * Quarters of a power of two, at least 256 bytes, so that lengths near each other share buffers: at most a fifth is wasted. Sixteenths from
 * 1 MiB on: there memory counts, and at most a seventeenth is wasted.
 */
export function sizeClass(bytes: number): number {
  const step = 2 ** Math.max(6, Math.floor(Math.log2(Math.max(bytes, 1))) - (bytes >= LARGE ? 4 : 2));
  return Math.max(256, Math.ceil(bytes / step) * step);
}

/** How much larger than asked for a buffer may be that is used again. */
const SLACK = 1.5;

/** A GPUBuffer of a pool. Its id is its own for good, whoever holds it, and its size needs no call into the driver. */
export interface Memory {
  readonly gpu: GPUBuffer;
  readonly bytes: number;
  readonly id: number;
}

/**
 * Buffers that nobody holds. Of those that fit, the smallest size is taken, and of that size the lowest id: then equal requests in equal order
 * get equal buffers, whatever was given back in between, and a training step meets its bind groups of the step before. (Taking the last one
 * given permutes them each step.) Larger ones fit up to SLACK, so that a shorter pack gets the buffers of a longer one.
 */
export class FreeList {
  /** By size, the lowest id last. */
  readonly #bySize = new Map<number, Memory[]>();

  /** `bytes` is a size class. */
  take(bytes: number): Memory | undefined {
    return this.#fitting(bytes)?.pop();
  }

  has(bytes: number): boolean {
    return this.#fitting(bytes) !== undefined;
  }

  give(memory: Memory): void {
    let list = this.#bySize.get(memory.bytes);
    if (!list) this.#bySize.set(memory.bytes, (list = []));
    let at = list.length;
    while (at > 0 && list[at - 1].id < memory.id) at--;
    list.splice(at, 0, memory);
  }

  remove(memory: Memory): void {
    const list = this.#bySize.get(memory.bytes) as Memory[];
    list.splice(list.indexOf(memory), 1);
  }

  all(): Memory[] {
    return [...this.#bySize.values()].flat();
  }

  #fitting(bytes: number): Memory[] | undefined {
    for (let size = bytes; size <= bytes * SLACK; size = sizeClass(size + 1)) {
      const list = this.#bySize.get(size);
      if (list && list.length > 0) return list;
    }
    return undefined;
  }
}

/** Makes buffers of one usage, and keeps those given back. */
export class BufferPool {
  readonly #device: GPUDevice;
  readonly #usage: number;
  readonly #label: string;
  readonly #most: number;
  readonly #free = new FreeList();
  /** All free buffers in the order they came back. */
  readonly #order = new Set<Memory>();
  bytesFree = 0;
  created = 0;

  /** `most`: bytes of the largest buffer that may be asked for. */
  constructor(device: GPUDevice, usage: number, label: string, most: number) {
    this.#device = device;
    this.#usage = usage;
    this.#label = label;
    this.#most = most;
  }

  /** A buffer of at least `bytes` bytes, contents unspecified. */
  take(bytes: number): Memory {
    const size = this.sizeFor(bytes);
    const known = this.#free.take(size);
    if (known) {
      this.#forget(known);
      return known;
    }
    const id = ++this.created;
    return { gpu: this.#device.createBuffer({ label: `${this.#label} ${id}`, size, usage: this.#usage }), bytes: size, id };
  }

  give(memory: Memory): void {
    this.#free.give(memory);
    this.#order.add(memory);
    this.bytesFree += memory.bytes;
  }

  has(bytes: number): boolean {
    return this.#free.has(this.sizeFor(bytes));
  }

  /** Destroys the buffers that have been free longest until at most `keep` bytes are pooled. None may be in work not yet submitted. */
  trim(keep: number): void {
    for (const memory of this.#order) {
      if (this.bytesFree <= keep) return;
      this.#free.remove(memory);
      this.#forget(memory);
      memory.gpu.destroy();
    }
  }

  /** The size class that `take` asks for. */
  sizeFor(bytes: number): number {
    return Math.min(sizeClass(bytes), this.#most);
  }

  #forget(memory: Memory): void {
    this.#order.delete(memory);
    this.bytesFree -= memory.bytes;
  }
}
