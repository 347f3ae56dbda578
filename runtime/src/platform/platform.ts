/** What differs between Node and a browser. The only door to `node:*`: `node.ts` is imported in Node alone. */

/** Sent to a pool worker when it starts; see pool_loop.mjs. Structured-cloneable. */
export interface WorkerInit {
  readonly memory: WebAssembly.Memory;
  /** Byte offsets in the memory: control words, f64 arguments, error text, this thread's scratch. */
  readonly control: number;
  readonly args: number;
  readonly error: number;
  readonly tls: number;
  /** Index of each control word, by name. */
  readonly words: Readonly<Record<string, number>>;
  readonly errorBytes: number;
  readonly spinMicroseconds: number;
}

export interface PoolWorker {
  terminate(): Promise<void>;
}

export interface Platform {
  /** Threads that run at once. */
  readonly parallelism: number;
  /** True when this thread may sleep in Atomics.wait; a browser's main thread may not. */
  readonly canBlock: boolean;
  /** Asks the engine for relaxed SIMD where that needs asking; call before any module compiles. */
  enableRelaxedSimd(): void;
  /** Starts a worker and resolves when it serves; `onDeath` hears when it ends without being told to. */
  startWorker(init: WorkerInit, onDeath: (reason: string) => void): Promise<PoolWorker>;
  /**
   * The entry to WebGPU; `software`: the CPU adapter from npm; `experimental`: features that Dawn hides unless asked (a browser has a flag
   * for them). @throws Error that says what is missing.
   */
  webgpu(software: boolean, experimental: boolean): Promise<GPU>;
  writeText(path: string, text: string): Promise<void>;
  /** A file of the user's cache folder, if it is there. */
  readCache(name: string): Promise<string | undefined>;
  /** Returns the path. Whole or not at all: written beside it and renamed. */
  writeCache(name: string, text: string): Promise<string>;
}

const isNode = (): boolean => typeof (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node === 'string';

export async function loadPlatform(): Promise<Platform> {
  return isNode() ? (await import('./node.ts')).platform : (await import('./web.ts')).platform;
}
