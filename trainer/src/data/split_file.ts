/** Reads a file of split ids from disk (Node only): {"train": [ids], "val": [ids], "test": [ids]}. */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { z } from 'zod';
import { DataError } from './errors.ts';
import type { SplitIds } from './tjh.ts';

const ids = z.array(z.union([z.number().int(), z.string()])).transform((list) => list.map(String));
const splitFile = z.object({ train: ids, val: ids, test: ids });

/** The bytes of a file. @throws DataError when it cannot be read; `what` it is, for the message. */
export async function readBytes(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DataError(`${path}: cannot read ${what} (${(error as NodeJS.ErrnoException).code}); check the path`);
  }
}

/** Ids of train, val and test from a JSON file. @throws DataError when it is missing or of another form */
export async function readSplits(path: string): Promise<SplitIds> {
  const text = (await readBytes(path, 'the split file')).toString('utf8');
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new DataError(`${basename(path)}: not JSON; expected {"train": [ids], "val": [ids], "test": [ids]}`);
  }
  const parsed = splitFile.safeParse(json);
  if (!parsed.success) {
    const { path: where, message } = parsed.error.issues[0];
    throw new DataError(`${basename(path)}: at "${where.join('.')}": ${message}; expected {"train": [ids], "val": [ids], "test": [ids]}`);
  }
  return parsed.data;
}
