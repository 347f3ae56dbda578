/**
 * Plan: folders on disk, written by this test or by the generator, and the real demo when EAGRL_MIMIC_DEMO names it.
 * - chart rows: units, bounds, the last value of a day, charttime and storetime, rows of no stay; counted by rule
 * - layouts: .csv, .csv.gz, a folder above, other column order, other tables beside
 * - every bad input: file, column and row, no value, nothing half-written in the cache
 * - a generated folder: every cell recomputed by plain loops; text, label and id belong together; labels do not move features
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { resolveConfig } from '../config/resolve.ts';
import { loadCohort } from '../stages/cohort.ts';
import { taskOf } from '../tasks/configured.ts';
import { ConfigError, StorageError } from '../util/errors.ts';
import { DataError } from './errors.ts';
import type { MimicTables } from './mimic.ts';
import { asCacheError, readMimicFolder } from './mimic_folder.ts';
import { MIMIC_VARIABLES, mimicIndex } from './mimic_items.ts';
import { generateMimicFolder } from './mimic_synthetic.ts';
import { SPLIT_NAMES } from './splits.ts';

// ---------------------------------------------------------------- fixture

const top = mkdtempSync(join(tmpdir(), 'eagrl-mimic-'));
afterAll(() => rmSync(top, { recursive: true }));
let folders = 0;
const fresh = (): string => join(top, `folder${folders++}`);

/** File to lines; [0] is the header. */
type Files = Record<string, string[]>;

const STAY = { ids: '11,22,33', inTime: '2150-01-02 06:00:00', outTime: '2150-01-05 18:00:00' };
/** One chart row: `id value valuenum time [stored] [stay]`. */
const chart = (id: number, valuenum: string, time: string, { stored = time, stay = '33', value = valuenum } = {}): string =>
  `11,22,${stay},,2150-01-${time}:00,2150-01-${stored}:00,${id},${value},${valuenum},,0`;

function files(rows: readonly string[] = [chart(220045, '80', '02 08:00')]): Files {
  return {
    'hosp/patients': ['subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod', '11,F,60,2150,2011 - 2013,2150-01-09'],
    'hosp/admissions': [
      'subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,hospital_expire_flag',
      '11,22,2150-01-01 12:00:00,2150-01-09 10:00:00,2150-01-09 10:00:00,"URGENT, NEW",1',
    ],
    'icu/icustays': ['subject_id,hadm_id,stay_id,first_careunit,intime,outtime,los', `${STAY.ids},MICU,${STAY.inTime},${STAY.outTime},3.5`],
    'icu/chartevents': ['subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning', ...rows],
  };
}

function write(content: Files, { gzip = false, into = fresh() } = {}): string {
  for (const [name, lines] of Object.entries(content)) {
    const path = join(into, `${name}.csv${gzip ? '.gz' : ''}`);
    mkdirSync(dirname(path), { recursive: true });
    const text = `${lines.join('\n')}\n`;
    writeFileSync(path, gzip ? gzipSync(text) : text);
  }
  return into;
}

const read = (path: string, cacheFolder = fresh(), partBytes?: number): Promise<MimicTables> =>
  readMimicFolder({ path, cacheFolder, partBytes });

/** `day of January variable` to value. */
function cells({ daily }: MimicTables): Record<string, number> {
  const day0 = Date.UTC(2149, 11, 31) / 86_400_000;
  return Object.fromEntries(
    Array.from(daily.stay, (_, i) => [`${daily.day[i] - day0} ${MIMIC_VARIABLES[daily.variable[i]].feature.key}`, daily.value[i]]),
  );
}
const rowsOf = ({ chartRows }: MimicTables): Record<string, number> => Object.fromEntries(chartRows.map(({ rule, rows }) => [rule, rows]));

async function refusal(path: string, cacheFolder?: string): Promise<Error> {
  return read(path, cacheFolder).then(
    () => expect.fail('expected an error'),
    (error: Error) => error,
  );
}

// ---------------------------------------------------------------- chart rows

