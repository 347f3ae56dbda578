/**
 * icu/chartevents, some 400 million rows in MIMIC-IV: read part by part, of which the cache keeps the last value of each (stay, day, variable)
 * and how far the file is read. A killed load goes on behind the last whole part; memory does not grow with the file. (Node only.)
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import type { DuckDBConnection } from '@duckdb/node-api';
import { createProgress } from '../util/progress.ts';
import { DataError } from './errors.ts';
import { type Columns, csvError, csvTable, type Source, shortName, type TextPart, text, textParts } from './mimic_csv.ts';
import { type Conversion, MIMIC_VARIABLES } from './mimic_items.ts';

/** The columns that are used. */
export const CHART_COLUMNS = {
  stay_id: 'INTEGER',
  charttime: 'TIMESTAMP',
  storetime: 'TIMESTAMP',
  itemid: 'INTEGER',
  value: 'VARCHAR',
  valuenum: 'DOUBLE',
} as const satisfies Columns;

/** Text of a part: what a kill costs at most, and what a load needs on disk beside the cache. */
export const PART_BYTES = 32 << 20;

/** What can be wrong with a chart row, in the order it is looked at; 0 = kept. */
export const CHART_RULES = [
  'kept',
  'not one of the 17 variables',
  'no number',
  'of no ICU stay in icustays',
  'charted outside its ICU stay',
  'stored after the end of its ICU stay',
  'outside the bounds of its variable',
] as const;

const CONVERT: Readonly<Record<Conversion, string>> = {
  none: 'valuenum',
  fahrenheit: '(valuenum - 32) * 5 / 9',
  pound: 'valuenum * 0.45359237',
  inch: 'valuenum * 2.54',
  percent: 'CASE WHEN valuenum > 1 THEN valuenum / 100 ELSE valuenum END',
  refill: `CASE WHEN value ILIKE 'normal%' OR value ILIKE 'brisk%' THEN 0 WHEN value ILIKE 'abnormal%' OR value ILIKE 'delayed%' THEN 1 END`,
};

/** Variables and conversions as a table: (itemid, variable, place among its items, conversion, low, high, whole numbers only). */
function itemTable(): string {
  const rows = MIMIC_VARIABLES.flatMap(({ feature, items, low, high }, v) =>
    items.map(({ id, conversion }, i) => `(${id}, ${v}, ${i}, ${text(conversion)}, ${low}, ${high}, ${feature.levels !== undefined})`),
  );
  return `SELECT * FROM (VALUES ${rows.join(', ')}) AS items(itemid, variable, place, conversion, low, high, whole)`;
}

/**
 * Rows of one part: those kept end in one row per (stay, day, variable) with the last value of the day; the others are counted by rule. The last
 * value is the one charted last; of equals the one stored last, then the item listed first, then the larger value. A row is known from the
 * moment it is stored, so one stored after the stay is not used; its day is the day it was charted for.
 */
function partQuery(rows: string): string {
  const convert = (Object.keys(CONVERT) as Conversion[]).map((name) => `WHEN conversion = ${text(name)} THEN ${CONVERT[name]}`).join(' ');
  return `
    WITH rows AS (
      SELECT variable, stay.stay_id AS stay_id, charttime, coalesce(storetime, charttime) AS stored, place, low, high, whole, intime, outtime,
        round(CASE ${convert} END, 4) AS v
      FROM ${rows} AS chart
      LEFT JOIN items USING (itemid)
      LEFT JOIN stay ON stay.stay_id = chart.stay_id
    ), judged AS (
      SELECT *, CASE
        WHEN variable IS NULL THEN 1
        WHEN v IS NULL OR charttime IS NULL THEN 2
        WHEN stay_id IS NULL THEN 3
        WHEN charttime < intime OR charttime > outtime OR outtime IS NULL THEN 4
        WHEN stored > outtime THEN 5
        WHEN v < low OR v > high OR (whole AND v <> round(v)) THEN 6
        ELSE 0 END AS rule
      FROM rows
    )
    SELECT rule::UTINYINT AS rule, CASE WHEN rule = 0 THEN stay_id END AS stay_id, CASE WHEN rule = 0 THEN charttime::DATE END AS day,
      CASE WHEN rule = 0 THEN variable END::UTINYINT AS variable,
      max(CASE WHEN rule = 0 THEN {'charted': charttime, 'stored': stored, 'place': -place, 'value': v} END) AS latest,
      count(*) AS n, count(*) FILTER (stored < charttime) AS early
    FROM judged GROUP BY 1, 2, 3, 4`;
}

/** A chart without rows: what the query makes of it has the columns of chart_parts. */
const NO_ROWS = `(SELECT ${Object.entries(CHART_COLUMNS)
  .map(([name, type]) => `NULL::${type} AS ${name}`)
  .join(', ')} WHERE false)`;

/** All parts as one; a day can reach over the end of a part. */
const JOIN_PARTS = `SELECT rule, stay_id, day, variable, max(latest).value AS value, sum(n)::BIGINT AS n, sum(early)::BIGINT AS early
  FROM chart_parts GROUP BY 1, 2, 3, 4`;

