/**
 * Plan: the TJH loader on a small spreadsheet that this test writes itself, and on the real one when EAGRL_TJH names it.
 * - protocol: ids filled down, undated rows dropped, negatives missing, rows of a day averaged, flow counted
 * - every bad input is refused with file, sheet, column and row, and without a patient's value
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { xlsx } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DataError } from './errors.ts';
import { LABS } from './lab_dictionary.ts';
import { latest } from './range.ts';
import type { Cell } from './tjh.ts';
import { loadTjh } from './tjh_xlsx.ts';

// ---------------------------------------------------------------- fixture

const labColumns = LABS.flatMap((lab) => lab.tjh ?? []);
const DROPPED = '2019-nCoV nucleic acid detection';
const HEADER = [
  'PATIENT_ID',
  'RE_DATE',
  'age',
  'gender',
  'Admission time',
  'Discharge time',
  'outcome',
  `${labColumns[0]} `,
  ...labColumns.slice(1),
  DROPPED,
];
const at = (day: number, hour = 8) => new Date(Date.UTC(2020, 0, day, hour));
const column = (name: string) => HEADER.findIndex((h) => h.trim() === name);

interface Draw {
  id?: number;
  date?: Date | null;
  outcome?: number;
  gender?: number;
  labs?: Record<string, Cell>;
}

function row({ id, date = at(1), outcome = 0, gender = 1, labs = {} }: Draw): Cell[] {
  const cells: Cell[] = new Array(HEADER.length).fill(null);
  const meta: Cell[] = [id ?? null, date, 50 + outcome, gender, at(1), at(30), outcome];
  meta.forEach((cell, c) => {
    cells[c] = cell;
  });
  for (const [name, value] of Object.entries(labs)) cells[column(name)] = value;
  return cells;
}

/** Six patients, two per split, one death each; patient 1 has two draws on one day and a second day. */
function table(): Cell[][] {
  return [
    HEADER.slice(),
    row({ id: 1, gender: 2, date: at(3, 7), labs: { creatinine: 80, Urea: -1 } }),
    row({ date: at(3, 19), gender: 2, labs: { creatinine: 90 } }),
    row({ date: at(6), gender: 2, labs: { creatinine: 120, [DROPPED]: -1 } }),
    row({ date: null, gender: 2, labs: { creatinine: 999 } }),
    row({ id: 2, outcome: 1, labs: { hemoglobin: 100 } }),
    row({ id: 3, labs: { hemoglobin: 140 } }),
    row({ id: 4, outcome: 1, labs: { hemoglobin: 90 } }),
    row({ id: 5, labs: { hemoglobin: 150 } }),
    row({ id: 6, outcome: 1, labs: { hemoglobin: 80 } }),
  ];
}

const goodSplit = { train: [1, 2], val: [3, 4], test: [5, 6] };
let folder = '';
let files = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'eagrl-tjh-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function load(
  rows: readonly (readonly Cell[])[],
  split: unknown = goodSplit,
  minVisits: 1 | 2 = 1,
  horizonDays: number | null = null,
) {
  const path = join(folder, `tjh${files++}.xlsx`);
  const splitPath = join(folder, `split${files}.json`);
  await writeFile(path, xlsx(rows));
  await writeFile(splitPath, typeof split === 'string' ? split : JSON.stringify(split));
  return loadTjh({ path, splitPath, minVisits, horizonDays });
}

