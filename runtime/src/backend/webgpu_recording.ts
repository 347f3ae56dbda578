/** Commands kept for replay, and the memory that they have to themselves. */
import type { OwnedBuffer } from './check.ts';

export interface RecordedDispatch {
  readonly group: GPUBindGroup;
  readonly passes: readonly GPUComputePipeline[];
  /** Workgroups, one per pass. */
  readonly grids: readonly (readonly [number, number, number])[];
  /** The params block. */
  readonly params: Uint8Array;
}

export interface RecordedCopy {
  readonly from: GPUBuffer;
  readonly fromByte: number;
  readonly to: GPUBuffer;
  readonly toByte: number;
  readonly bytes: number;
}

export type RecordedCommand = RecordedDispatch | RecordedCopy;

interface Buffer extends OwnedBuffer {
  readonly gpu: GPUBuffer;
}

/** What is being recorded. Memory freed within it serves what is allocated later within it, and nobody else. */
export class RecordedWork {
  readonly commands: RecordedCommand[] = [];
  /** All memory that the commands name. */
  readonly named = new Set<GPUBuffer>();
  /** Buffers of others among it: once one is freed, the commands may not run again. */
  readonly outside = new Set<Buffer>();
  flops = 0;
  readonly #arena = new Set<GPUBuffer>();
  readonly #free = new Map<number, GPUBuffer[]>();
  #taken = 0;

  /** Memory of an earlier part of the work. */
  take(size: number): GPUBuffer | undefined {
    const buffer = this.#free.get(size)?.pop();
    if (buffer) this.#taken++;
    return buffer;
  }

  adopt(buffer: GPUBuffer): GPUBuffer {
    this.#arena.add(buffer);
    this.#taken++;
    return buffer;
  }

  owns(buffer: GPUBuffer): boolean {
    return this.#arena.has(buffer);
  }

  give(buffer: GPUBuffer): void {
    const list = this.#free.get(buffer.size);
    if (list) list.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
    this.#taken--;
  }

  /** Buffers allocated and not freed. */
  get taken(): number {
    return this.#taken;
  }

  /** Memory that nobody holds. */
  get idle(): readonly GPUBuffer[] {
    return [...this.#free.values()].flat();
  }

  get bytes(): number {
    let sum = 0;
    for (const b of this.#arena) sum += b.size;
    return sum;
  }

  name(buffers: readonly Buffer[]): void {
    for (const b of buffers) {
      this.named.add(b.gpu);
      if (!this.#arena.has(b.gpu)) this.outside.add(b);
    }
  }
}
