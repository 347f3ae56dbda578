/**
 * Plan: cohorts to a MEDS folder and back.
 *   round trip: a generated cohort, and one with categories and values a float32 cannot hold; splits, labels, sexes, ages, visits
 *   the folder is what the standard asks: types, order, one row per code, splits by their names, labels not after the last value
 *   others' data: other codes for one lab, unknown ones and other units left out and counted, nothing after the prediction time
 *   bad input: a folder without parts, a missing or wrong column, a cut file, empty and double ids, impossible dates: file, column, row
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, describe, expect, it } from 'vitest';
import type { Cohort } from '../types.ts';
import { ConfigError } from '../util/errors.ts';
import { DataError } from './errors.ts';
import { readMeds, writeMeds } from './meds.ts';
import { MIMIC_VARIABLES } from './mimic_items.ts';
import { generateSyntheticCohort } from './synthetic.ts';

const top = mkdtempSync(join(tmpdir(), 'eagrl-meds-'));
afterAll(() => rmSync(top, { recursive: true }));
let folders = 0;
const fresh = (): string => join(top, `folder${folders++}`);
const read = (path: string, task: Cohort['task'] = 'mortality') => readMeds({ path, task, split: null });

async function sql(statement: string): Promise<unknown[][]> {
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  const rows = (await connection.runAndReadAll(statement)).getRowsJS();
  connection.closeSync();
  instance.closeSync();
  return rows;
}
const generated = generateSyntheticCohort({ seed: 3, split: { train: 20, val: 10, test: 12 } });

describe('round trip', () => {
  it('a generated cohort comes back as it went', async () => {
    const path = fresh();
    const counts = await writeMeds(generated, path, '0.1.0');
    const measured = generated.patients.flatMap((p) => p.values.flat()).filter((v) => v !== null).length;
    expect(counts).toEqual({ subjects: 42, events: measured + 2 * 42, codes: 20 });
    const { cohort, flow } = await read(path);
    const number = (id: string) => id.slice(1);
    expect(cohort.features).toEqual(generated.features.map(({ key: _key, ...feature }) => ({ key: feature.name, ...feature })));
    expect(cohort.splits).toEqual(Object.fromEntries(Object.entries(generated.splits).map(([name, ids]) => [name, ids.map(number)])));
    expect(cohort.patients).toHaveLength(42);
    for (const patient of generated.patients) {
      // A visit at which nothing was measured leaves no event.
      const kept = patient.visitTimes.flatMap((_, t) => (patient.values.some((series) => series[t] !== null) ? [t] : []));
      expect(cohort.patients.find(({ id }) => id === number(patient.id))).toEqual({
        ...patient,
        id: number(patient.id),
        visitTimes: kept.map((t) => patient.visitTimes[t] - patient.visitTimes[kept[0]]),
        values: patient.values.map((series) => kept.map((t) => series[t])),
      });
    }
    expect(flow.at(-1)?.patients).toBe(42);
  });

  it('categories keep their levels, a long value its first seven digits', async () => {
    const features = MIMIC_VARIABLES.slice(0, 7).map(({ feature }) => feature);
    const patients = Array.from({ length: 12 }, (_, i) => ({
      id: String(30_000_000 + i),
      sex: i % 2 === 0 ? ('male' as const) : ('female' as const),
      age: 60.5,
      visitTimes: [0, 2],
      values: features.map((f) => (f.levels === undefined ? [Math.PI * (i + 1), null] : [f.levels[0], f.levels[1]])),
      label: (i % 2) as 0 | 1,
    }));
    const ids = patients.map(({ id }) => id);
    const splits = { train: ids.slice(0, 4), val: ids.slice(4, 8), test: ids.slice(8) };
    const path = fresh();
    await writeMeds({ name: 'mimic4', task: 'readmission', features, patients, splits }, path, '0.1.0');
    const { cohort } = await read(path, 'readmission');
    expect(cohort.features.map(({ name, levels }) => [name, levels])).toEqual(features.map(({ name, levels }) => [name, levels]));
    expect(cohort.patients[2].values[0]).toEqual([0, 1]);
    expect(cohort.patients[2].values[5]).toEqual([Number((3 * Math.PI).toPrecision(7)), null]);
    expect(cohort.patients.map(({ age, sex, label }) => [age, sex, label])).toEqual(
      patients.map(({ age, sex, label }) => [age, sex, label]),
    );
  });
});

describe('the folder', () => {
  const path = fresh();
  const data = join(path, 'data', '0.parquet');
  it('has the columns, the order and the files of the standard', async () => {
    await writeMeds(generated, path, '0.1.0');
    const types = await sql(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM '${data}')`);
    expect(types).toEqual([
      ['subject_id', 'BIGINT'],
      ['time', 'TIMESTAMP'],
      ['code', 'VARCHAR'],
      ['numeric_value', 'FLOAT'],
    ]);
    const [[unsorted, codes, described]] = await sql(`SELECT
      (SELECT count(*)::INTEGER FROM (SELECT subject_id AS id, time AS t, lag(subject_id) OVER () AS id0, lag(time) OVER () AS t0 FROM '${data}')
        WHERE id < id0 OR (id = id0 AND (t < t0 OR (t IS NULL AND t0 IS NOT NULL)))),
      (SELECT count(DISTINCT code)::INTEGER FROM '${data}'), (SELECT count(*)::INTEGER FROM '${join(path, 'metadata', 'codes.parquet')}')`);
    expect(unsorted).toBe(0);
    expect(described).toBe(codes);
    expect(await sql(`SELECT DISTINCT split FROM '${join(path, 'metadata', 'subject_splits.parquet')}' ORDER BY 1`)).toEqual([
      ['held_out'],
      ['train'],
      ['tuning'],
    ]);
    expect(JSON.parse(readFileSync(join(path, 'metadata', 'dataset.json'), 'utf8'))).toMatchObject({
      dataset_name: 'synthetic',
      etl_name: 'eagrl',
    });
  });
  it('is not written over, and not half', async () => {
    await expect(writeMeds(generated, path, '0.1.0')).rejects.toThrow(ConfigError);
    const odd = fresh();
    const same = { ...generated, patients: generated.patients.map((p) => ({ ...p, id: 'P1' })) };
    await expect(writeMeds(same, odd, '0.1.0')).rejects.toThrow('do not end in different ones');
    expect(existsSync(odd)).toBe(false);
  });
});

// ---------------------------------------------------------------- made by others

interface Parts {
  data: string;
  codes: string;
  splits: string;
  labels: string;
}
/** Six subjects, a label each, sodium on one day; every part a SELECT that a test may change. */
function parts(): Parts {
  const ids = 'range(1, 13) AS s(id)';
  return {
    data: `SELECT id AS subject_id, time::TIMESTAMP AS time, code, v::FLOAT AS numeric_value FROM ${ids}, (VALUES
        (NULL, 'GENDER//M', NULL), ('1960-01-01', 'MEDS_BIRTH', NULL), ('2020-01-01 08:00', 'LAB//sodium//mmol/L', 140),
        ('2020-01-01 20:00', 'LAB//2951//mmol/L', 141), ('2020-01-01 09:00', 'LAB//urea//mg/dL', 40), ('2020-01-02', 'DIAGNOSIS//X', NULL),
        ('2020-01-03', 'LAB//sodium//mmol/L', 150)) AS e(time, code, v) ORDER BY id, time NULLS FIRST`,
    codes: `SELECT * FROM (VALUES ('LAB//sodium//mmol/L', NULL), ('LAB//2951//mmol/L', 'Sodium'), ('LAB//urea//mg/dL', NULL), ('DIAGNOSIS//X', 'x')) AS c(code, description)`,
    splits: `SELECT id AS subject_id, CASE WHEN id < 5 THEN 'train' WHEN id < 9 THEN 'tuning' ELSE 'held_out' END AS split FROM ${ids}`,
    labels: `SELECT id AS subject_id, TIMESTAMP '2020-01-02' AS prediction_time, id % 2 = 0 AS boolean_value FROM ${ids}`,
  };
}
const FILES: Readonly<Record<keyof Parts, string>> = {
  data: 'data/train/0.parquet',
  codes: 'metadata/codes.parquet',
  splits: 'metadata/subject_splits.parquet',
  labels: 'tasks/mortality/0.parquet',
};
async function made(change: (p: Parts) => void = () => {}): Promise<string> {
  const path = fresh();
  const own = parts();
  change(own);
  for (const name of Object.keys(FILES) as (keyof Parts)[]) {
    const file = join(path, FILES[name]);
    mkdirSync(dirname(file), { recursive: true });
    await sql(`COPY (${own[name]}) TO '${file}' (FORMAT parquet)`);
  }
  return path;
}

