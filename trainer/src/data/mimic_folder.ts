/**
 * Reads a MIMIC-IV folder from disk (Node only): hosp/ and icu/ as PhysioNet ships them, 2.2 or 3.1, .csv or .csv.gz.
 *
 * DuckDB reads each table once and keeps of the chart the last value of each (stay, day, variable): millions of rows become some thousand.
 * They go into a cache file, one transaction per table, so that a second run starts at once and a killed one goes on after the last whole
 * table. The cache holds patient data and stays where it is put.
 */
import { createHash } from 'node:crypto';
import { closeSync, createReadStream, existsSync, mkdirSync, openSync, readdirSync, readSync, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import type { DuckDBConnection } from '@duckdb/node-api';
import { ConfigError } from '../util/errors.ts';
import { createProgress } from '../util/progress.ts';
import { DataError } from './errors.ts';
import type { DailyValues, MimicAdmission, MimicPatient, MimicStay, MimicTables } from './mimic.ts';
import { type Conversion, MIMIC_VARIABLES } from './mimic_items.ts';

/** DuckDB's own limit; with Node's part a load stays under 4 GB. */
const MEMORY_LIMIT = '2GB';
/** Raise it when what the cache holds changes its meaning. */
const CACHE_VERSION = 1;

type ColumnType = 'INTEGER' | 'DOUBLE' | 'TIMESTAMP' | 'VARCHAR';
type Columns = Readonly<Record<string, ColumnType>>;

/** The tables that are read and the columns that are used; others may be there. */
const TABLES = {
  patients: {
    file: 'hosp/patients',
    columns: { subject_id: 'INTEGER', gender: 'VARCHAR', anchor_age: 'INTEGER', anchor_year: 'INTEGER', dod: 'TIMESTAMP' },
  },
  admissions: {
    file: 'hosp/admissions',
    columns: {
      subject_id: 'INTEGER',
      hadm_id: 'INTEGER',
      admittime: 'TIMESTAMP',
      dischtime: 'TIMESTAMP',
      deathtime: 'TIMESTAMP',
      hospital_expire_flag: 'INTEGER',
    },
  },
  icustays: {
    file: 'icu/icustays',
    columns: { subject_id: 'INTEGER', hadm_id: 'INTEGER', stay_id: 'INTEGER', intime: 'TIMESTAMP', outtime: 'TIMESTAMP' },
  },
  chartevents: {
    file: 'icu/chartevents',
    columns: {
      stay_id: 'INTEGER',
      charttime: 'TIMESTAMP',
      storetime: 'TIMESTAMP',
      itemid: 'INTEGER',
      value: 'VARCHAR',
      valuenum: 'DOUBLE',
    },
  },
} as const satisfies Readonly<Record<string, { readonly file: string; readonly columns: Columns }>>;
type TableName = keyof typeof TABLES;
const TABLE_NAMES = Object.keys(TABLES) as TableName[];

/** One file of the folder. */
interface Source {
  readonly path: string;
  readonly gzip: boolean;
  /** Every column of the header, in its order. */
  readonly header: readonly string[];
}

export interface MimicFolderOptions {
  /** The folder that has hosp/ and icu/, or one folder above it. */
  readonly path: string;
  /** Where the cache file goes. */
  readonly cacheFolder: string;
}

/**
 * Reads the four tables a cohort is made of.
 * @throws ConfigError for a wrong folder, a missing file or column, before any table is read; DataError naming file, column and row of
 * what cannot be read, a damaged or cut file, an id that occurs twice. Messages hold no values.
 */
export async function readMimicFolder({ path, cacheFolder }: MimicFolderOptions): Promise<MimicTables> {
  const root = findRoot(path);
  const sources = {} as Record<TableName, Source>;
  for (const name of TABLE_NAMES) sources[name] = await findSource(root, name);
  mkdirSync(cacheFolder, { recursive: true });
  const cache = join(cacheFolder, `mimic4-${cacheKey(sources)}.duckdb`);
  const { DuckDBInstance } = await import('@duckdb/node-api');
  const instance = await DuckDBInstance.create(cache, {
    memory_limit: MEMORY_LIMIT,
    // Nothing is ever fetched: what DuckDB needs here is built in.
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  }).catch((error: Error) => {
    if (/lock/i.test(error.message)) throw new ConfigError(`${cache}: another process is reading this folder; wait for it, or stop it`);
    throw new ConfigError(`${cache}: the cache cannot be opened; delete it and start again`);
  });
  try {
    const connection = await instance.connect();
    try {
      await connection.run('SET enable_progress_bar = true; SET enable_progress_bar_print = false');
      // A table, not a list in the query: DuckDB reports no progress of a join with a list.
      await connection.run(`CREATE TEMP TABLE items AS ${itemTable()}`);
      for (const name of TABLE_NAMES) await loadTable(connection, name, sources[name]);
      return await readTables(connection);
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

// ---------------------------------------------------------------- files

const isRoot = (path: string): boolean => existsSync(join(path, 'hosp')) && existsSync(join(path, 'icu'));

/** The folder itself, or the only folder in it that has hosp/ and icu/ (archives unpack to mimic-iv-3.1/ and the like). */
function findRoot(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new ConfigError(`data.path: no folder ${path}; expected the MIMIC-IV folder that has hosp/ and icu/`);
  }
  if (isRoot(path)) return path;
  const inside = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
  const roots = inside.map((entry) => join(path, entry.name)).filter(isRoot);
  if (roots.length === 1) return roots[0];
  const found = roots.length > 1 ? `${roots.length} such folders` : list(inside.map((entry) => `${entry.name}/`));
  throw new ConfigError(`data.path: expected the MIMIC-IV folder, with hosp/ and icu/ in it, at ${path}; found ${found}`);
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'nothing of the kind';
  return names.length > 8 ? `${names.slice(0, 8).join(', ')} and ${names.length - 8} more` : names.join(', ');
}

async function findSource(root: string, name: TableName): Promise<Source> {
  const { file, columns } = TABLES[name];
  const path = [`${file}.csv.gz`, `${file}.csv`].map((f) => join(root, f)).find((f) => existsSync(f));
  if (path === undefined) {
    const folder = file.split('/')[0];
    const found = readdirSync(join(root, folder)).sort();
    throw new ConfigError(`data.path: no ${file}.csv or ${file}.csv.gz in ${root}; ${folder}/ has ${list(found)}`);
  }
  const gzip = path.endsWith('.gz');
  const header = (await firstLine(path, gzip))
    .replace(/^\uFEFF/, '')
    .split(',')
    .map((column) => column.replace(/^"|"$/g, '').trim());
  const missing = Object.keys(columns).filter((column) => !header.includes(column));
  if (missing.length > 0) {
    throw new ConfigError(
      `${shortName(path)}: expected the columns ${missing.join(', ')} as well; found ${header.slice(0, 30).join(', ')}`,
    );
  }
  const twice = header.find((column, i) => header.indexOf(column) !== i);
  if (twice !== undefined) throw new ConfigError(`${shortName(path)}: column ${twice} occurs twice`);
  return { path, gzip, header };
}

/** `icu/chartevents.csv.gz`. */
const shortName = (path: string): string => `${basename(join(path, '..'))}/${basename(path)}`;

async function firstLine(path: string, gzip: boolean): Promise<string> {
  const file = createReadStream(path, { end: 1 << 16 });
  const stream = gzip ? file.pipe(createGunzip()) : file;
  try {
    for await (const line of createInterface({ input: stream })) return line;
  } catch {
    // Not gzip, or cut before its first line: refused below.
  } finally {
    file.destroy();
    stream.destroy();
  }
  throw new ConfigError(`${shortName(path)}: no header line; expected a ${gzip ? 'gzip-compressed ' : ''}CSV file of MIMIC-IV`);
}

function cacheKey(sources: Readonly<Record<TableName, Source>>): string {
  const files = TABLE_NAMES.map((name) => {
    const path = realpathSync(sources[name].path);
    const { size, mtimeMs } = statSync(path);
    return [path, size, mtimeMs];
  });
  return createHash('sha256')
    .update(JSON.stringify([CACHE_VERSION, files, MIMIC_VARIABLES]))
    .digest('hex')
    .slice(0, 16);
}

/**
 * A cut or damaged file, which a CSV reader takes for a short one. gzip: the whole stream with its checksum. Plain: the last line must end,
 * so a file cut between two lines goes unseen.
 */
async function checkWhole({ path, gzip }: Source, onRead: (bytes: number) => void): Promise<void> {
  if (!gzip) {
    const { size } = statSync(path);
    const last = Buffer.alloc(1);
    const fd = openSync(path, 'r');
    readSync(fd, last, 0, 1, Math.max(0, size - 1));
    closeSync(fd);
    if (last[0] !== 0x0a) throw new DataError(`${shortName(path)}: the last line does not end; the file is cut, copy it again`);
    return;
  }
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const file = createReadStream(path, { highWaterMark: 1 << 20 }).on('data', () => onRead(file.bytesRead));
  try {
    await pipeline(file, createGunzip({ chunkSize: 1 << 20 }), nowhere);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR') throw new DataError(`${shortName(path)}: the compressed file is cut; copy it again`);
    throw new DataError(`${shortName(path)}: the compressed file is damaged (${message}); copy it again`);
  }
}

// ---------------------------------------------------------------- loading

const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;

/** A table function that reads the file with all columns typed; unused ones stay text. */
function csv({ path, header }: Source, columns: Columns): string {
  const types = header.map((name) => `${text(name)}: '${columns[name] ?? 'VARCHAR'}'`).join(', ');
  return `read_csv(${text(path)}, columns = {${types}}, header = true, auto_detect = false, delim = ',', quote = '"', escape = '"')`;
}

const hasTable = async (connection: DuckDBConnection, name: string): Promise<boolean> =>
  (await connection.runAndReadAll(`SELECT 1 FROM duckdb_tables() WHERE table_name = ${text(name)}`)).currentRowCount > 0;

async function loadTable(connection: DuckDBConnection, name: TableName, source: Source): Promise<void> {
  if (await hasTable(connection, name)) return;
  const bar = createProgress({ label: `read ${name}`, total: 100 });
  bar.update(0);
  const { size } = statSync(source.path);
  let checked = 0;
  // DuckDB cannot say how far it is in a compressed file, so there the place of the check that runs beside it is shown, some way ahead.
  const watch = setInterval(() => {
    if (source.gzip) bar.update(Math.min(99, Math.floor((100 * checked) / size)), checked === size ? 'checked, still reading' : '');
    else bar.update(Math.min(99, Math.max(0, Math.floor(connection.progress.percentage))));
  }, 500);
  try {
    await connection.run('BEGIN TRANSACTION');
    try {
      const select =
        name === 'chartevents'
          ? chartQuery(source)
          : `SELECT row_number() OVER () + 1 AS line, ${columnList(name)} FROM ${csv(source, textColumns(name))}`;
      const whole = checkWhole(source, (bytes) => {
        checked = bytes;
      });
      const built = connection.run(`CREATE TABLE ${name} AS ${select}`).catch((error: Error) => {
        throw asDataError(error, source.path);
      });
      // A cut file is named as such, whatever the reader made of its end.
      const [check, read] = await Promise.allSettled([whole, built]);
      if (check.status === 'rejected') throw check.reason;
      if (read.status === 'rejected') throw read.reason;
      if (name === 'chartevents') await checkChart(connection, source);
      else await checkRows(connection, name, source);
      if (name === 'icustays') await checkStays(connection, source);
      await connection.run('COMMIT');
    } catch (error) {
      await connection.run('ROLLBACK').catch(() => undefined);
      throw error;
    }
    await connection.run('CHECKPOINT');
    bar.update(100);
  } finally {
    clearInterval(watch);
    bar.stop();
  }
}

const columnList = (name: TableName): string => Object.keys(TABLES[name].columns).join(', ');
const textColumns = (name: TableName): Columns =>
  Object.fromEntries(Object.keys(TABLES[name].columns).map((column) => [column, 'VARCHAR'] as const));

/** DuckDB's words without the line of the file it quotes. */
function asDataError(error: Error, path: string): Error {
  const file = shortName(path);
  const line = /CSV Error on Line: (\d+)/.exec(error.message)?.[1];
  const column = /Error when converting column "([^"]+)"/.exec(error.message)?.[1];
  const type = /to '(\w+)'/.exec(error.message)?.[1];
  if (line !== undefined && column !== undefined) {
    return new DataError(
      `${file}, column ${column}, row ${line}: expected ${WORDS[type ?? ''] ?? 'another kind of value'}, got something else`,
    );
  }
  if (line !== undefined) return new DataError(`${file}, row ${line}: expected as many cells as the header has, or quotes that close`);
  if (/Out of Memory/i.test(error.message))
    return new DataError(`${file}: the memory limit of ${MEMORY_LIMIT} does not suffice; free disk for temporary files`);
  if (/GZIP/i.test(error.message)) return new DataError(`${file}: not a gzip file; copy it again`);
  return error;
}

const WORDS: Readonly<Record<string, string>> = {
  INTEGER: 'a whole number',
  DOUBLE: 'a number',
  TIMESTAMP: 'a date and time, YYYY-MM-DD HH:MM:SS',
};

/** Cells that may be empty. */
const MAY_BE_EMPTY: readonly string[] = ['dod', 'dischtime', 'deathtime', 'outtime'];
const ALLOWED: Readonly<Record<string, readonly string[]>> = { gender: ['F', 'M'], hospital_expire_flag: ['0', '1'] };
const IDS: Readonly<Partial<Record<TableName, string>>> = { patients: 'subject_id', admissions: 'hadm_id', icustays: 'stay_id' };

/** The small tables: every cell that is used, each id once, known words only. */
async function checkRows(connection: DuckDBConnection, name: TableName, { path }: Source): Promise<void> {
  const first = async (where: string): Promise<number | null> => {
    const [row] = (await connection.runAndReadAll(`SELECT line FROM ${name} WHERE ${where} ORDER BY line LIMIT 1`)).getRowsJS();
    return row === undefined ? null : Number(row[0]);
  };
  const refuse = (column: string, line: number, message: string): never => {
    throw new DataError(`${shortName(path)}, column ${column}, row ${line}: ${message}`);
  };
  for (const [column, type] of Object.entries(TABLES[name].columns)) {
    const empty = MAY_BE_EMPTY.includes(column) ? null : await first(`${column} IS NULL`);
    if (empty !== null) refuse(column, empty, 'empty; expected a value');
    if (type === 'VARCHAR') continue;
    const wrong = await first(`${column} IS NOT NULL AND try_cast(${column} AS ${type}) IS NULL`);
    if (wrong !== null) refuse(column, wrong, `expected ${WORDS[type]}, got something else`);
  }
  for (const [column, words] of Object.entries(ALLOWED)) {
    if (!(column in TABLES[name].columns)) continue;
    const wrong = await first(`${column} NOT IN (${words.map(text).join(', ')})`);
    if (wrong !== null) refuse(column, wrong, `expected ${words.join(' or ')}, got something else`);
  }
  const id = IDS[name] as string;
  const [twice] = (
    await connection.runAndReadAll(
      `SELECT line, first FROM (SELECT line, min(line) OVER (PARTITION BY ${id}::INTEGER) AS first FROM ${name}) WHERE line > first ORDER BY line LIMIT 1`,
    )
  ).getRowsJS();
  if (twice !== undefined) refuse(id, Number(twice[0]), `this id is already in row ${twice[1]}`);
  const [rows] = (await connection.runAndReadAll(`SELECT count(*)::INTEGER FROM ${name}`)).getRowsJS();
  if (rows[0] === 0) throw new DataError(`${shortName(path)}: no rows below the header`);
}

/** Most stays belong to an admission of their patient: otherwise two columns are swapped, or the files are of two releases. */
async function checkStays(connection: DuckDBConnection, { path }: Source): Promise<void> {
  const rows = async (sql: string) => (await connection.runAndReadAll(sql)).getRowsJS();
  const lacking = (table: string, ...columns: readonly string[]) =>
    `FROM icustays WHERE NOT EXISTS (SELECT 1 FROM ${table} WHERE ${columns.map((c) => `${table}.${c}::INTEGER = icustays.${c}::INTEGER`).join(' AND ')})`;
  const [[all]] = await rows('SELECT count(*)::INTEGER FROM icustays');
  for (const [table, ...columns] of [
    ['patients', 'subject_id'],
    ['admissions', 'hadm_id'],
    ['admissions', 'subject_id', 'hadm_id'],
  ] as const) {
    const [[missing, line]] = await rows(`SELECT count(*)::INTEGER, min(line)::INTEGER ${lacking(table, ...columns)}`);
    if ((missing as number) > (all as number) / 2) {
      throw new DataError(
        `${shortName(path)}, column ${columns.join(' with ')}: ${missing} of ${all} rows, first row ${line}, are not in hosp/${table}; ` +
          'is a column swapped in one of the two, or are they of two releases?',
      );
    }
  }
}

// ---------------------------------------------------------------- chart

/** What can be wrong with a chart row, in the order it is looked at; 0 = kept. */
const CHART_RULES = [
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
 * One pass over the chart: rows kept end in one row per (stay, day, variable) with the last value of the day; the others are counted by
 * rule. The last value is the one charted last; of equals the one stored last, then the item listed first, then the larger value. A row is
 * known from the moment it is stored, so one stored after the stay is not used; its day is the day it was charted for.
 */
function chartQuery(source: Source): string {
  const convert = (Object.keys(CONVERT) as Conversion[]).map((name) => `WHEN conversion = ${text(name)} THEN ${CONVERT[name]}`).join(' ');
  return `
    WITH rows AS (
      SELECT variable, stay.stay_id AS stay_id, charttime, coalesce(storetime, charttime) AS stored, place, low, high, whole, intime, outtime,
        round(CASE ${convert} END, 4) AS v
      FROM ${csv(source, TABLES.chartevents.columns)} AS chart
      LEFT JOIN items USING (itemid)
      LEFT JOIN (SELECT stay_id::INTEGER AS stay_id, intime::TIMESTAMP AS intime, outtime::TIMESTAMP AS outtime FROM icustays) AS stay
        ON stay.stay_id = chart.stay_id
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
      arg_max(v, {'charted': charttime, 'stored': stored, 'place': -place, 'value': v}) AS value,
      count(*) AS n, count(*) FILTER (stored < charttime) AS early
    FROM judged GROUP BY 1, 2, 3, 4`;
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
      `${file}: none of ${rows} rows belongs to a stay of icu/icustays and one of the 17 variables; are the files of one release?`,
    );
  }
  if (early > kept / 2) {
    throw new DataError(`${file}, column storetime: before charttime in ${early} of ${kept} rows; the two columns seem to be swapped`);
  }
}

