/** What ends a run before its table is through: its time is over, or it is told to end. */

export class Stop {
  readonly #end: number;
  readonly #told: AbortSignal | undefined;

  /** `minutes` from now; `told` also leaves what is under way. Without either the run goes to its end. */
  constructor(minutes = Number.POSITIVE_INFINITY, told?: AbortSignal) {
    this.#end = performance.now() + 60e3 * minutes;
    this.#told = told;
  }

  /** Nothing new is to be begun. */
  get over(): boolean {
    return this.#told?.aborted || performance.now() > this.#end;
  }

  /** Undefined: not begun, or left when the run was told to end. What is left goes on until the process ends, and nobody listens. */
  async begin<T>(work: () => Promise<T>): Promise<T | undefined> {
    if (this.over) return undefined;
    // A promise of its own each time: one for the whole run would keep whatever raced with it.
    let leave = () => {};
    const left = new Promise<undefined>((resolve) => {
      leave = () => resolve(undefined);
    });
    this.#told?.addEventListener('abort', leave);
    try {
      return await Promise.race([work(), left]);
    } finally {
      this.#told?.removeEventListener('abort', leave);
    }
  }
}
