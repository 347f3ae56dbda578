/**
 * Cohorts to and from the Medical Event Data Standard 0.3 (github.com/Medical-Event-Data-Standard/meds), parquet through DuckDB. (Node edge.)
 *
 *   data/0.parquet                    subject_id int64, time timestamp[us] (null: static), code string, numeric_value float32
 *   metadata/codes.parquet            code, description, parent_codes; of ours also levels, the values a category can have
 *   metadata/subject_splits.parquet   subject_id, split: train, tuning, held_out
 *   metadata/dataset.json             what wrote it
 *   tasks/<task>/0.parquet            subject_id, prediction_time, boolean_value; nothing after prediction_time is read
 *
 * A MEDS subject is one of our samples: a patient, or an ICU stay. GENDER//M or //F is static, MEDS_BIRTH gives the age at the first visit,
 * and a lab is LAB//<name>//<unit> by the lab dictionary's name and unit. A cohort has days but no dates, so the first visit is 1970-01-01.
 * Values are float32 there: seven digits survive.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { DOUBLE, type DuckDBConnection, DuckDBInstance, DuckDBTimestampValue, LIST, listValue } from '@duckdb/node-api';
import type { Cohort, Feature, Patient, SplitName } from '../types.ts';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import { DataError } from './errors.ts';
import { featureOf, labByName } from './lab_dictionary.ts';
import { checkSplits, SPLIT_NAMES } from './splits.ts';
import type { FlowRow, SplitIds } from './tjh.ts';

const VERSION = '0.3.3';
const MEDS_SPLITS: Readonly<Record<SplitName, string>> = { train: 'train', val: 'tuning', test: 'held_out' };
const SEX_CODES = { male: 'GENDER//M', female: 'GENDER//F' } as const;
const BIRTH = 'MEDS_BIRTH';
const DAY_US = 86_400_000_000;
const YEAR_US = 365.25 * DAY_US;

const text = (value: string): string => `'${value.replaceAll("'", "''")}'`;

async function withDuck<T>(work: (connection: DuckDBConnection) => Promise<T>): Promise<T> {
  const instance = await DuckDBInstance.create(':memory:', {
    // Nothing is ever fetched: parquet is built in.
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
  });
  const connection = await instance.connect();
  try {
    return await work(connection);
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

// ---------------------------------------------------------------- out

const codeOf = ({ name, unit }: Feature): string => `LAB//${name}//${unit ?? ''}`;

/** Whole numbers for the samples: the digits at the end of their ids. @throws DataError when two would be the same. */
function subjectNumbers(patients: readonly Patient[]): number[] {
  const numbers = patients.map(({ id }) => Number(/(\d+)$/.exec(id)?.[1]));
  if (numbers.some((n) => !Number.isSafeInteger(n)) || new Set(numbers).size < numbers.length) {
    throw new DataError('meds: subject_id is a whole number, and the ids of this cohort do not end in different ones');
  }
  return numbers;
}

/** What an export wrote. */
export interface MedsCounts {
  readonly subjects: number;
  readonly events: number;
  readonly codes: number;
}