describe('MIMIC-IV folder: chart rows', () => {
  it('units, text, bounds, and the last value of a day', async () => {
    const tables = await read(
      write(
        files([
          // Day 2: units and words.
          chart(223761, '98.6', '02 07:00'),
          chart(226531, '200', '02 07:00'),
          chart(226707, '70', '02 07:00'),
          chart(223835, '40', '02 07:00'),
          chart(223951, '', '02 07:00', { value: 'Abnormal >3 Seconds' }),
          chart(220739, '3', '02 07:00', { value: 'To Speech' }),
          chart(220045, '80', '02 08:00'),
          chart(220045, '90', '02 20:00'),
          chart(220045, '85', '02 12:00'),
          // Day 3: a fraction, brisk refill, a correction of the same time, invasive before cuff.
          chart(223835, '0.5', '03 07:00'),
          chart(224308, '', '03 07:00', { value: 'Brisk' }),
          chart(220045, '100', '03 08:00', { stored: '03 08:10' }),
          chart(220045, '101', '03 08:00', { stored: '03 08:40' }),
          chart(220179, '120', '03 09:00'),
          chart(220050, '110', '03 09:00'),
          // Day 4: a later cuff reading goes before an earlier invasive one.
          chart(220050, '111', '04 09:00'),
          chart(220179, '125', '04 10:00'),
          // Left out: bounds from both sides, a level that does not exist, no number, unknown item.
          chart(220210, '71', '03 09:00'),
          chart(220277, '0', '03 09:00'),
          chart(220739, '3.5', '03 09:00'),
          chart(223762, '99', '03 09:00'),
          chart(220045, '', '03 10:00', { value: 'ERROR' }),
          chart(220047, '60', '03 10:00'),
        ]),
      ),
    );
    expect(cells(tables)).toEqual({
      '2 Temperature': 37,
      '2 Weight': 90.7185,
      '2 Height': 177.8,
      '2 Fraction inspired oxygen': 0.4,
      '2 Capillary refill rate': 1,
      '2 Glascow coma scale eye opening': 3,
      '2 Heart Rate': 90,
      '3 Fraction inspired oxygen': 0.5,
      '3 Capillary refill rate': 0,
      '3 Heart Rate': 101,
      '3 Systolic blood pressure': 110,
      '4 Systolic blood pressure': 125,
    });
    expect(rowsOf(tables)).toMatchObject({
      'in icu/chartevents': 23,
      'left out: outside the bounds of its variable': 4,
      'left out: no number': 1,
      'left out: not one of the 17 variables': 1,
      kept: 17,
    });
  });

  it('a row is known when it is stored, and belongs to the day it was charted for', async () => {
    const tables = await read(
      write(
        files([
          // Charted on day 3, stored on day 4: a value of day 3.
          chart(220045, '80', '03 23:50', { stored: '04 00:20' }),
          // Within the stay when charted, after it when stored: not known in the stay.
          chart(220045, '200', '05 17:00', { stored: '05 18:01' }),
          chart(220277, '95', '05 17:00', { stored: '05 18:00' }),
          // Outside the stay on either side, by a minute, and on its edges.
          chart(220045, '201', '02 05:59'),
          chart(220045, '202', '05 18:01'),
          chart(220210, '20', '02 06:00'),
          // Of no stay, and of one that icustays does not have.
          chart(220045, '203', '03 12:00', { stay: '' }),
          chart(220045, '204', '03 12:00', { stay: '34' }),
        ]),
      ),
    );
    expect(cells(tables)).toEqual({ '3 Heart Rate': 80, '5 Oxygen saturation': 95, '2 Respiratory rate': 20 });
    expect(rowsOf(tables)).toMatchObject({
      'left out: stored after the end of its ICU stay': 1,
      'left out: charted outside its ICU stay': 2,
      'left out: of no ICU stay in icustays': 2,
      kept: 3,
    });
  });
});

// ---------------------------------------------------------------- layouts

