/** Threads that run one job at a time over a shared memory; the calling thread takes part. */
import { DeviceError } from '../errors.ts';
import type { Platform, PoolWorker } from '../platform/platform.ts';

/** Control words, i32 each, and their meaning. */
const WORDS = {
  /** Counts jobs; workers wait for it to change. */
  GENERATION: 0,
  SLEEPERS: 1,
  QUIT: 2,
  /** Workers inside the job; the sign bit says that it is closed. */
  STATE: 3,
  /** Next chunk to hand out. */
  NEXT: 4,
  WORK: 5,
  GRAIN: 6,
  MODULE_AT: 7,
  MODULE_BYTES: 8,
  /** Index among the module's exports. */
  EXPORT: 9,
  ARGS: 10,
  /** Length of the text that says why a worker's kernel trapped, 0 if none did. */
  ERROR: 11,
} as const;
const CLOSED = -2_147_483_648;

// Layout of the control page, which lies below every buffer. Kernels own no static data and no stack there (gen.mjs sees to it).
const CONTROL = 1024;
const ARGS_AT = CONTROL + 256;
const MAX_ARGS = 64;
const ERROR_AT = ARGS_AT + MAX_ARGS * 8;
const ERROR_BYTES = 512;
/** Bytes at the start of the memory that belong to the pool. */
export const POOL_BYTES = 65_536;

/** Time that a waiting thread spins before it sleeps: about what a launch costs on the main thread, so a stream of launches finds it awake. */
const SPIN_MICROSECONDS = 50;

export interface Job {
  readonly module: { readonly at: number; readonly bytes: number };
  readonly exportIndex: number;
  /** The same export on the calling thread's instance. */
  readonly fn: (...args: number[]) => void;
  /** Pointers, params and scratch; `lo` and `hi` are appended. */
  readonly args: readonly number[];
  readonly work: number;
  readonly grain: number;
}

export class WasmPool {
  readonly threads: number;
  readonly #ctl: Int32Array;
  readonly #args: Float64Array;
  readonly #memory: WebAssembly.Memory;
  readonly #canBlock: boolean;
  #workers: PoolWorker[] = [];

  private constructor(memory: WebAssembly.Memory, threads: number, canBlock: boolean) {
    this.#memory = memory;
    this.threads = threads;
    this.#canBlock = canBlock;
    this.#ctl = new Int32Array(memory.buffer, CONTROL, Object.keys(WORDS).length);
    this.#args = new Float64Array(memory.buffer, ARGS_AT, MAX_ARGS);
    this.#ctl[WORDS.STATE] = CLOSED;
  }

  /**
   * `threads` counts the caller; `tlsOf(i)` is the scratch of worker i = 1, 2, … Resolves when all of them serve. Where one does not start,
   * those that did end, and its error is thrown.
   */
  static async start(
    platform: Platform,
    memory: WebAssembly.Memory,
    threads: number,
    tlsOf: (thread: number) => number,
    onDeath: (reason: string) => void,
  ): Promise<WasmPool> {
    const pool = new WasmPool(memory, threads, platform.canBlock);
    const common = {
      memory,
      control: CONTROL,
      args: ARGS_AT,
      error: ERROR_AT,
      errorBytes: ERROR_BYTES,
      words: WORDS,
      spinMicroseconds: SPIN_MICROSECONDS,
    };
    const started = await Promise.allSettled(
      Array.from({ length: threads - 1 }, (_, i) => platform.startWorker({ ...common, tls: tlsOf(i + 1) }, onDeath)),
    );
    pool.#workers = started.flatMap((s) => (s.status === 'fulfilled' ? [s.value] : []));
    const failed = started.find((s) => s.status === 'rejected');
    if (failed) {
      await pool.destroy();
      throw failed.reason;
    }
    return pool;
  }

  /** Runs all items of a job and returns when they are done. @throws DeviceError when a kernel trapped on a worker. */
  run(job: Job): void {
    const ctl = this.#ctl;
    const { args, work, grain } = job;
    if (args.length + 2 > MAX_ARGS) throw new DeviceError(`wasm: ${args.length} kernel arguments; at most ${MAX_ARGS - 2}`);
    ctl[WORDS.WORK] = work;
    ctl[WORDS.GRAIN] = grain;
    ctl[WORDS.MODULE_AT] = job.module.at;
    ctl[WORDS.MODULE_BYTES] = job.module.bytes;
    ctl[WORDS.EXPORT] = job.exportIndex;
    ctl[WORDS.ARGS] = args.length;
    ctl[WORDS.ERROR] = 0;
    this.#args.set(args);
    Atomics.store(ctl, WORDS.NEXT, 0);
    Atomics.store(ctl, WORDS.STATE, 0); // open: publishes the words above
    Atomics.add(ctl, WORDS.GENERATION, 1);
    if (Atomics.load(ctl, WORDS.SLEEPERS) > 0) Atomics.notify(ctl, WORDS.GENERATION);
    try {
      this.#takePart(job);
    } finally {
      Atomics.store(ctl, WORDS.NEXT, Math.ceil(work / grain)); // after a trap here the others stop early too
      this.#close();
    }
    if (ctl[WORDS.ERROR] > 0) throw new DeviceError(this.#errorText());
  }

  #takePart({ fn, args, work, grain }: Job): void {
    const argv = [...args, 0, 0];
    const n = args.length;
    for (let lo = 0; (lo = Atomics.add(this.#ctl, WORDS.NEXT, 1) * grain) < work; ) {
      argv[n] = lo;
      argv[n + 1] = Math.min(work, lo + grain);
      fn(...argv);
    }
  }

  /** No worker joins from here on; waits for those inside. */
  #close(): void {
    const ctl = this.#ctl;
    let state = Atomics.or(ctl, WORDS.STATE, CLOSED) | CLOSED;
    const until = performance.now() + SPIN_MICROSECONDS / 1000;
    while (state !== CLOSED) {
      for (let i = 0; i < 64 && state !== CLOSED; i++) state = Atomics.load(ctl, WORDS.STATE);
      if (state === CLOSED || !this.#canBlock || performance.now() < until) continue;
      Atomics.wait(ctl, WORDS.STATE, state);
      state = Atomics.load(ctl, WORDS.STATE);
    }
  }

  #errorText(): string {
    return new TextDecoder().decode(new Uint8Array(this.#memory.buffer, ERROR_AT, this.#ctl[WORDS.ERROR]).slice());
  }

  async destroy(): Promise<void> {
    Atomics.store(this.#ctl, WORDS.QUIT, 1);
    Atomics.add(this.#ctl, WORDS.GENERATION, 1);
    Atomics.notify(this.#ctl, WORDS.GENERATION);
    await Promise.all(this.#workers.map((w) => w.terminate()));
  }
}
