/** Commands kept for replay, and the memory that they have to themselves. */
import type { OwnedBuffer } from './check.ts';
import { FreeList, type Memory } from './webgpu_memory.ts';

export interface RecordedDispatch {
  readonly group: GPUBindGroup;
  readonly passes: readonly GPUComputePipeline[];
  /** Workgroups, one per pass. */
  readonly grids: readonly (readonly [number, number, number])[];
  /** The params block. */
  readonly params: Uint8Array;
  readonly flops: number;
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
  readonly memory: Memory;
}

/** What is being recorded. Memory freed within it serves what is allocated later within it, and nobody else. */
export class RecordedWork {
  readonly commands: RecordedCommand[] = [];
  /** All memory that the commands name. */
  readonly named = new Set<Memory>();
  /** Buffers of others among it: once one is freed, the commands may not run again. */
  readonly outside = new Set<Buffer>();
  readonly #arena = new Set<Memory>();
  readonly #free = new FreeList();
  #taken = 0;

  /** Memory of an earlier part of the work; `bytes` is a size class. */
  take(bytes: number): Memory | undefined {
    const memory = this.#free.take(bytes);
    if (memory) this.#taken++;
    return memory;
  }

  adopt(memory: Memory): Memory {
    this.#arena.add(memory);
    this.#taken++;
    return memory;
  }

  owns(memory: Memory): boolean {
    return this.#arena.has(memory);
  }

  give(memory: Memory): void {
    this.#free.give(memory);
    this.#taken--;
  }

  /** Buffers allocated and not freed. */
  get taken(): number {
    return this.#taken;
  }

  /** Memory that nobody holds. */
  get idle(): readonly Memory[] {
    return this.#free.all();
  }

  get bytes(): number {
    let sum = 0;
    for (const { bytes } of this.#arena) sum += bytes;
    return sum;
  }

  name(buffers: readonly Buffer[]): void {
    for (const b of buffers) {
      this.named.add(b.memory);
      if (!this.#arena.has(b.memory)) this.outside.add(b);
    }
  }
}
