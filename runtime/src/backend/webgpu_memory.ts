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

interface Pooled {
  readonly buffer: GPUBuffer;
  readonly bytes: number;
}

export class BufferPool {
  readonly #device: GPUDevice;
  readonly #usage: number;
  readonly #label: string;
  readonly #most: number;
  /** Free buffers by size, oldest first. */
  readonly #free = new Map<number, GPUBuffer[]>();
  /** All free buffers in the order they came back. */
  readonly #order = new Set<Pooled>();
  readonly #entries = new Map<GPUBuffer, Pooled>();
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
  take(bytes: number): GPUBuffer {
    const size = this.sizeFor(bytes);
    const buffer = this.#free.get(size)?.pop();
    if (buffer) {
      this.#forget(buffer);
      return buffer;
    }
    return this.#device.createBuffer({ label: `${this.#label} ${++this.created}`, size, usage: this.#usage });
  }

  give(buffer: GPUBuffer): void {
    const pooled = { buffer, bytes: buffer.size };
    let list = this.#free.get(buffer.size);
    if (!list) this.#free.set(buffer.size, (list = []));
    list.push(buffer);
    this.#order.add(pooled);
    this.#entries.set(buffer, pooled);
    this.bytesFree += buffer.size;
  }

  has(bytes: number): boolean {
    return (this.#free.get(this.sizeFor(bytes))?.length ?? 0) > 0;
  }

  /** Destroys the buffers that have been free longest until at most `keep` bytes are pooled. None may be in work not yet submitted. */
  trim(keep: number): void {
    for (const { buffer } of this.#order) {
      if (this.bytesFree <= keep) return;
      const list = this.#free.get(buffer.size) as GPUBuffer[];
      list.splice(list.indexOf(buffer), 1);
      this.#forget(buffer);
      buffer.destroy();
    }
  }

  /** Bytes of the buffer that `take` gives. */
  sizeFor(bytes: number): number {
    return Math.min(sizeClass(bytes), this.#most);
  }

  #forget(buffer: GPUBuffer): void {
    this.#order.delete(this.#entries.get(buffer) as Pooled);
    this.#entries.delete(buffer);
    this.bytesFree -= buffer.size;
  }
}
