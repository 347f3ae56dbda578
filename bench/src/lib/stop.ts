/** What ends a run before its table is through: its time is over, or it is told to end. */

export class Stop {
  readonly #end: number;
  readonly #told: AbortSignal | undefined;
  readonly #left: Promise<undefined>;

  /** `minutes` from now; `told` also leaves what is under way. Without either the run goes to its end. */
  constructor(minutes = Number.POSITIVE_INFINITY, told?: AbortSignal) {
    this.#end = performance.now() + 60e3 * minutes;
    this.#told = told;
    this.#left = new Promise((resolve) => told?.addEventListener('abort', () => resolve(undefined)));
  }

  /** Nothing new is to be begun. */
  get over(): boolean {
    return this.#told?.aborted || performance.now() > this.#end;
  }

  /** Undefined: not begun, or left when the run was told to end. What is left goes on until the process ends, and nobody listens. */
  async begin<T>(work: () => Promise<T>): Promise<T | undefined> {
    return this.over ? undefined : Promise.race([work(), this.#left]);
  }
}
