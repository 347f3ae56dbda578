/** Reads the TJH spreadsheet and its split file from disk (Node only). */

import { basename } from 'node:path';
import readXlsxFile from 'read-excel-file/node';
import { DataError } from './errors.ts';
import { readBytes, readSplits } from './split_file.ts';
import { type Cell, type TjhCohort, tjhCohort } from './tjh.ts';

/**
 * Loads TJH by the published protocol: 361 patients, split 140/21/200 (with `minVisits: 2` 125/20/178).
 * @param path the xlsx file
 * @param splitPath JSON with patient ids: {train, val, test}
 * @param horizonDays only days at least so many before discharge or death; null = all, the protocol
 * @throws DataError for a missing or damaged file, wrong sheet or columns, a non-number in a lab, bad splits
 */
export async function loadTjh({
  path,
  splitPath,
  minVisits = 1,
  horizonDays = null,
}: {
  path: string;
  splitPath: string;
  minVisits?: 1 | 2;
  horizonDays?: number | null;
}): Promise<TjhCohort> {
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
  return tjhCohort({ file, sheet: table.sheet, rows: table.data as Cell[][] }, splits, {
    minVisits,
    horizonDays,
    splitSource: basename(splitPath),
  });
}