/** Writes the folder whole or not at all. @throws ConfigError when it exists, DataError as above. */
export async function writeMeds(cohort: Cohort, out: string, version: string): Promise<MedsCounts> {
  if (existsSync(out)) throw new ConfigError(`meds: ${out} exists; give a new folder`);
  const numbers = subjectNumbers(cohort.patients);
  let events = 0;
  await writeDirectoryAtomic(out, (folder) =>
    withDuck(async (connection) => {
      for (const name of ['data', 'metadata', join('tasks', cohort.task)]) mkdirSync(join(folder, name), { recursive: true });
      const table = async (columns: string, path: string, fill: (row: (...cells: Cell[]) => void) => void, order = ''): Promise<void> => {
        await connection.run(`CREATE OR REPLACE TABLE rows (${columns})`);
        const appender = await connection.createAppender('rows');
        fill((...cells) => {
          for (const cell of cells) append(appender, cell);
          appender.endRow();
        });
        appender.closeSync();
        await connection.run(`COPY (SELECT * FROM rows ${order}) TO ${text(join(folder, path))} (FORMAT parquet)`);
      };
      const at = (day: number) => ({ us: day * DAY_US });
      await table(
        'subject_id BIGINT, time TIMESTAMP, code VARCHAR, numeric_value FLOAT',
        join('data', '0.parquet'),
        (row) => {
          cohort.patients.forEach(({ sex, age, visitTimes, values }, p) => {
            row(numbers[p], null, SEX_CODES[sex], null);
            row(numbers[p], { us: visitTimes[0] * DAY_US - Math.round(age * YEAR_US) }, BIRTH, null);
            events += 2;
            values.forEach((series, f) => {
              series.forEach((value, t) => {
                if (value === null) return;
                row(numbers[p], at(visitTimes[t]), codeOf(cohort.features[f]), { number: value });
                events++;
              });
            });
          });
        },
        'ORDER BY subject_id, time NULLS FIRST',
      );
      await table(
        'code VARCHAR, description VARCHAR, parent_codes VARCHAR[], levels DOUBLE[]',
        join('metadata', 'codes.parquet'),
        (row) => {
          for (const feature of cohort.features) row(codeOf(feature), feature.name, null, feature.levels ?? null);
          row(SEX_CODES.male, 'male', null, null);
          row(SEX_CODES.female, 'female', null, null);
          row(BIRTH, 'birth', null, null);
        },
      );
      const split = new Map(SPLIT_NAMES.flatMap((name) => cohort.splits[name].map((id) => [id, MEDS_SPLITS[name]])));
      await table('subject_id BIGINT, split VARCHAR', join('metadata', 'subject_splits.parquet'), (row) => {
        cohort.patients.forEach(({ id }, p) => {
          const own = split.get(id);
          if (own !== undefined) row(numbers[p], own);
        });
      });
      await table('subject_id BIGINT, prediction_time TIMESTAMP, boolean_value BOOLEAN', join('tasks', cohort.task, '0.parquet'), (row) => {
        cohort.patients.forEach(({ visitTimes, label }, p) => {
          row(numbers[p], at(visitTimes[visitTimes.length - 1]), label === 1);
        });
      });
      const about = { dataset_name: cohort.name, etl_name: 'eagrl', etl_version: version, meds_version: VERSION };
      writeFileSync(join(folder, 'metadata', 'dataset.json'), `${JSON.stringify(about, null, 2)}\n`);
    }),
  );
  return { subjects: numbers.length, events, codes: cohort.features.length + 3 };
}

/** Whole numbers go to BIGINT, `number` to FLOAT, `us` to TIMESTAMP, a list of numbers to DOUBLE[]. */
type Cell = string | number | boolean | null | { readonly us: number } | { readonly number: number } | readonly number[];
type Appender = Awaited<ReturnType<DuckDBConnection['createAppender']>>;

function append(appender: Appender, cell: Cell): void {
  if (cell === null) appender.appendNull();
  else if (typeof cell === 'string') appender.appendVarchar(cell);
  else if (typeof cell === 'boolean') appender.appendBoolean(cell);
  else if (typeof cell === 'number') appender.appendBigInt(BigInt(cell));
  else if (Array.isArray(cell)) appender.appendList(listValue(cell), LIST(DOUBLE));
  else if ('us' in cell) appender.appendTimestamp(new DuckDBTimestampValue(BigInt(cell.us)));
  else appender.appendFloat((cell as { readonly number: number }).number);
}

// ---------------------------------------------------------------- in

