/**
 * Writes that either happen or leave what was there: write beside, fsync, rename, fsync the folder. A process killed at any
 * moment leaves the old content or the new one, and at worst a `.tmp-<pid>` beside it, which `--resume` removes.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { StorageError } from './errors.ts';

const refusals: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full; free space',
  EDQUOT: 'the disk quota is used up; free space',
  EFBIG: 'the file is larger than the process may write; raise ulimit -f',
  EROFS: 'the disk is read-only; choose another output_dir',
  ENOTDIR: 'a file stands where a folder is needed; choose another output_dir',
  EEXIST: 'a file stands where a folder is needed; choose another output_dir',
  EACCES: 'no permission to write; choose another output_dir',
};

/** A StorageError for what the disk refused, saying what to do; any other error as it is. */
export function asStorageError(error: unknown, path: string): unknown {
  const code = (error as NodeJS.ErrnoException).code ?? '';
  if (!(code in refusals)) return error;
  return new StorageError(`cannot write ${path}: ${refusals[code]}, then go on with --resume. What was written before is intact.`);
}

function fsyncPath(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function writeAll(path: string, bytes: Uint8Array): void {
  const fd = openSync(path, 'w');
  try {
    for (let offset = 0; offset < bytes.length; ) offset += writeSync(fd, bytes, offset);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Replaces one file.
 * @throws StorageError when the disk refuses (full, quota, read-only, no permission); the old file is intact.
 */
export function writeFileAtomic(path: string, content: string | Uint8Array): void {
  const beside = `${path}.tmp-${process.pid}`;
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeAll(beside, typeof content === 'string' ? new TextEncoder().encode(content) : content);
    renameSync(beside, path);
    fsyncPath(dirname(path));
  } catch (error) {
    rmSync(beside, { force: true });
    throw asStorageError(error, path);
  }
}

function fsyncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) fsyncTree(path);
    else fsyncPath(path);
  }
  fsyncPath(folder);
}

/**
 * Makes one folder of several files appear at once, e.g. a checkpoint: `fill` writes into a folder beside, which is then renamed.
 * An older folder of that name is moved aside first and removed last; {@link recoverDirectory} mends a kill between the two renames.
 * @throws StorageError when the disk refuses; the old folder is intact.
 */
export async function writeDirectoryAtomic(folder: string, fill: (beside: string) => void | Promise<void>): Promise<void> {
  // Without a slash at the end, behind which `beside` and `old` would lie inside.
  const path = resolve(folder);
  const beside = `${path}.tmp-${process.pid}`;
  const old = `${path}.old`;
  try {
    recoverDirectory(path);
    rmSync(beside, { recursive: true, force: true });
    mkdirSync(beside, { recursive: true });
    await fill(beside);
    fsyncTree(beside);
    if (existsSync(path)) renameSync(path, old);
    renameSync(beside, path);
    fsyncPath(dirname(path));
    rmSync(old, { recursive: true, force: true });
  } catch (error) {
    rmSync(beside, { recursive: true, force: true });
    recoverDirectory(path);
    throw asStorageError(error, path);
  }
}

/** Removes what killed processes left unfinished below a folder that nobody else writes to. */
export function removeUnfinished(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true }) as string[]) {
    if (/\.tmp-\d+$/.test(name)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** Puts back `<path>.old` when the process died after moving it aside; removes it when the new folder is there. */
export function recoverDirectory(path: string): void {
  const old = `${path}.old`;
  if (!existsSync(old)) return;
  if (existsSync(path) && statSync(path).isDirectory()) rmSync(old, { recursive: true });
  else renameSync(old, path);
}
