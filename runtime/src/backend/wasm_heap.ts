/**
 * Best-fit allocator over one growing address range, free neighbours merged. Packed batches have a new length every step; size
 * classes would keep a block of every length ever seen, merging keeps the range close to the peak of what is live.
 */
const ALIGN = 64; // a cache line: two threads never share one between buffers

export class WasmHeap {
  readonly base: number;
  readonly limit: number;
  /** End of the range in use; the owner makes memory reach it. */
  top: number;
  liveBytes = 0;
  /** Times that the range had to grow. */
  growths = 0;
  /** Free blocks below `top`, by address; neighbours never touch. */
  readonly #free: { at: number; size: number }[] = [];

  constructor(base: number, limit: number) {
    this.base = base;
    this.limit = limit;
    this.top = base;
  }

  /** Address of `size(bytes)` bytes, a multiple of 64; undefined when the limit does not allow it. */
  alloc(bytes: number): number | undefined {
    const size = WasmHeap.size(bytes);
    let best = -1;
    for (let i = 0; i < this.#free.length; i++) {
      const { size: have } = this.#free[i];
      if (have >= size && (best < 0 || have < this.#free[best].size)) best = i;
    }
    const at = best >= 0 ? this.#cut(best, size) : this.#extend(size);
    if (at !== undefined) this.liveBytes += size;
    return at;
  }

  free(at: number, bytes: number): void {
    let size = WasmHeap.size(bytes);
    this.liveBytes -= size;
    let i = this.#after(at);
    const next = this.#free[i];
    if (next && at + size === next.at) {
      size += next.size;
      this.#free.splice(i, 1);
    }
    const before = this.#free[i - 1];
    if (before && before.at + before.size === at) {
      at = before.at;
      size += before.size;
      this.#free.splice(--i, 1);
    }
    if (at + size === this.top) this.top = at;
    else this.#free.splice(i, 0, { at, size });
  }

  static size(bytes: number): number {
    return Math.max(1, Math.ceil(bytes / ALIGN)) * ALIGN;
  }

  #cut(i: number, size: number): number {
    const block = this.#free[i];
    const { at } = block;
    if (block.size === size) this.#free.splice(i, 1);
    else {
      block.at += size;
      block.size -= size;
    }
    return at;
  }

  #extend(size: number): number | undefined {
    const at = this.top;
    if (at + size > this.limit) return undefined;
    this.top += size;
    this.growths++;
    return at;
  }

  /** Index of the first free block above `at`. */
  #after(at: number): number {
    let lo = 0;
    let hi = this.#free.length;
    while (lo < hi) {
      const mid = (lo + hi) >> 1;
      if (this.#free[mid].at < at) lo = mid + 1;
      else hi = mid;
    }
    return lo;
  }
}