/** Columns that each part must have, and what DuckDB calls their types. */
const COLUMNS = {
  data: { subject_id: 'BIGINT', time: 'TIMESTAMP', code: 'VARCHAR', numeric_value: 'FLOAT' },
  codes: { code: 'VARCHAR', description: 'VARCHAR' },
  splits: { subject_id: 'BIGINT', split: 'VARCHAR' },
  labels: { subject_id: 'BIGINT', prediction_time: 'TIMESTAMP', boolean_value: 'BOOLEAN' },
} as const;
/** Types that hold the same and are found in the wild. */
const SAME: Readonly<Record<string, readonly string[]>> = {
  BIGINT: ['INTEGER', 'UINTEGER', 'UBIGINT', 'HUGEINT'],
  FLOAT: ['DOUBLE'],
  TIMESTAMP: ['TIMESTAMP_NS', 'TIMESTAMP_MS', 'TIMESTAMP_S'],
};

export interface MedsOptions {
  readonly path: string;
  readonly task: Cohort['task'];
  /** Ids per split instead of metadata/subject_splits.parquet; null = from there. */
  readonly split: { readonly ids: SplitIds; readonly source: string } | null;
}

/**
 * Reads the subjects that have a split and a label of the task. A visit is a calendar day, with the day's last value of each lab; codes that
 * name no lab of the dictionary, or in another unit, are left out and counted.
 * @throws ConfigError for a folder without the parts, DataError naming file, column and row
 */
export async function readMeds({ path, task, split }: MedsOptions): Promise<{ cohort: Cohort; flow: FlowRow[] }> {
  const parts = {
    data: join('data', '**', '*.parquet'),
    codes: join('metadata', 'codes.parquet'),
    splits: join('metadata', 'subject_splits.parquet'),
    labels: join('tasks', task, '**', '*.parquet'),
  };
  if (!existsSync(join(path, 'data'))) {
    throw new ConfigError(`data.path: ${basename(path)} has no data/; expected a MEDS folder with data/, metadata/ and tasks/${task}/`);
  }
  return withDuck(async (connection) => {
    const rows = async (sql: string): Promise<Record<string, unknown>[]> => (await connection.runAndReadAll(sql)).getRowObjectsJS();
    for (const name of ['data', 'codes', 'labels', ...(split === null ? (['splits'] as const) : [])] as const) {
      await openPart(connection, path, name, parts[name]);
    }
    const count = async (rule: string, sql: string): Promise<FlowRow> => {
      const [{ n, p }] = await rows(`SELECT count(*)::DOUBLE AS n, count(DISTINCT subject_id)::DOUBLE AS p FROM (${sql})`);
      return { rule, rows: n as number, patients: p as number };
    };
    const flow = [await count('events in the folder', 'SELECT * FROM data')];
    const labels = await labelsOf(rows);
    const splits = split?.ids ?? (await splitsOf(rows));
    const features = featuresOf(
      await rows('SELECT * FROM codes'),
      new Set((await rows('SELECT DISTINCT code FROM data')).map(({ code }) => String(code))),
    );
    await connection.run(
      `CREATE TABLE known AS SELECT * FROM (VALUES ${features.flatMap(({ codes }, f) => codes.map((code) => `(${text(code)}, ${f})`)).join(', ')}) AS known(code, feature)`,
    );
    const seen = `SELECT data.* , feature FROM data JOIN labels USING (subject_id) JOIN known USING (code)
      WHERE numeric_value IS NOT NULL AND time IS NOT NULL AND time <= prediction_time`;
    flow.push(
      await count('of a subject with a label', 'SELECT data.* FROM data JOIN labels USING (subject_id)'),
      await count('a lab of the dictionary, in its unit, up to the prediction time', seen),
    );
    const daily =
      await rows(`SELECT subject_id, time::DATE - DATE '1970-01-01' AS day, feature, arg_max(numeric_value, {'time': time, 'row': row}) AS value
      FROM (${seen}) GROUP BY ALL ORDER BY subject_id, day, feature`);
    const about = new Map<string, { sex?: Patient['sex']; birth?: number }>();
    for (const { subject_id: id, code, us } of await rows(
      `SELECT subject_id, code, epoch_us(time)::DOUBLE AS us FROM data WHERE code IN (${[...Object.values(SEX_CODES), BIRTH].map(text).join(', ')})`,
    )) {
      const own = about.get(String(id)) ?? {};
      if (code === BIRTH) own.birth = us as number;
      else own.sex = code === SEX_CODES.male ? 'male' : 'female';
      about.set(String(id), own);
    }
    const everyone = patientsOf(daily, features.length, labels, about);
    const home = new Set(everyone.map(({ id }) => id));
    const kept = Object.fromEntries(SPLIT_NAMES.map((name) => [name, splits[name].filter((id) => home.has(id))])) as Record<
      SplitName,
      string[]
    >;
    const wanted = new Set(Object.values(kept).flat());
    const cohort: Cohort = {
      name: 'meds',
      task,
      features: features.map(({ feature }) => feature),
      patients: everyone.filter(({ id }) => wanted.has(id)),
      splits: kept,
    };
    flow.push({
      rule: 'in a split, something measured',
      rows: cohort.patients.reduce((n, p) => n + p.visitTimes.length, 0),
      patients: cohort.patients.length,
    });
    checkSplits(cohort, split?.source ?? 'subject_splits.parquet');
    return { cohort, flow };
  });
}

