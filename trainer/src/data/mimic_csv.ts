/**
 * CSV files of a MIMIC-IV folder, plain or gzip: how DuckDB is told to read them, how what it says becomes a message without values, and
 * how a large one is cut into parts (Node only).
 */
import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { DataError } from './errors.ts';

export type ColumnType = 'INTEGER' | 'DOUBLE' | 'TIMESTAMP' | 'VARCHAR';
export type Columns = Readonly<Record<string, ColumnType>>;

/** One file of the folder. */
export interface Source {
  readonly path: string;
  readonly gzip: boolean;
  /** Every column of the header, in its order. */
  readonly header: readonly string[];
}

/** DuckDB's own limit; with Node's part a load stays under 4 GB. */
export const MEMORY_LIMIT = '2GB';

/** `icu/chartevents.csv.gz`. */
export const shortName = (path: string): string => `${basename(join(path, '..'))}/${basename(path)}`;

/** An SQL string. */
export const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;

/** A table function that reads a file of these columns, all of them typed; unused ones stay text. */
export function csvTable(path: string, columns: readonly string[], types: Columns, { header }: { readonly header: boolean }): string {
  const typed = columns.map((name) => `${text(name)}: '${types[name] ?? 'VARCHAR'}'`).join(', ');
  return `read_csv(${text(path)}, columns = {${typed}}, header = ${header}, auto_detect = false, delim = ',', quote = '"', escape = '"')`;
}

/** What a cell of each type should be. */
export const WORDS: Readonly<Record<string, string>> = {
  INTEGER: 'a whole number',
  DOUBLE: 'a number',
  TIMESTAMP: 'a date and time, YYYY-MM-DD HH:MM:SS',
};

/** DuckDB's words about `path` without the line of the file it quotes. @param rowsBefore lines of the file that stand before what was read */
export function csvError(error: Error, path: string, rowsBefore = 0): Error {
  const file = shortName(path);
  const line = /CSV Error on Line: (\d+)/.exec(error.message)?.[1];
  const row = Number(line) + rowsBefore;
  const column = /Error when converting column "([^"]+)"/.exec(error.message)?.[1];
  const type = /to '(\w+)'/.exec(error.message)?.[1];
  if (line !== undefined && column !== undefined) {
    return new DataError(
      `${file}, column ${column}, row ${row}: expected ${WORDS[type ?? ''] ?? 'another kind of value'}, got something else`,
    );
  }
  if (line !== undefined) return new DataError(`${file}, row ${row}: expected as many cells as the header has, or quotes that close`);
  if (/Out of Memory/i.test(error.message))
    return new DataError(`${file}: the memory limit of ${MEMORY_LIMIT} does not suffice; free disk for temporary files`);
  if (/GZIP/i.test(error.message)) return new DataError(`${file}: not a gzip file; copy it again`);
  return error;
}

function asDamage(error: unknown, path: string): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'Z_BUF_ERROR') return new DataError(`${shortName(path)}: the compressed file is cut; copy it again`);
  return new DataError(`${shortName(path)}: the compressed file is damaged (${message}); copy it again`);
}

const cutPlain = (path: string): Error => new DataError(`${shortName(path)}: the last line does not end; the file is cut, copy it again`);

/**
 * A cut or damaged file, which a CSV reader takes for a short one. gzip: the whole stream with its checksum. Plain: the last line must end,
 * so a file cut between two lines goes unseen.
 */
export async function checkWhole({ path, gzip }: Source): Promise<void> {
  if (!gzip) {
    const { size } = statSync(path);
    const last = Buffer.alloc(1);
    const fd = openSync(path, 'r');
    readSync(fd, last, 0, 1, Math.max(0, size - 1));
    closeSync(fd);
    if (last[0] !== NEWLINE) throw cutPlain(path);
    return;
  }
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    await pipeline(createReadStream(path, { highWaterMark: BLOCK }), createGunzip({ chunkSize: BLOCK }), nowhere);
  } catch (error) {
    throw asDamage(error, path);
  }
}

// ---------------------------------------------------------------- parts

/** Whole lines of a file, in its order. */
export interface TextPart {
  readonly blocks: readonly Buffer[];
  /** Bytes of text up to the end of the part. */
  readonly end: number;
  /** Share of the file that is read by now, 0..1. */
  readonly share: number;
}

const BLOCK = 1 << 20;
const NEWLINE = 0x0a;
const QUOTE = 0x22;
/** A quoted cell may hold line breaks, not this many parts of them. */
const LONGEST = 4;

/**
 * The lines of a file after its first `from` bytes of text, about `partBytes` at a time; memory holds one part. To the end of the last part it
 * has seen the whole file, with the checksum of a compressed one.
 * @throws DataError where the file is cut or damaged
 */
export async function* textParts({ path, gzip }: Source, from: number, partBytes: number): AsyncGenerator<TextPart> {
  const { size: fileBytes } = statSync(path);
  const blockBytes = Math.min(BLOCK, partBytes);
  const file = createReadStream(path, { highWaterMark: blockBytes, start: gzip ? 0 : from });
  const unpacked = gzip ? createGunzip({ chunkSize: blockBytes }) : null;
  if (unpacked !== null) file.on('error', (error) => unpacked.destroy(error)).pipe(unpacked);
  let skip = gzip ? from : 0;
  let end = from;
  let blocks: Buffer[] = [];
  let held = 0;
  /** Whether what is held ends inside quotes. */
  let quoted = false;
  const part = (): TextPart => {
    end += held;
    const made = { blocks, end, share: fileBytes === 0 ? 1 : (file.bytesRead + (gzip ? 0 : from)) / fileBytes };
    [blocks, held] = [[], 0];
    return made;
  };
  const hold = (block: Buffer): void => {
    if (block.length === 0) return;
    blocks.push(block);
    held += block.length;
  };
  try {
    for await (const block of (unpacked ?? file) as AsyncIterable<Buffer>) {
      const fresh = block.subarray(Math.min(skip, block.length));
      skip -= block.length - fresh.length;
      const cut = held + fresh.length < partBytes ? 0 : lineEnd(fresh, quoted);
      quoted = quoted !== hasOddQuotes(fresh);
      hold(fresh.subarray(0, cut));
      if (cut > 0) yield part();
      hold(fresh.subarray(cut));
      if (held > LONGEST * partBytes) throw new DataError(`${shortName(path)}: a quote does not close within ${held} characters`);
    }
  } catch (error) {
    throw error instanceof DataError ? error : asDamage(error, path);
  } finally {
    file.destroy();
    unpacked?.destroy();
  }
  if (held === 0) return;
  if (!gzip && blocks[blocks.length - 1].at(-1) !== NEWLINE) throw cutPlain(path);
  yield part();
}

/** Just behind the last line break that no quotes enclose; 0 when there is none. */
function lineEnd(block: Buffer, quoted: boolean): number {
  for (let at = block.lastIndexOf(NEWLINE); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(NEWLINE, at - 1)) {
    if (quoted === hasOddQuotes(block.subarray(0, at))) return at + 1;
  }
  return 0;
}

function hasOddQuotes(block: Buffer): boolean {
  let odd = false;
  for (let at = block.indexOf(QUOTE); at >= 0; at = block.indexOf(QUOTE, at + 1)) odd = !odd;
  return odd;
}