/**
 * Makes the table chartevents (rule, stay_id, day, variable, value, n, early) from the file, behind whatever an earlier load has kept of it.
 * @param cache the database's own file; the part at work lies beside it
 * @throws DataError naming file, column and row; nothing of the chart is then kept
 */
export async function loadChart(connection: DuckDBConnection, source: Source, cache: string, partBytes: number): Promise<void> {
  await connection.run(`CREATE TEMP TABLE items AS ${itemTable()}`);
  await connection.run(
    'CREATE TEMP TABLE stay AS SELECT stay_id::INTEGER AS stay_id, intime::TIMESTAMP AS intime, outtime::TIMESTAMP AS outtime FROM icustays',
  );
  await connection.run('CREATE TABLE IF NOT EXISTS chart_read AS SELECT 0::BIGINT AS text_bytes, 0::BIGINT AS rows');
  await connection.run(`CREATE TABLE IF NOT EXISTS chart_parts AS ${partQuery(NO_ROWS)}`);
  let { from, rows } = await placeOf(connection);
  const bar = createProgress({ label: 'read chartevents', total: 100 });
  bar.update(0, from === 0 ? '' : `going on after ${rows} rows`);
  const parts = textParts(source, from, partBytes);
  const take = () => {
    const next = parts.next();
    // It may fail while the part before it is still at work; whoever awaits it hears of it.
    next.catch(() => undefined);
    return next;
  };
  let file = '';
  try {
    for (let next = take(); ; ) {
      const { value: part, done } = await next;
      if (done === true) break;
      file = `${cache}.${from}.csv`;
      writePart(file, part);
      next = take(); // unpacked while DuckDB reads this one
      const [isFirst, before] = [from === 0, rows];
      const select = partQuery(csvTable(file, source.header, CHART_COLUMNS, { header: isFirst }));
      await inTransaction(connection, async () => {
        await connection.run(`CREATE OR REPLACE TEMP TABLE part AS ${select}`);
        await connection.run('INSERT INTO chart_parts SELECT * FROM part');
        await connection.run(`UPDATE chart_read SET text_bytes = ${part.end}, rows = rows + (SELECT coalesce(sum(n), 0) FROM part)`);
      }).catch(async (error: Error) => {
        // A damaged file is named as such, whatever the reader made of its text.
        for (let rest = await next; rest.done !== true; ) rest = await parts.next();
        throw csvError(error, source.path, isFirst ? 0 : before + 1);
      });
      rmSync(file);
      ({ from, rows } = await placeOf(connection));
      bar.update(Math.min(99, Math.floor(100 * part.share)), `${rows} rows`);
    }
    await inTransaction(connection, async () => {
      await connection.run(`CREATE TABLE chartevents AS ${JOIN_PARTS}`);
      await checkChart(connection, source);
      await forget(connection);
    });
    await connection.run('CHECKPOINT');
    bar.update(100, `${rows} rows`);
  } catch (error) {
    // Of a wrong file nothing is kept; after a full disk what was read is.
    if (error instanceof DataError) await forget(connection);
    throw error;
  } finally {
    await parts.return(undefined);
    bar.stop();
    rmSync(file, { force: true });
  }
}

/** How far the file is read: bytes of its text, and rows without the header. */
async function placeOf(connection: DuckDBConnection): Promise<{ from: number; rows: number }> {
  const [place] = (await connection.runAndReadAll('SELECT text_bytes::DOUBLE, rows::DOUBLE FROM chart_read')).getRowsJS();
  return { from: place[0] as number, rows: place[1] as number };
}

async function forget(connection: DuckDBConnection): Promise<void> {
  await connection.run('DROP TABLE IF EXISTS chart_parts');
  await connection.run('DROP TABLE IF EXISTS chart_read');
}

/** All of it or nothing. */
export async function inTransaction(connection: DuckDBConnection, work: () => Promise<void>): Promise<void> {
  await connection.run('BEGIN TRANSACTION');
  try {
    await work();
    await connection.run('COMMIT');
  } catch (error) {
    await connection.run('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

function writePart(path: string, { blocks }: TextPart): void {
  const fd = openSync(path, 'w');
  try {
    for (const block of blocks) for (let at = 0; at < block.length; ) at += writeSync(fd, block, at);
  } finally {
    closeSync(fd);
  }
}

async function checkChart(connection: DuckDBConnection, { path }: Source): Promise<void> {
  const [[rows, kept, early]] = (
    await connection.runAndReadAll(
      'SELECT coalesce(sum(n), 0)::DOUBLE, coalesce(sum(n) FILTER (rule = 0), 0)::DOUBLE, coalesce(sum(early) FILTER (rule = 0), 0)::DOUBLE FROM chartevents',
    )
  ).getRowsJS() as number[][];
  const file = shortName(path);
  if (rows === 0) throw new DataError(`${file}: no rows below the header`);
  if (kept === 0) {
    throw new DataError(
      `${file}: none of ${rows} rows belongs to a stay of icu/icustays and one of the 17 variables; is a column swapped, or are the files of two releases?`,
    );
  }
  if (early > kept / 2) {
    throw new DataError(`${file}, column storetime: before charttime in ${early} of ${kept} rows; the two columns seem to be swapped`);
  }
}