describe('made by others', () => {
  it('codes by name or description, other units and unknown codes left out, the last value of a day, nothing after the prediction', async () => {
    const { cohort, flow } = await read(await made());
    expect(cohort.features.map(({ name }) => name)).toEqual(['sodium']);
    expect(cohort.patients[0]).toMatchObject({ sex: 'male', visitTimes: [0], values: [[141]], label: 0 });
    expect(cohort.patients[0].age).toBeCloseTo(60, 1);
    expect(flow.map(({ rows }) => rows)).toEqual([84, 84, 24, 12]);
  });

  it('a day is a calendar day before 1970 too', async () => {
    const back = (p: Parts) => {
      p.data = `SELECT * REPLACE (time - INTERVAL 50 YEAR - INTERVAL 1 DAY AS time) FROM (${p.data})`;
      p.labels = `SELECT * REPLACE (TIMESTAMP '1970-01-01 23:00' AS prediction_time) FROM (${p.labels})`;
    };
    const { cohort } = await read(await made(back));
    expect(cohort.patients[0]).toMatchObject({ visitTimes: [0], values: [[141]] }); // 1969-12-31, 8 and 20 o'clock
    const [late] = (
      await read(
        await made((p) => {
          back(p);
          p.data = `SELECT * REPLACE (CASE WHEN code = 'LAB//2951//mmol/L' THEN time + INTERVAL 16 HOUR ELSE time END AS time) FROM (${p.data})`;
        }),
      )
    ).cohort.patients;
    expect(late).toMatchObject({ visitTimes: [0, 1], values: [[140, 141]] }); // the second one at noon of 1970-01-01
  });

  const bad: readonly (readonly [string, (p: Parts) => void, RegExp])[] = [
    [
      'a missing column',
      (p) => void (p.data = `SELECT * EXCLUDE (code) FROM (${p.data})`),
      /data\/\*\*\/\*\.parquet: column code is missing; found subject_id, time/,
    ],
    [
      'a column of another type',
      (p) => void (p.data = `SELECT * REPLACE (code AS time) FROM (${p.data})`),
      /column time: expected TIMESTAMP, got VARCHAR/,
    ],
    [
      'swapped columns',
      (p) => void (p.splits = `SELECT split AS subject_id, subject_id AS split FROM (${p.splits})`),
      /subject_splits\.parquet, column subject_id: expected BIGINT, got VARCHAR/,
    ],
    [
      'an empty id',
      (p) => void (p.data = `SELECT * REPLACE (nullif(subject_id, 3) AS subject_id) FROM (${p.data})`),
      /0\.parquet of data.*, column subject_id, row 15: empty/,
    ],
    [
      'an impossible date',
      (p) => void (p.data = `SELECT * REPLACE (time + INTERVAL 800 YEAR AS time) FROM (${p.data})`),
      /column time, row \d+: an impossible date/,
    ],
    [
      'no number',
      (p) => void (p.data = `SELECT * REPLACE ('nan'::FLOAT AS numeric_value) FROM (${p.data})`),
      /column numeric_value, row 1: expected a finite number/,
    ],
    [
      'two labels',
      (p) => void (p.labels = `${p.labels} UNION ALL SELECT 4, TIMESTAMP '2020-01-01', true`),
      /tasks\/mortality.*, column subject_id, row \d+: this subject_id has another row/,
    ],
    [
      'two splits',
      (p) => void (p.splits = `${p.splits} UNION ALL SELECT 4, 'held_out'`),
      /subject_splits\.parquet, column subject_id, row \d+: this subject_id/,
    ],
    ['no lab at all', (p) => void (p.codes = `SELECT 'A' AS code, 'b' AS description`), /no code names a lab/],
    ['no sex', (p) => void (p.data = `SELECT * FROM (${p.data}) WHERE time IS NOT NULL`), /has no GENDER\/\/M or GENDER\/\/F/],
    ['one class', (p) => void (p.labels = `SELECT * REPLACE (true AS boolean_value) FROM (${p.labels})`), /has one class only/],
  ];
  it.each(bad)('%s is refused by place, without a value', async (_title, change, message) => {
    const error = await read(await made(change)).then(
      () => expect.fail('expected an error'),
      (e: Error) => e,
    );
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/14[01]|1960|2020|2820/);
  });

  it('a folder without parts, a cut file', async () => {
    await expect(read(join(top, 'none'))).rejects.toThrow(/has no data\/; expected a MEDS folder/);
    await expect(read(await made(), 'readmission')).rejects.toThrow(/has no tasks\/readmission\/\*\*\/\*\.parquet/);
    const path = await made();
    truncateSync(join(path, FILES.data), 200);
    await expect(read(path)).rejects.toThrow(/data\/\*\*\/\*\.parquet: not a readable parquet file; copy it again/);
  });
});