describe('MIMIC-IV folder: layouts', () => {
  it('plain, compressed, one folder above, columns in another order and quoted, other tables beside: the same', async () => {
    const expected = await read(write(files()));
    expect(expected.patients).toEqual([
      { subject: 11, sex: 'female', anchorAge: 60, anchorYear: 2150, deathDay: Date.UTC(2150, 0, 9) / 86_400_000 },
    ]);
    expect(expected.admissions[0]).toMatchObject({ admission: 22, dischargeTime: Date.UTC(2150, 0, 9, 10) / 1000, expired: 1 });
    expect(expected.stays).toEqual([
      { subject: 11, admission: 22, stay: 33, inTime: Date.UTC(2150, 0, 2, 6) / 1000, outTime: Date.UTC(2150, 0, 5, 18) / 1000 },
    ]);
    expect(await read(write(files(), { gzip: true }))).toEqual(expected);

    const above = fresh();
    write(files(), { into: join(above, 'mimic-iv-clinical-database-demo-2.2'), gzip: true });
    expect(await read(above)).toEqual(expected);

    const other = files();
    other['hosp/patients'] = ['"gender",dod,anchor_year,anchor_age,"subject_id",extra', '"F",2150-01-09 00:00:00,2150,60,11,"x, y"'];
    // Codes are stamped at discharge; the loader must not need, open or use them.
    other['hosp/diagnoses_icd'] = ['subject_id,hadm_id,seq_num,icd_code,icd_version', '11,22,1,R99,10'];
    other['hosp/drgcodes'] = ['not even', '"a table'];
    expect(await read(write(other))).toEqual(expected);
  });

  it('the chart in many parts: the same tables, also where a day and a row reach over the end of one; rows keep their numbers', async () => {
    // Later readings first, so that the last of a day lies in another part than the others.
    const rows = Array.from({ length: 200 }, (_, k) =>
      chart(220045, String(60 + (k % 50)), `03 ${String(23 - (k % 24)).padStart(2, '0')}:00`),
    );
    const refill = chart(223951, '', '03 07:00', { value: '"Abnormal, ""slow""\n>3 Seconds"' });
    for (const gzip of [false, true]) {
      const path = write(files([...rows.slice(0, 100), refill, ...rows.slice(100)]), { gzip });
      const expected = await read(path);
      expect(rowsOf(expected)).toMatchObject({ 'in icu/chartevents': 201, kept: 201 });
      expect(await read(path, fresh(), 2000)).toEqual(expected);
      const spoiled = write(files([...rows, chart(220045, 'SECRET', '03 08:00')]), { gzip });
      const cache = fresh();
      const error = await readMimicFolder({ path: spoiled, cacheFolder: cache, partBytes: 2000 }).then(
        () => expect.fail('expected an error'),
        (e: Error) => e,
      );
      expect(error.message).toMatch(/chartevents\.csv(\.gz)?, column valuenum, row 202: expected a number/);
      expect(readdirSync(cache).filter((name) => name.endsWith('.csv'))).toEqual([]);
    }
  });

  it('a second load reads the cache, other files another cache', async () => {
    const path = write(files());
    const cache = fresh();
    const first = await read(path, cache);
    const [name] = readdirSync(cache);
    expect(await read(path, cache)).toEqual(first);
    expect(readdirSync(cache)).toEqual([name]);
    write(files([chart(220045, '99', '02 08:00'), chart(220045, '98', '02 09:00')]), { into: path });
    expect(cells(await read(path, cache))).toEqual({ '2 Heart Rate': 98 });
  });
});

// ---------------------------------------------------------------- bad input