/** The refusal of a table changed by `change`. */
async function refusal(change: (rows: Cell[][]) => void, split?: unknown): Promise<string> {
  const rows = table();
  change(rows);
  const error = await load(rows, split).then(
    () => expect.fail('expected a DataError'),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(DataError);
  return (error as Error).message;
}

// ---------------------------------------------------------------- tests

describe('TJH loader: protocol', () => {
  it('averages a day, drops undated rows, reads negatives as missing', async () => {
    const { cohort, flow } = await load(table());
    expect(cohort.features).toHaveLength(73);
    expect(cohort.patients).toHaveLength(6);
    const first = cohort.patients[0];
    expect(first).toMatchObject({ id: '1', sex: 'female', label: 0, visitTimes: [0, 3] });
    const series = (key: string) => first.values[cohort.features.findIndex((f) => f.key.trim() === key)];
    expect(series('creatinine')).toEqual([85, 120]);
    expect(latest(series('Urea'))).toBeNull();
    expect(cohort.features[0].key).toBe(`${labColumns[0]} `);
    expect(cohort.splits).toEqual({ train: ['1', '2'], val: ['3', '4'], test: ['5', '6'] });
    expect(flow.slice(0, 4)).toEqual([
      { rule: 'rows in the file', rows: 9, patients: 6 },
      { rule: 'record date and discharge date known', rows: 8, patients: 6 },
      { rule: 'rows of one patient-day averaged', rows: 7, patients: 6 },
      { rule: 'in a split, at least 1 visit', rows: 7, patients: 6 },
    ]);
  });
});

describe('TJH loader: at least two visits', () => {
  /** Everybody with a second day but patient 7, whose two draws are of one day. */
  const second = (day: number): Cell[][] => [
    HEADER.slice(),
    ...[1, 2, 3, 4, 5, 6, 7].flatMap((id) => {
      const outcome = id % 2 === 0 ? 1 : 0;
      return [row({ id, outcome, date: at(2, 7) }), row({ outcome, date: id === 7 ? at(2, 19) : at(day) })];
    }),
  ];
  const seven = { ...goodSplit, train: [1, 2, 7] };
  it('leaves out who has one, from the splits too, and counts', async () => {
    expect((await load(second(9), seven)).cohort.splits.train).toEqual(['1', '2', '7']);
    const { cohort, flow } = await load(second(9), seven, 2);
    expect(cohort.patients.map(({ id }) => id)).toEqual(['1', '2', '3', '4', '5', '6']);
    expect(cohort.splits).toEqual({ train: ['1', '2'], val: ['3', '4'], test: ['5', '6'] });
    expect(flow).toContainEqual({ rule: 'in a split, at least 2 visits', rows: 12, patients: 6 });
  });
  it('counts the visits that a horizon has left', async () => {
    // Discharge is on day 30: of days 2 and 9, a horizon of 25 days leaves the first.
    await expect(load(second(9), seven, 2, 25)).rejects.toThrow('split "train" is empty');
    expect((await load(second(9), seven, 2, 21)).cohort.patients).toHaveLength(6);
  });
});

describe('TJH loader: horizon', () => {
  it('keeps days at least so many before discharge, drops who has none, and counts both', async () => {
    // Discharge is on day 30; patient 1 has visits on days 3 and 6, the others on day 1.
    const kept = await load(table(), goodSplit, 1, 25);
    expect(kept.cohort.patients[0]).toMatchObject({ id: '1', visitTimes: [0] });
    expect(kept.flow).toContainEqual({ rule: 'at least 25 days before the outcome', rows: 6, patients: 6 });
    const edge = await load(table(), goodSplit, 1, 24);
    expect(edge.cohort.patients[0].visitTimes).toEqual([0, 3]);
    // On day 2 patient 1 had no visit yet; whoever is left must still be in splits of two classes, so one more survivor comes in.
    const eight = [...table(), row({ id: 7, labs: { hemoglobin: 120 } })];
    const { cohort, flow } = await load(eight, { ...goodSplit, train: [1, 2, 7] }, 1, 28);
    expect(cohort.patients.map(({ id }) => id)).toEqual(['2', '3', '4', '5', '6', '7']);
    expect(cohort.splits.train).toEqual(['2', '7']);
    expect(flow).toContainEqual({ rule: 'at least 28 days before the outcome', rows: 6, patients: 6 });
  });
});

describe('TJH loader: dates', () => {
  /** Discharge is on day 30. */
  const late = () => [...table().slice(0, 6), row({ date: at(31), outcome: 1, labs: { hemoglobin: 60 } }), ...table().slice(6)];
  it('rows after the day of discharge are kept, as published, and counted', async () => {
    const { cohort, audit } = await load(late());
    expect(cohort.patients[1]).toMatchObject({ id: '2', visitTimes: [0, 30] });
    expect(audit).toEqual([{ check: 'rows dated after the day of discharge, kept as published (patients: 1)', rows: 1 }]);
    const sameDay = [...table().slice(0, 6), row({ date: at(30, 23), outcome: 1, labs: { hemoglobin: 60 } }), ...table().slice(6)];
    expect((await load(sameDay)).audit[0].rows).toBe(0);
  });
  it('a horizon of 0 days leaves them out', async () => {
    const { cohort } = await load(late(), goodSplit, 1, 0);
    expect(cohort.patients[1]).toMatchObject({ id: '2', visitTimes: [0] });
  });
  it('a record before the admission, or a discharge before it, is refused', async () => {
    expect(await refusal((rows) => void (rows[5][1] = at(0)))).toMatch(/column "RE_DATE", row 6: before the day of admission/);
    expect(await refusal((rows) => void (rows[5][5] = at(0)))).toMatch(/column "Discharge time", row 6: before the admission/);
  });
});

describe('TJH loader: bad input', () => {
  it('missing spreadsheet', async () => {
    const splitPath = join(folder, 'ok.json');
    await writeFile(splitPath, JSON.stringify(goodSplit));
    await expect(loadTjh({ path: join(folder, 'none.xlsx'), splitPath })).rejects.toThrow(/none\.xlsx.*ENOENT/);
  });
  it('missing split file', async () => {
    const path = join(folder, 'ok.xlsx');
    await writeFile(path, xlsx(table()));
    await expect(loadTjh({ path, splitPath: join(folder, 'none.json') })).rejects.toThrow(/none\.json.*ENOENT/);
  });
  it('not an xlsx file', async () => {
    const path = join(folder, 'text.xlsx');
    const splitPath = join(folder, 'ok2.json');
    await writeFile(path, 'PATIENT_ID,RE_DATE\n');
    await writeFile(splitPath, JSON.stringify(goodSplit));
    await expect(loadTjh({ path, splitPath })).rejects.toThrow(DataError);
  });
  it('wrong sheet', async () => {
    const message = await refusal((rows) => {
      rows[0][0] = 'id';
    });
    expect(message).toContain('"Sheet1"');
    expect(message).toContain('PATIENT_ID');
  });
  it('missing lab column', async () => {
    const message = await refusal((rows) => rows.forEach((r) => void r.splice(column('creatinine'), 1)));
    expect(message).toContain('column "creatinine" is missing');
  });
  it('missing outcome column', async () => {
    expect(await refusal((rows) => void (rows[0][6] = null))).toContain('column "outcome" is missing');
  });
  it('unknown column', async () => {
    expect(await refusal((rows) => void (rows[0][column('Urea')] = 'shoe size'))).toContain('"shoe size"');
  });
  it('text in a lab: file, sheet, column, row, and not the value', async () => {
    const message = await refusal((rows) => void (rows[2][column('creatinine')] = '>1000'));
    expect(message).toMatch(/tjh\d+\.xlsx, sheet "Sheet1", column "creatinine", row 3: expected a number, got text/);
    expect(message).not.toContain('1000');
  });
  it('text in place of a date', async () => {
    expect(await refusal((rows) => void (rows[1][1] = 'yesterday'))).toContain('column "RE_DATE", row 2');
  });
  it('outcome that is neither 0 nor 1', async () => {
    expect(await refusal((rows) => void (rows[5][6] = 3))).toContain('column "outcome", row 6');
  });
  it('outcome that changes within a patient', async () => {
    expect(await refusal((rows) => void (rows[2][6] = 1))).toContain('differs');
  });
  it('empty split', async () => {
    expect(await refusal(() => {}, { ...goodSplit, val: [] })).toContain('"val" is empty');
  });
  it('one class only', async () => {
    expect(await refusal(() => {}, { train: [1], val: [3, 4], test: [5, 6] })).toContain('one class');
  });
  it('id in two splits', async () => {
    expect(await refusal(() => {}, { ...goodSplit, test: [5, 6, 1] })).toContain(
      'split "test", entry 3: this patient is already in split "train"',
    );
  });
  it('id not in the file', async () => {
    expect(await refusal(() => {}, { ...goodSplit, test: [5, 6, 77] })).toContain('entry 3: names a patient who is not in the data');
  });
  it('split file without a split', async () => {
    expect(await refusal(() => {}, { train: [1, 2], val: [3, 4] })).toContain('"test"');
  });
  it('split file that is not JSON', async () => {
    expect(await refusal(() => {}, 'train: 1, 2')).toContain('not JSON');
  });
});

const real = process.env.EAGRL_TJH;
describe.skipIf(real === undefined)('TJH loader: the real file (runs when EAGRL_TJH is the path of the xlsx)', () => {
  const load = (minVisits: 1 | 2) =>
    loadTjh({ path: real as string, splitPath: join(dirname(real as string), 'split_140_21_200.json'), minVisits });

  it('has 361 patients in 140/21/200 with 65/10/91 deaths', async () => {
    const { cohort, audit } = await load(1);
    expect(audit).toEqual([{ check: 'rows dated after the day of discharge, kept as published (patients: 18)', rows: 28 }]);
    const died = new Set(cohort.patients.filter((p) => p.label === 1).map((p) => p.id));
    const { train, val, test } = cohort.splits;
    expect(cohort.patients).toHaveLength(361);
    expect([train, val, test].map((ids) => ids.length)).toEqual([140, 21, 200]);
    expect([train, val, test].map((ids) => ids.filter((id) => died.has(id)).length)).toEqual([65, 10, 91]);
  });

  it('keeps 125/20/178 patients with at least 2 visits', async () => {
    const { cohort } = await load(2);
    const { train, val, test } = cohort.splits;
    expect([train, val, test].map((ids) => ids.length)).toEqual([125, 20, 178]);
  });
});
