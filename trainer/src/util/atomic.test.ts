/**
 * Plan: what is at the path after a write that succeeds, a disk that fills up half-way, and a kill between two renames.
 *   The full disk is a mocked writeSync that throws ENOSPC after `room` bytes; everything else is the real file system.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { recoverDirectory, writeDirectoryAtomic, writeFileAtomic } from './atomic.ts';
import { StorageError } from './errors.ts';

const disk = vi.hoisted(() => ({ room: Number.POSITIVE_INFINITY }));
vi.mock('node:fs', async (load) => {
  const fs = await load<typeof import('node:fs')>();
  return {
    ...fs,
    writeSync: (fd: number, bytes: Uint8Array, offset: number) => {
      if (disk.room <= 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      const written = fs.writeSync(fd, bytes, offset, Math.min(bytes.length - offset, disk.room));
      disk.room -= written;
      return written;
    },
  };
});
afterEach(() => {
  disk.room = Number.POSITIVE_INFINITY;
});

const folder = mkdtempSync(join(tmpdir(), 'eagrl-atomic-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('writeFileAtomic', () => {
  it('creates folders, replaces, leaves nothing beside', () => {
    const path = join(folder, 'a', 'b', 'state.json');
    writeFileAtomic(path, 'one');
    writeFileAtomic(path, new Uint8Array([116, 119, 111]));
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(readdirSync(join(folder, 'a', 'b'))).toEqual(['state.json']);
  });
  it('a full disk: says so and what to do, keeps the old file, leaves nothing beside', () => {
    const path = join(folder, 'c', 'state.json');
    writeFileAtomic(path, 'old');
    disk.room = 3;
    expect(() => writeFileAtomic(path, 'new and longer')).toThrow(StorageError);
    disk.room = 3;
    expect(() => writeFileAtomic(path, 'new and longer')).toThrow('the disk is full; free space, then go on with --resume');
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(readdirSync(join(folder, 'c'))).toEqual(['state.json']);
  });
});

describe('writeDirectoryAtomic', () => {
  const path = join(folder, 'checkpoint-1');
  it('replaces a folder as a whole', async () => {
    await writeDirectoryAtomic(path, (beside) => writeFileSync(join(beside, 'weights'), 'old'));
    await writeDirectoryAtomic(path, (beside) => writeFileSync(join(beside, 'weights'), 'new'));
    expect(readFileSync(join(path, 'weights'), 'utf8')).toBe('new');
    expect(readdirSync(folder).filter((name) => name.startsWith('checkpoint-1'))).toEqual(['checkpoint-1']);
  });
  it.each(['slash', 'there'])('a path that ends in a slash, folder %s: the same', async (name) => {
    const parent = join(folder, 'slashes', name);
    const target = join(parent, 'out');
    if (name === 'there') mkdirSync(target, { recursive: true });
    await writeDirectoryAtomic(`${target}/`, (beside) => writeFileSync(join(beside, 'weights'), 'new'));
    expect(readFileSync(join(target, 'weights'), 'utf8')).toBe('new');
    expect(readdirSync(parent)).toEqual(['out']);
    expect(readdirSync(target)).toEqual(['weights']);
  });
  it('a fill that fails leaves the old folder', async () => {
    const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
    await expect(
      writeDirectoryAtomic(path, () => {
        throw full;
      }),
    ).rejects.toThrow(StorageError);
    expect(readFileSync(join(path, 'weights'), 'utf8')).toBe('new');
  });
  it('a kill after the old folder was moved aside: it is put back', () => {
    renameSync(path, `${path}.old`);
    recoverDirectory(path);
    expect(readFileSync(join(path, 'weights'), 'utf8')).toBe('new');
  });
  it('a kill before the old folder was removed: the new one stays', () => {
    mkdirSync(`${path}.old`);
    recoverDirectory(path);
    expect(existsSync(`${path}.old`)).toBe(false);
    expect(readFileSync(join(path, 'weights'), 'utf8')).toBe('new');
  });
});