describe('MIMIC-IV folder: bad input', () => {
  /** The refusal of a folder whose files `change` spoils; and nothing of a patient in it. */
  const spoiled = async (change: (f: Files) => unknown): Promise<string> => {
    const content = files([chart(220045, '80', '02 08:00'), chart(220277, '95', '02 09:00')]);
    change(content);
    const error = await refusal(write(content));
    expect(error).toBeInstanceOf(DataError);
    for (const value of ['2150-01', '80', '95', 'SECRET']) expect(error.message).not.toContain(value);
    return error.message;
  };

  const spoilers: readonly (readonly [string, (f: Files) => unknown, RegExp])[] = [
    [
      'text for a number in the chart',
      (f: Files) => void (f['icu/chartevents'][2] = f['icu/chartevents'][2].replace(',95,95,', ',95,SECRET,')),
      /icu\/chartevents\.csv, column valuenum, row 3: expected a number/,
    ],
    [
      'no date',
      (f: Files) => void (f['icu/chartevents'][1] = f['icu/chartevents'][1].replace('2150-01-02', 'SECRET')),
      /chartevents\.csv, column charttime, row 2: expected a date and time/,
    ],
    [
      'an impossible date',
      (f: Files) => void (f['hosp/admissions'][1] = f['hosp/admissions'][1].replace('2150-01-01', '2150-02-30')),
      /hosp\/admissions\.csv, column admittime, row 2: expected a date and time/,
    ],
    [
      'a year that cannot be',
      (f: Files) => void (f['icu/icustays'][1] = f['icu/icustays'][1].replace('2150-01-05', '9999-01-05')),
      /icu\/icustays\.csv, column outtime, row 2: an impossible date; expected a year from 1900 to 2300/,
    ],
    [
      'anchor_age and anchor_year swapped',
      (f: Files) => void (f['hosp/patients'][0] = f['hosp/patients'][0].replace('anchor_age,anchor_year', 'anchor_year,anchor_age')),
      /hosp\/patients\.csv, column anchor_age, row 2: an impossible number; expected one from 0 to 120/,
    ],
    [
      'admittime and dischtime swapped',
      (f: Files) => void (f['hosp/admissions'][0] = f['hosp/admissions'][0].replace('admittime,dischtime', 'dischtime,admittime')),
      /hosp\/admissions\.csv, column dischtime, row 2: before admittime in 1 of 1 rows; the two columns seem to be swapped/,
    ],
    [
      'intime and outtime swapped',
      (f: Files) => void (f['icu/icustays'][0] = f['icu/icustays'][0].replace('intime,outtime', 'outtime,intime')),
      /icu\/icustays\.csv, column outtime, row 2: before intime in 1 of 1 rows; the two columns seem to be swapped/,
    ],
    [
      'stay_id and itemid swapped in the chart',
      (f: Files) =>
        void (f['icu/chartevents'][0] = f['icu/chartevents'][0]
          .replace('stay_id', 'x')
          .replace('itemid', 'stay_id')
          .replace('x', 'itemid')),
      /chartevents\.csv: none of 2 rows belongs to a stay .*; is a column swapped/,
    ],
    ['too few cells', (f: Files) => void (f['icu/chartevents'][2] = '11,22,33'), /chartevents\.csv, row 3: expected as many cells/],
    [
      'an id twice',
      (f: Files) => void f['icu/icustays'].push(f['icu/icustays'][1]),
      /icustays\.csv, column stay_id, row 3: this id is already in row 2/,
    ],
    ['an admission twice', (f: Files) => void f['hosp/admissions'].push(f['hosp/admissions'][1]), /column hadm_id, row 3/],
    ['an empty id', (f: Files) => void (f['hosp/patients'][1] = ',F,60,2150,,'), /patients\.csv, column subject_id, row 2: empty/],
    ['another gender', (f: Files) => void (f['hosp/patients'][1] = '11,SECRET,60,2150,,'), /column gender, row 2: expected F or M/],
    [
      'another flag',
      (f: Files) => void (f['hosp/admissions'][1] = f['hosp/admissions'][1].replace(/1$/, '7')),
      /column hospital_expire_flag, row 2: expected 0 or 1/,
    ],
    ['a table without rows', (f: Files) => void f['icu/icustays'].splice(1), /icustays\.csv: no rows below the header/],
    ['a chart without rows', (f: Files) => void f['icu/chartevents'].splice(1), /chartevents\.csv: no rows/],
    [
      'the chart of another release',
      (f: Files) => void (f['icu/icustays'][1] = f['icu/icustays'][1].replace('33', '44')),
      /none of 2 rows belongs to a stay/,
    ],
    [
      'subject_id and hadm_id swapped among admissions',
      (f: Files) => void (f['hosp/admissions'][0] = f['hosp/admissions'][0].replace('subject_id,hadm_id', 'hadm_id,subject_id')),
      /hosp\/admissions\.csv, column hadm_id, row 2: 1 of 1 rows hold a subject_id of hosp\/patients; the two columns seem to be swapped/,
    ],
    [
      'hadm_id and stay_id swapped among stays',
      (f: Files) => void (f['icu/icustays'][0] = f['icu/icustays'][0].replace('hadm_id,stay_id', 'stay_id,hadm_id')),
      /icu\/icustays\.csv, column stay_id, row 2: 1 of 1 rows hold a hadm_id of hosp\/admissions; the two columns seem to be swapped/,
    ],
    [
      'stays of other admissions',
      (f: Files) => void (f['icu/icustays'][1] = f['icu/icustays'][1].replace(',22,', ',23,')),
      /icu\/icustays\.csv, column hadm_id: 1 of 1 rows, first row 2, are not in hosp\/admissions; is a column swapped/,
    ],
    [
      'another patient in the column of patients',
      (f: Files) => void (f['hosp/patients'][1] = f['hosp/patients'][1].replace('11,', '12,')),
      /icustays\.csv, column subject_id: 1 of 1 rows, first row 2, are not in hosp\/patients/,
    ],
    [
      'admissions of other patients',
      (f: Files) => void (f['hosp/admissions'][1] = f['hosp/admissions'][1].replace('11,', '12,')),
      /icustays\.csv, column subject_id with hadm_id: 1 of 1 rows/,
    ],
    [
      'charttime and storetime swapped',
      (f: Files) => f['icu/chartevents'].splice(1, 2, chart(220045, '80', '02 09:00', { stored: '02 08:00' })),
      /column storetime: before charttime in 1 of 1 rows/,
    ],
  ];
  it.each(spoilers)('%s', async (_title, change, message) => {
    expect(await spoiled(change)).toMatch(message);
  });

  it.each([
    ['no folder', () => join(top, 'none'), /no folder .*none; expected the MIMIC-IV folder/],
    ['a folder of something else', () => write({ 'a/b': ['x'], c: ['x'] }), /with hosp\/ and icu\/ in it, .*; found a\/, c\.csv$/],
    [
      'a part of the folder',
      () => join(write(files()), 'hosp'),
      /hosp is a part of the MIMIC-IV folder; give the folder that it is in, .*folder\d+$/,
    ],
    [
      'no chart',
      () => {
        const { 'icu/chartevents': _chart, ...rest } = files();
        return write(rest);
      },
      /no icu\/chartevents\.csv or icu\/chartevents\.csv\.gz .*; icu\/ has icustays\.csv/,
    ],
    [
      'no column',
      () => {
        const f = files();
        f['icu/chartevents'][0] = f['icu/chartevents'][0].replace('storetime', 'savetime').replace('valuenum', 'number');
        return write(f);
      },
      /chartevents\.csv: expected the columns storetime, valuenum as well; found subject_id, hadm_id/,
    ],
    [
      'a column twice',
      () => {
        const f = files();
        f['icu/chartevents'][0] = f['icu/chartevents'][0].replace('caregiver_id', 'itemid');
        return write(f);
      },
      /column itemid occurs twice/,
    ],
    [
      'an empty file',
      () => {
        const path = write(files());
        writeFileSync(join(path, 'icu/icustays.csv'), '');
        return path;
      },
      /icustays\.csv: no header line/,
    ],
    [
      'text called .gz',
      () => {
        const path = write(files(), { gzip: true });
        writeFileSync(join(path, 'icu/icustays.csv.gz'), 'stay_id\n');
        return path;
      },
      /icustays\.csv\.gz: no header line; expected a gzip-compressed CSV/,
    ],
  ] as const)('%s: a config error before any table is read', async (_title, make, message) => {
    const cache = fresh();
    const error = await refusal(make(), cache);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error.message).toMatch(message);
    expect(existsSync(cache)).toBe(false);
  });

  it('a cut or damaged file is named, and the cache keeps whole tables only, for the next load', async () => {
    const rows = Array.from({ length: 20_000 }, (_, k) => chart(220045, String(60 + (k % 50)), `03 ${String(k % 24).padStart(2, '0')}:00`));
    const path = write(files(rows), { gzip: true });
    const file = join(path, 'icu/chartevents.csv.gz');
    const whole = readFileSync(file);
    for (const [bytes, message] of [
      [whole.subarray(0, whole.length - 9), /chartevents\.csv\.gz: the compressed file is cut/],
      [whole.subarray(0, whole.length >> 1), /chartevents\.csv\.gz: the compressed file is cut/],
      [Buffer.concat([whole.subarray(0, -8), Buffer.alloc(8, 1)]), /chartevents\.csv\.gz: the compressed file is damaged/],
    ] as const) {
      writeFileSync(file, bytes);
      const cache = fresh();
      const error = await refusal(path, cache);
      expect(error).toBeInstanceOf(DataError);
      expect(error.message).toMatch(message);
      const { DuckDBInstance } = await import('@duckdb/node-api');
      const [name] = readdirSync(cache);
      const instance = await DuckDBInstance.create(join(cache, name));
      const connection = await instance.connect();
      const kept = (await connection.runAndReadAll('SELECT table_name FROM duckdb_tables() ORDER BY 1')).getRowsJS();
      expect(kept.flat()).toEqual(['admissions', 'icustays', 'patients']);
      connection.closeSync();
      instance.closeSync();
    }
    const plain = write(files());
    writeFileSync(join(plain, 'icu/chartevents.csv'), readFileSync(join(plain, 'icu/chartevents.csv')).subarray(0, -1));
    expect((await refusal(plain)).message).toMatch(/chartevents\.csv: the last line does not end/);
  });
});

