/**
 * Reads a MIMIC-IV folder from disk (Node only): hosp/ and icu/ as PhysioNet ships them, 2.2 or 3.1, .csv or .csv.gz.
 *
 * DuckDB reads each table once and keeps of the chart the last value of each (stay, day, variable): millions of rows become some thousand.
 * They go into a cache file, one transaction per table and per part of the chart (mimic_chart.ts), so that a second run starts at once and a
 * killed one goes on where it was. The cache holds patient data and stays where it is put.
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import type { DuckDBConnection } from '@duckdb/node-api';
import { asStorageError } from '../util/atomic.ts';
import { ConfigError, StorageError } from '../util/errors.ts';
import { createProgress } from '../util/progress.ts';
import { DataError } from './errors.ts';
import type { DailyValues, MimicAdmission, MimicPatient, MimicStay, MimicTables } from './mimic.ts';
import { CHART_COLUMNS, CHART_RULES, inTransaction, loadChart, PART_BYTES } from './mimic_chart.ts';
import { type Columns, checkWhole, csvError, csvTable, MEMORY_LIMIT, type Source, shortName, text, WORDS } from './mimic_csv.ts';
import { MIMIC_VARIABLES } from './mimic_items.ts';

/** Raise it when what the cache holds changes its meaning. */
const CACHE_VERSION = 1;

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
    columns: CHART_COLUMNS,
  },
} as const satisfies Readonly<Record<string, { readonly file: string; readonly columns: Columns }>>;
type TableName = keyof typeof TABLES;
const TABLE_NAMES = Object.keys(TABLES) as TableName[];

export interface MimicFolderOptions {
  /** The folder that has hosp/ and icu/, or one folder above it. */
  readonly path: string;
  /** Where the cache file goes. */
  readonly cacheFolder: string;
  /** Characters of the chart that are read at a time. */
  readonly partBytes?: number;
}

/**
 * Reads the four tables a cohort is made of.
 * @throws ConfigError for a wrong folder, a missing file or column, before any table is read; DataError naming file, column and row of
 * what cannot be read, a damaged or cut file, an id that occurs twice. Messages hold no values.
 */