// ---------------------------------------------------------------- reading back

const seconds = (column: string): string => `epoch(${column}::TIMESTAMP)::DOUBLE`;

async function readTables(connection: DuckDBConnection): Promise<MimicTables> {
  const rows = async (sql: string): Promise<(number | null)[][]> =>
    (await connection.runAndReadAll(sql)).getRowsJS() as (number | null)[][];
  const people = 'SELECT subject_id FROM icustays';
  const patients = await rows(
    `SELECT subject_id::INTEGER, (gender = 'M')::INTEGER, anchor_age::INTEGER, anchor_year::INTEGER, (${seconds('dod')} / 86400)::INTEGER
     FROM patients WHERE subject_id IN (${people}) ORDER BY line`,
  );
  const admissions = await rows(
    `SELECT subject_id::INTEGER, hadm_id::INTEGER, ${seconds('admittime')}, ${seconds('dischtime')}, ${seconds('deathtime')},
       hospital_expire_flag::INTEGER
     FROM admissions WHERE subject_id IN (${people}) ORDER BY line`,
  );
  const stays = await rows(
    `SELECT subject_id::INTEGER, hadm_id::INTEGER, stay_id::INTEGER, ${seconds('intime')}, ${seconds('outtime')} FROM icustays ORDER BY line`,
  );
  const counts = await rows('SELECT rule, sum(n)::DOUBLE FROM chartevents GROUP BY rule ORDER BY rule');
  const of = (rule: number): number => counts.find(([r]) => r === rule)?.[1] ?? 0;
  const total = counts.reduce((sum, [, n]) => sum + (n as number), 0);
  return {
    patients: patients.map(
      ([subject, male, anchorAge, anchorYear, deathDay]) =>
        ({ subject, sex: male === 1 ? 'male' : 'female', anchorAge, anchorYear, deathDay }) as MimicPatient,
    ),
    admissions: admissions.map(
      ([subject, admission, admitTime, dischargeTime, deathTime, expired]) =>
        ({ subject, admission, admitTime, dischargeTime, deathTime, expired }) as MimicAdmission,
    ),
    stays: stays.map(([subject, admission, stay, inTime, outTime]) => ({ subject, admission, stay, inTime, outTime }) as MimicStay),
    daily: await readDaily(connection),
    chartRows: [
      { rule: 'in icu/chartevents', rows: total },
      ...CHART_RULES.slice(1).map((rule, i) => ({ rule: `left out: ${rule}`, rows: of(i + 1) })),
      { rule: 'kept', rows: of(0) },
    ],
  };
}

async function readDaily(connection: DuckDBConnection): Promise<DailyValues> {
  const [[n]] = (await connection.runAndReadAll('SELECT count(*)::INTEGER FROM chartevents WHERE rule = 0')).getRowsJS() as number[][];
  const daily = { stay: new Int32Array(n), day: new Int32Array(n), variable: new Uint8Array(n), value: new Float64Array(n) };
  const result = await connection.stream(
    `SELECT stay_id, (day - DATE '1970-01-01')::INTEGER, variable, value FROM chartevents WHERE rule = 0 ORDER BY stay_id, day, variable`,
  );
  for (let row = 0; ; ) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) return daily;
    daily.stay.set(chunk.getColumnValues(0) as number[], row);
    daily.day.set(chunk.getColumnValues(1) as number[], row);
    daily.variable.set(chunk.getColumnValues(2) as number[], row);
    daily.value.set(chunk.getColumnValues(3) as number[], row);
    row += chunk.rowCount;
  }
}