it('a full disk, as DuckDB and Node put it: what to do, and nothing of the data', () => {
  for (const message of [
    'Failed to commit: Could not write file "x.duckdb.wal": No space left on device',
    'ENOSPC: no space left on device, write',
  ]) {
    const error = asCacheError(new Error(message), 'out/cache/x.duckdb') as Error;
    expect(error).toBeInstanceOf(StorageError);
    expect(error.message).toMatch(/^cannot write out\/cache\/x\.duckdb: the disk is full; free space, then give the same command again/);
  }
  const other = new DataError('icu/icustays.csv: no rows below the header');
  expect(asCacheError(other, 'x')).toBe(other);
});

// ---------------------------------------------------------------- generated and real folders

const configOf = (path: string, task: 'mortality' | 'readmission' = 'mortality', more: Record<string, unknown> = {}) =>
  resolveConfig({ output_dir: join(top, 'out'), data: { kind: 'mimic4', path, task, ...more } });

const SPEC = { stays: 150, rowsPerStay: 120, seed: 3, gzip: false };
const generated = fresh();
const rowsIn = (path: string, name: string): Record<string, string>[] => {
  const [header, ...lines] = readFileSync(join(path, `${name}.csv`), 'utf8')
    .trimEnd()
    .split('\n');
  const names = header.split(',');
  // No cell that is looked at here holds a comma; the one that does is quoted.
  return lines.map((line) => {
    const parts = line.replace(/"[^"]*"/g, 'quoted').split(',');
    return Object.fromEntries(names.map((column, i) => [column, parts[i]]));
  });
};