export async function readMimicFolder({ path, cacheFolder, partBytes = PART_BYTES }: MimicFolderOptions): Promise<MimicTables> {
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
      for (const name of TABLE_NAMES) {
        if (await hasTable(connection, name)) continue;
        if (name === 'chartevents') await loadChart(connection, sources[name], cache, partBytes);
        else await loadTable(connection, name, sources[name]);
      }
      return await readTables(connection);
    } catch (error) {
      throw asCacheError(error as Error, cache);
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

/** What the disk refused, in DuckDB's words or Node's, as a StorageError with the cure; any other error as it is. */
export function asCacheError(error: Error, cache: string): unknown {
  if (!/no space left on device/i.test(error.message)) return asStorageError(error, cache);
  return new StorageError(`cannot write ${cache}: the disk is full; free space, then give the same command again: what was read is kept`);
}

// ---------------------------------------------------------------- files

const isRoot = (path: string): boolean => existsSync(join(path, 'hosp')) && existsSync(join(path, 'icu'));

/** The folder itself, or the only folder in it that has hosp/ and icu/ (archives unpack to mimic-iv-3.1/ and the like). */
function findRoot(path: string): string {
  if (!existsSync(path) || !statSync(path).isDirectory()) {
    throw new ConfigError(`data.path: no folder ${path}; expected the MIMIC-IV folder that has hosp/ and icu/`);
  }
  if (isRoot(path)) return path;
  const above = dirname(resolve(path));
  if (isRoot(above)) throw new ConfigError(`data.path: ${path} is a part of the MIMIC-IV folder; give the folder that it is in, ${above}`);
  const inside = readdirSync(path, { withFileTypes: true });
  const roots = inside.map((entry) => join(path, entry.name)).filter(isRoot);
  if (roots.length === 1) return roots[0];
  const names = inside.map((entry) => (entry.isDirectory() ? `${entry.name}/` : entry.name)).sort();
  const found = roots.length > 1 ? `${roots.length} such folders` : list(names);
  throw new ConfigError(`data.path: expected the MIMIC-IV folder, with hosp/ and icu/ in it, at ${path}; found ${found}`);
}

function list(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
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

// ---------------------------------------------------------------- loading

const hasTable = async (connection: DuckDBConnection, name: string): Promise<boolean> =>
  (await connection.runAndReadAll(`SELECT 1 FROM duckdb_tables() WHERE table_name = ${text(name)}`)).currentRowCount > 0;

async function loadTable(connection: DuckDBConnection, name: Exclude<TableName, 'chartevents'>, source: Source): Promise<void> {
  const bar = createProgress({ label: `read ${name}`, total: 100 });
  bar.update(0);
  try {
    await inTransaction(connection, async () => {
      const rows = csvTable(source.path, source.header, textColumns(name), { header: true });
      const built = connection
        .run(`CREATE TABLE ${name} AS SELECT row_number() OVER () + 1 AS line, ${columnList(name)} FROM ${rows}`)
        .catch((error: Error) => {
          throw csvError(error, source.path);
        });
      // A cut file is named as such, whatever the reader made of its end.
      const [check, read] = await Promise.allSettled([checkWhole(source), built]);
      if (check.status === 'rejected') throw check.reason;
      if (read.status === 'rejected') throw read.reason;
      await checkRows(connection, name, source);
      if (name === 'icustays') await checkStays(connection, source);
    });
    await connection.run('CHECKPOINT');
    bar.update(100);
  } finally {
    bar.stop();
  }
}

const columnList = (name: TableName): string => Object.keys(TABLES[name].columns).join(', ');
const textColumns = (name: TableName): Columns =>
  Object.fromEntries(Object.keys(TABLES[name].columns).map((column) => [column, 'VARCHAR'] as const));

/** Cells that may be empty. */
const MAY_BE_EMPTY: readonly string[] = ['dod', 'dischtime', 'deathtime', 'outtime'];
const ALLOWED: Readonly<Record<string, readonly string[]>> = { gender: ['F', 'M'], hospital_expire_flag: ['0', '1'] };
/** Whole numbers that cannot be otherwise; 91 stands for an age of 89 and more, and years are shifted to 2100 and later. */
const RANGES: Readonly<Record<string, readonly [low: number, high: number]>> = { anchor_age: [0, 120], anchor_year: [1900, 2300] };
/** Years of a date. */
const YEARS = RANGES.anchor_year;
const IDS: Readonly<Partial<Record<TableName, string>>> = { patients: 'subject_id', admissions: 'hadm_id', icustays: 'stay_id' };
/** Of a single row the order may be a slip, which the flow table counts; of most rows it is two columns in each other's place. */
const IN_ORDER: Readonly<Partial<Record<TableName, readonly [begin: string, end: string]>>> = {
  admissions: ['admittime', 'dischtime'],
  icustays: ['intime', 'outtime'],
};

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
    const range = type === 'TIMESTAMP' ? YEARS : RANGES[column];
    if (range === undefined) continue;
    const [low, high] = range;
    const number = type === 'TIMESTAMP' ? `year(${column}::TIMESTAMP)` : `${column}::INTEGER`;
    const outside = await first(`${number} NOT BETWEEN ${low} AND ${high}`);
    const what = type === 'TIMESTAMP' ? 'an impossible date; expected a year' : 'an impossible number; expected one';
    if (outside !== null) refuse(column, outside, `${what} from ${low} to ${high}`);
  }
  for (const [column, words] of Object.entries(ALLOWED)) {
    if (!(column in TABLES[name].columns)) continue;
    const wrong = await first(`${column} NOT IN (${words.map(text).join(', ')})`);
    if (wrong !== null) refuse(column, wrong, `expected ${words.join(' or ')}, got something else`);
  }
  const id = IDS[name] as string;
  const [[rows]] = (await connection.runAndReadAll(`SELECT count(*)::INTEGER FROM ${name}`)).getRowsJS() as number[][];
  if (rows === 0) throw new DataError(`${shortName(path)}: no rows below the header`);
  // Before ids that occur twice, which is what another table's ids in this column look like.
  for (const [table, other] of Object.entries(IDS)) {
    if (table === name) break;
    const [[foreign, line]] = (
      await connection.runAndReadAll(
        `SELECT count(*)::INTEGER, min(line)::INTEGER FROM ${name} WHERE ${id}::INTEGER IN (SELECT ${other}::INTEGER FROM ${table})`,
      )
    ).getRowsJS() as number[][];
    if (foreign > rows / 2)
      refuse(id, line, `${foreign} of ${rows} rows hold a ${other} of hosp/${table}; the two columns seem to be swapped`);
  }
  const [twice] = (
    await connection.runAndReadAll(
      `SELECT line, first FROM (SELECT line, min(line) OVER (PARTITION BY ${id}::INTEGER) AS first FROM ${name}) WHERE line > first ORDER BY line LIMIT 1`,
    )
  ).getRowsJS();
  if (twice !== undefined) refuse(id, Number(twice[0]), `this id is already in row ${twice[1]}`);
  const order = IN_ORDER[name];
  if (order === undefined) return;
  const [begin, end] = order;
  const [[wrong, line]] = (
    await connection.runAndReadAll(
      `SELECT count(*)::INTEGER, min(line)::INTEGER FROM ${name} WHERE ${end}::TIMESTAMP < ${begin}::TIMESTAMP`,
    )
  ).getRowsJS() as number[][];
  if (wrong > rows / 2) refuse(end, line, `before ${begin} in ${wrong} of ${rows} rows; the two columns seem to be swapped`);
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
