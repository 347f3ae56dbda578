/**
 * What makes a killed run equal to an unbroken one: each finished piece of work leaves its result in state/<name>.json, written
 * atomically; on resume the piece is read back instead of done again. Pieces are deterministic, so redoing a lost one gives the same.
 * (Node edge.)
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Journal } from '../stages/journal.ts';
import { type RunFolder, readJson } from './run_folder.ts';

export class FolderJournal implements Journal {
  readonly #run: RunFolder;

  constructor(run: RunFolder) {
    this.#run = run;
  }

  /** @throws ConfigError when something other than this program changed it. */
  peek<T>(name: string): T | null {
    const path = this.#run.file('state', `${name}.json`);
    return existsSync(path) ? readJson<T>(path) : null;
  }

  keep(name: string, result: unknown): void {
    this.#run.write(join('state', `${name}.json`), JSON.stringify(result));
  }

  /** JSON numbers are exact: what is read back equals what was kept. */
  async once<T>(name: string, work: () => Promise<T>): Promise<T> {
    const kept = this.peek<T>(name);
    if (kept !== null) return kept;
    const result = await work();
    this.keep(name, result);
    return result;
  }

  /** Largest step among the kept pieces of a track, which are named <track>-<step>; 0 without any. */
  steps(track: string): number {
    const folder = this.#run.file('state');
    if (!existsSync(folder)) return 0;
    return readdirSync(folder).reduce(
      (most, file) => Math.max(most, Number(new RegExp(`^${track}-(\\d+)\\.json$`).exec(file)?.[1] ?? 0)),
      0,
    );
  }
}