describe('MIMIC-IV folder: generated', () => {
  it('the generator: sizes as asked, the same seed the same files, compressed the same rows, no folder overwritten', async () => {
    const counts = await generateMimicFolder({ ...SPEC, out: generated });
    expect(counts.stays).toBe(150);
    expect(rowsIn(generated, 'icu/icustays')).toHaveLength(150);
    expect(rowsIn(generated, 'icu/chartevents')).toHaveLength(counts.chartRows);
    const same = fresh();
    await generateMimicFolder({ ...SPEC, out: same });
    for (const name of ['hosp/patients', 'hosp/admissions', 'icu/icustays', 'icu/chartevents']) {
      expect(readFileSync(join(same, `${name}.csv`), 'utf8')).toBe(readFileSync(join(generated, `${name}.csv`), 'utf8'));
    }
    const packed = fresh();
    await generateMimicFolder({ ...SPEC, out: packed, gzip: true });
    expect(await read(packed)).toEqual(await read(generated));
    await expect(generateMimicFolder({ ...SPEC, out: generated })).rejects.toThrow('has something in it');
  });

  it('heart rates, ages, sexes and labels of every stay are those that plain loops find; text, label and id belong together', async () => {
    const config = configOf(generated);
    const { cohort, flow } = await loadCohort(config);
    const task = taskOf(cohort, config);
    const admissions = new Map(rowsIn(generated, 'hosp/admissions').map((row) => [row.hadm_id, row]));
    const patients = new Map(rowsIn(generated, 'hosp/patients').map((row) => [row.subject_id, row]));
    const stays = new Map(rowsIn(generated, 'icu/icustays').map((row) => [row.stay_id, row]));
    /** Stay to day to [charttime, storetime, value] of the last heart rate. */
    const last = new Map<string, Map<string, readonly [string, string, number]>>();
    for (const row of rowsIn(generated, 'icu/chartevents')) {
      const stay = stays.get(row.stay_id);
      const value = Number(row.valuenum);
      if (row.itemid !== '220045' || stay === undefined || row.valuenum === '' || value > 300) continue;
      if (row.charttime < stay.intime || row.charttime > stay.outtime || row.storetime > stay.outtime) continue;
      const days = last.get(row.stay_id) ?? new Map<string, readonly [string, string, number]>();
      last.set(row.stay_id, days);
      const before = days.get(row.charttime.slice(0, 10));
      const next = [row.charttime, row.storetime, value] as const;
      if (before === undefined || `${next[0]} ${next[1]} ${1000 + value}` > `${before[0]} ${before[1]} ${1000 + before[2]}`) {
        days.set(row.charttime.slice(0, 10), next);
      }
    }
    const heart = mimicIndex('Heart Rate');
    let examples = 0;
    for (const split of SPLIT_NAMES) {
      for (let i = 0; i < task.numExamples(split); i++) {
        examples++;
        const { id, prompt, label, patient } = task.getExample(split, i);
        const stay = stays.get(id) as Record<string, string>;
        const person = patients.get(stay.subject_id) as Record<string, string>;
        const admission = admissions.get(stay.hadm_id) as Record<string, string>;
        expect(label).toBe(Number(admission.hospital_expire_flag));
        expect(patient.subject).toBe(stay.subject_id);
        expect(patient.sex).toBe(person.gender === 'M' ? 'male' : 'female');
        expect(patient.age).toBe(Number(person.anchor_age) + Number(admission.admittime.slice(0, 4)) - Number(person.anchor_year));
        const days = [...(last.get(id) ?? new Map()).entries()].sort(([a], [b]) => (a < b ? -1 : 1));
        const rates = days.map(([, [, , value]]) => value);
        const seen = patient.values[heart].filter((v) => v !== null);
        // The first of eight rows is of several days.
        const single = patient.visitTimes.length <= 7 ? seen : seen.slice(1);
        expect(single).toEqual(patient.visitTimes.length <= 7 ? rates : rates.slice(rates.length - single.length));
        if (seen.length >= 2) expect(prompt).toContain(` heart rate:${rates.slice(-config.prompt.last_visits).join(',')}\n`);
      }
    }
    expect(examples).toBe(cohort.patients.length);
    expect(examples).toBeGreaterThan(140);
    expect(flow?.find(({ rule }) => rule === 'kept')?.rows).toBeGreaterThan(5000);
    for (const { values, visitTimes } of cohort.patients) {
      expect(visitTimes.length).toBeLessThanOrEqual(8);
      MIMIC_VARIABLES.forEach(({ low, high }, v) => {
        for (const x of values[v]) if (x !== null && !(x >= low && x <= high)) expect.fail('a value is out of bounds');
      });
    }
  });

  it('label columns of the files do not move a feature: deaths, discharges, flags and dates of death changed', async () => {
    const features = ({ cohort }: Awaited<ReturnType<typeof loadCohort>>) =>
      new Map(cohort.patients.map(({ id, label: _label, ...rest }) => [id, rest]));
    const other = fresh();
    const content: Files = {};
    for (const name of ['hosp/patients', 'hosp/admissions', 'icu/icustays', 'icu/chartevents']) {
      content[name] = readFileSync(join(generated, `${name}.csv`), 'utf8')
        .trimEnd()
        .split('\n');
    }
    content['hosp/patients'] = content['hosp/patients'].map((line, i) => (i === 0 ? line : line.replace(/[^,]*$/, '')));
    content['hosp/admissions'] = content['hosp/admissions'].map((line, i) => {
      if (i === 0) return line;
      const cell = line.split(',');
      // Discharged an hour after admission, so before the ICU stay; who died lives, every third who lived dies.
      const discharge = new Date(Date.parse(`${cell[2].replace(' ', 'T')}Z`) + 3_600_000).toISOString().slice(0, 19).replace('T', ' ');
      const dies = cell.at(-1) === '0' && i % 3 === 0;
      return [...cell.slice(0, 3), discharge, dies ? discharge : '', ...cell.slice(5, -1), dies ? '1' : '0'].join(',');
    });
    write(content, { into: other });
    const [before, after] = [features(await loadCohort(configOf(generated))), features(await loadCohort(configOf(other)))];
    let compared = 0;
    for (const [id, sample] of after) {
      const expected = before.get(id);
      if (expected === undefined) continue; // dropped before by a date that is now in order
      compared++;
      expect(sample).toEqual(expected);
    }
    expect(compared).toBeGreaterThan(140);
  });

  it('readmission, an id file, a horizon: through the config', async () => {
    const { cohort, caveats } = await loadCohort(configOf(generated, 'readmission'));
    expect(cohort.task).toBe('readmission');
    expect(taskOf(cohort, configOf(generated, 'readmission')).getExample('test', 0).prompt).toContain('readmission within 30 days');
    expect(caveats).toHaveLength(3);
    const ids = join(top, 'ids.json');
    writeFileSync(ids, JSON.stringify(cohort.splits));
    expect((await loadCohort(configOf(generated, 'readmission', { split: ids }))).cohort).toEqual(cohort);
    const all = (await loadCohort(configOf(generated))).cohort;
    const early = (await loadCohort(configOf(generated, 'mortality', { horizon_days: 2, seed: 1 }))).cohort;
    const visits = (c: typeof all) => c.patients.reduce((sum, p) => sum + p.visitTimes.length, 0);
    expect(visits(early)).toBeLessThan(visits(all));
  });
});