type Rows = (sql: string) => Promise<Record<string, unknown>[]>;

/** A view of the part under its name, with `file` and `row` (from 1) of each line, once its columns are what they must be. */
async function openPart(connection: DuckDBConnection, path: string, name: keyof typeof COLUMNS, glob: string): Promise<void> {
  const source = `read_parquet(${text(join(path, glob))}, filename = 'file', file_row_number = true)`;
  const rows = async (sql: string) => (await connection.runAndReadAll(sql)).getRowObjectsJS();
  const shown = glob.replaceAll('\\', '/');
  const found = await rows(`DESCRIBE SELECT * FROM ${source}`).catch((error: Error) => {
    if (/No files found/i.test(error.message))
      throw new ConfigError(`data.path: ${basename(path)} has no ${shown}; expected a MEDS folder`);
    throw new DataError(`${shown}: not a readable parquet file; copy it again`);
  });
  const types = new Map(found.map(({ column_name: column, column_type: type }) => [String(column), String(type)]));
  for (const [column, type] of Object.entries(COLUMNS[name])) {
    const got = types.get(column);
    if (got === undefined)
      throw new DataError(`${shown}: column ${column} is missing; found ${[...types.keys()].filter((c) => !/^file/.test(c)).join(', ')}`);
    if (got !== type && !SAME[type]?.includes(got)) throw new DataError(`${shown}, column ${column}: expected ${type}, got ${got}`);
  }
  const casts = Object.entries(COLUMNS[name]).map(([column, type]) => `${column}::${type} AS ${column}`);
  const levels = name === 'codes' && types.has('levels') ? ', levels' : '';
  await connection
    .run(`CREATE TABLE ${name} AS SELECT ${casts.join(', ')}${levels}, file, file_row_number + 1 AS row FROM ${source}`)
    .catch(() => {
      throw new DataError(`${shown}: the file is cut or damaged; copy it again`);
    });
  const refuse = async (column: string, where: string, message: string) => {
    const [line] = await rows(`SELECT file, row FROM ${name} WHERE ${where} ORDER BY file, row LIMIT 1`);
    if (line !== undefined)
      throw new DataError(`${basename(String(line.file))} of ${shown}, column ${column}, row ${line.row}: ${message}`);
  };
  for (const column of Object.keys(COLUMNS[name])) {
    if (!['time', 'numeric_value', 'description'].includes(column)) await refuse(column, `${column} IS NULL`, 'empty; expected a value');
  }
  if (name === 'data') {
    await refuse('numeric_value', 'isnan(numeric_value) OR isinf(numeric_value)', 'expected a finite number or nothing');
    await refuse(
      'time',
      `time IS NOT NULL AND (year(time) < 1800 OR year(time) > 2300)`,
      'an impossible date; expected a year from 1800 to 2300',
    );
  } else {
    const id = name === 'codes' ? 'code' : 'subject_id';
    await refuse(
      id,
      `${id} IN (SELECT ${id} FROM ${name} GROUP BY ${id} HAVING count(*) > 1)`,
      `this ${id} has another row; expected one each`,
    );
  }
}

