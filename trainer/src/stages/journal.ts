/** Finished pieces of work by name, so that none is done twice; a run folder keeps them over a kill (run/folder_journal.ts). */
export interface Journal {
  /** The kept result of `name`, if there is one. */
  peek<T>(name: string): T | null;
  /** `result`: plain JSON. */
  keep(name: string, result: unknown): void;
  /** The kept result of `name`, or that of `work`, which is kept. */
  once<T>(name: string, work: () => Promise<T>): Promise<T>;
}

/** Keeps them as long as the program runs. */
export class MemoryJournal implements Journal {
  readonly #kept = new Map<string, unknown>();

  peek<T>(name: string): T | null {
    return (this.#kept.get(name) as T | undefined) ?? null;
  }

  keep(name: string, result: unknown): void {
    this.#kept.set(name, result);
  }

  async once<T>(name: string, work: () => Promise<T>): Promise<T> {
    if (!this.#kept.has(name)) this.keep(name, await work());
    return this.#kept.get(name) as T;
  }
}