const demo = process.env.EAGRL_MIMIC_DEMO;
describe.skipIf(demo === undefined)('MIMIC-IV folder: the real demo (runs when EAGRL_MIMIC_DEMO is its path)', () => {
  it('has 100 subjects, 275 admissions with 15 deaths, 140 stays of which 20 end in death', async () => {
    const { patients, admissions, stays } = await read(demo as string, join(top, 'demo'));
    expect([patients.length, admissions.length, stays.length]).toEqual([100, 275, 140]);
    expect(admissions.filter(({ expired }) => expired === 1)).toHaveLength(15);
    const { cohort } = await loadCohort(configOf(demo as string));
    expect(cohort.patients).toHaveLength(140);
    expect(cohort.patients.filter(({ label }) => label === 1)).toHaveLength(20);
    expect(new Set(cohort.patients.map(({ subject }) => subject)).size).toBe(100);
  });

  it('readmission: 113 stays of survivors, 27 positive', async () => {
    const { cohort } = await loadCohort(configOf(demo as string, 'readmission'));
    expect(cohort.patients).toHaveLength(113);
    expect(cohort.patients.filter(({ label }) => label === 1)).toHaveLength(27);
  });

  it('d_items names each item of the table as the table does', async () => {
    const { DuckDBInstance } = await import('@duckdb/node-api');
    const connection = await (await DuckDBInstance.create(':memory:')).connect();
    const rows = (
      await connection.runAndReadAll('SELECT itemid::INTEGER, label, linksto FROM read_csv($path, all_varchar = true)', {
        path: join(demo as string, 'icu/d_items.csv.gz'),
      })
    ).getRowsJS();
    const labels = new Map(rows.map(([id, label, table]) => [id, `${label} in ${table}`]));
    for (const { items } of MIMIC_VARIABLES) {
      for (const { id, label } of items) expect(labels.get(id)).toBe(`${label} in chartevents`);
    }
    connection.closeSync();
  });
});