async function labelsOf(rows: Rows): Promise<Map<string, 0 | 1>> {
  return new Map(
    (await rows('SELECT subject_id, boolean_value FROM labels')).map(({ subject_id: id, boolean_value: y }) => [String(id), y ? 1 : 0]),
  );
}

async function splitsOf(rows: Rows): Promise<SplitIds> {
  const found = await rows('SELECT subject_id, split FROM splits ORDER BY file, row');
  const of = (name: SplitName) => found.filter(({ split }) => split === MEDS_SPLITS[name]).map(({ subject_id: id }) => String(id));
  return { train: of('train'), val: of('val'), test: of('test') };
}

interface MedsFeature {
  readonly feature: Feature;
  readonly codes: readonly string[];
}

/** Labs of the dictionary among the codes that occur, in the order of codes.parquet: by a part of the code or the description, and the unit. */
function featuresOf(codes: readonly Record<string, unknown>[], occurring: ReadonlySet<string>): MedsFeature[] {
  const found = new Map<string, { feature: Feature; codes: string[] }>();
  for (const { code, description, levels } of codes) {
    const parts = String(code).split('//');
    const lab = [...parts, String(description ?? '')].map(labByName).find((entry) => entry !== undefined);
    if (lab === undefined) continue;
    const unit = parts.length > 2 ? parts[parts.length - 1] : '';
    // An entry without a unit has none, or does not say; another unit is another quantity.
    if (unit !== '' && unit !== lab.unit) continue;
    const own = found.get(lab.name);
    if (own !== undefined) own.codes.push(String(code));
    else {
      const known = levels == null ? {} : { levels: (levels as number[]).map(Number) };
      found.set(lab.name, { feature: { ...featureOf(lab), ...known }, codes: [String(code)] });
    }
  }
  const used = [...found.values()];
  if (!used.some(({ codes: own }) => own.some((code) => occurring.has(code)))) {
    throw new DataError(
      'metadata/codes.parquet: no code names a lab of the dictionary in its unit; expected codes like LAB//sodium//mmol/L',
    );
  }
  return used;
}

function patientsOf(
  daily: readonly Record<string, unknown>[],
  numFeatures: number,
  labels: ReadonlyMap<string, 0 | 1>,
  about: ReadonlyMap<string, { readonly sex?: Patient['sex']; readonly birth?: number }>,
): Patient[] {
  const bySubject = new Map<string, Record<string, unknown>[]>();
  for (const row of daily) {
    const id = String(row.subject_id);
    const own = bySubject.get(id);
    if (own === undefined) bySubject.set(id, [row]);
    else own.push(row);
  }
  return [...bySubject].map(([id, own]): Patient => {
    const days = [...new Set(own.map(({ day }) => Number(day)))];
    const values = Array.from({ length: numFeatures }, () => new Array<number | null>(days.length).fill(null));
    // The shortest decimal that a float32 can have been made from.
    for (const { day, feature, value } of own)
      values[Number(feature)][days.indexOf(Number(day))] = Number((value as number).toPrecision(7));
    const { sex, birth } = about.get(id) ?? {};
    if (sex === undefined || birth === undefined) {
      throw new DataError(
        `data/**/*.parquet: a subject with a label has no ${sex === undefined ? 'GENDER//M or GENDER//F' : BIRTH}; expected both for each`,
      );
    }
    return {
      id,
      sex,
      age: Number(((days[0] * DAY_US - birth) / YEAR_US).toFixed(4)),
      visitTimes: days.map((day) => day - days[0]),
      values,
      label: labels.get(id) as 0 | 1,
    };
  });
}
