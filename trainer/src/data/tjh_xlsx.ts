/** Reads the TJH spreadsheet and its split file from disk (Node only). */

import { readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import readXlsxFile from 'read-excel-file/node';
import { z } from 'zod';
import type { Cohort } from '../types.ts';
import { DataError } from './errors.ts';
import { type Cell, type FlowRow, type SplitIds, tjhCohort } from './tjh.ts';

const ids = z.array(z.union([z.number().int(), z.string()])).transform((list) => list.map(String));
const splitFile = z.object({ train: ids, val: ids, test: ids });

async function readBytes(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DataError(`${path}: cannot read ${what} (${(error as NodeJS.ErrnoException).code}); check the path`);
  }
}

async function readSplits(path: string): Promise<SplitIds> {
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

/**
 * Loads TJH by the published protocol: 361 patients, split 140/21/200 (with `minVisits: 2` 125/20/178).
 * @param path the xlsx file
 * @param splitPath JSON with patient ids: {train, val, test}
 * @throws DataError for a missing or damaged file, wrong sheet or columns, a non-number in a lab, bad splits
 */
export async function loadTjh({
  path,
  splitPath,
  minVisits = 1,
}: {
  path: string;
  splitPath: string;
  minVisits?: 1 | 2;
}): Promise<{ cohort: Cohort; flow: FlowRow[] }> {
  const bytes = await readBytes(path, 'the TJH spreadsheet');
  const splits = await readSplits(splitPath);
  const file = basename(path);
  let sheets: { sheet: string; data: unknown[][] }[];
  try {
    // trim: false keeps the column names exactly as in the source.
    sheets = (await readXlsxFile(bytes, { trim: false })) as { sheet: string; data: unknown[][] }[];
  } catch (error) {
    throw new DataError(`${file}: not a readable xlsx file (${(error as Error).message}); expected the TJH spreadsheet`);
  }
  const table = sheets.find(({ data }) => data[0]?.some((cell) => typeof cell === 'string' && cell.trim() === 'PATIENT_ID'));
  if (table === undefined) {
    const names = sheets.map(({ sheet }) => `"${sheet}"`).join(', ');
    throw new DataError(`${file}: no sheet has a column PATIENT_ID in row 1 (sheets: ${names}); expected the TJH spreadsheet`);
  }
  return tjhCohort({ file, sheet: table.sheet, rows: table.data as Cell[][] }, splits, { minVisits, splitSource: basename(splitPath) });
}
