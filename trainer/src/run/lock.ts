/**
 * One process per run folder: `.lock` names its owner. A lock whose owner is dead (kill -9, a restarted machine) is taken over.
 */
import { existsSync, linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ConfigError } from '../util/errors.ts';

interface Owner {
  readonly pid: number;
  readonly host: string;
  /** Start time of the process in clock ticks since boot (Linux), so that a reused pid is no living owner; null elsewhere. */
  readonly started: string | null;
}

function startTime(pid: number): string | null {
  try {
    // /proc/<pid>/stat, field 22; the name in field 2 may hold spaces, so count from the last parenthesis.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}

/** An owner on another machine cannot be looked at, so it counts as living. */
function isAlive(owner: Owner): boolean {
  if (owner.host !== hostname()) return true;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  return owner.started === null || startTime(owner.pid) === owner.started;
}

function read(path: string): { text: string; owner: Owner | null } {
  const text = readFileSync(path, 'utf8');
  try {
    const owner = JSON.parse(text) as Owner;
    return { text, owner: Number.isInteger(owner.pid) ? owner : null };
  } catch {
    return { text, owner: null }; // killed between creating and writing the lock
  }
}

/**
 * Takes the lock of a folder that exists; the returned function gives it back.
 * @throws ConfigError when a living process holds it.
 */
export function takeLock(folder: string): () => void {
  const path = join(folder, '.lock');
  const mine = JSON.stringify({ pid: process.pid, host: hostname(), started: startTime(process.pid) } satisfies Owner);
  for (;;) {
    const beside = `${path}.${process.pid}`;
    try {
      // link() fails when the lock exists, and the lock is never seen half-written.
      writeFileSync(beside, mine);
      linkSync(beside, path);
      return () => {
        if (existsSync(path) && read(path).text === mine) unlinkSync(path);
      };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(beside, { force: true });
    }
    const { text, owner } = read(path);
    if (owner !== null && isAlive(owner)) {
      throw new ConfigError(
        `run folder ${folder} is in use by process ${owner.pid}${owner.host === hostname() ? '' : ` on ${owner.host}`}; ` +
          'wait for it, or choose another --run-name',
      );
    }
    // Move the dead lock aside; when another process replaced it in between, give that one back and look again.
    const dead = `${path}.dead.${process.pid}`;
    try {
      renameSync(path, dead);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue;
      throw error;
    }
    if (read(dead).text !== text) linkSync(dead, path);
    unlinkSync(dead);
  }
}
