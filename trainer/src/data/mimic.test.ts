/**
 * Plan: from tables to a cohort, without any file. Each test of others' mistakes fails when the mistake is made (tried by hand).
 * - the table of variables: 17, 42 columns one-hot, every item once
 * - days: last 7 and one row before, coma scale total, horizon; never moved by death or discharge
 * - labels: mortality; readmission at 30 days from both sides, death, admission after death
 * - flow: each rule takes what it should; caveats and audit
 * - splits: by person, seeded, id file, at most so many; train statistics blind to the others
 */
import { describe, expect, it } from 'vitest';
import { columnFeatures, expertInput, featureStatistics } from '../expert/inputs.ts';
import { expertData } from '../stages/expert.ts';
import type { Cohort, Patient, SplitName } from '../types.ts';
import { DataError } from './errors.ts';
import { type MimicAdmission, type MimicOptions, type MimicPatient, type MimicStay, type MimicTables, mimicCohort } from './mimic.ts';
import { MIMIC_VARIABLES, mimicIndex } from './mimic_items.ts';

// ---------------------------------------------------------------- fixture

const DAY = 86_400;
const HOUR = 3600;
/** 2150-01-01, the day number and its midnight. */
const DAY0 = Date.UTC(2150, 0, 1) / 1000 / DAY;
const at = (day: number, hour = 0): number => (DAY0 + day) * DAY + hour * HOUR;
const HEART = mimicIndex('Heart Rate');
const WEIGHT = mimicIndex('Weight');

/** [stay, day, variable, value]. */
type Cell = readonly [number, number, number, number];

interface Draft {
  patients: MimicPatient[];
  admissions: MimicAdmission[];
  stays: MimicStay[];
  cells: Cell[];
}

/** 40 people; person n has admission n (days 0 to 10) and stay n (days 1 to 5); every fourth dies in hospital on day 10. */
function draft(): Draft {
  const ids = Array.from({ length: 40 }, (_, n) => n + 1);
  const dies = (n: number) => n % 4 === 0;
  return {
    patients: ids.map((n) => ({
      subject: n,
      sex: n % 2 === 0 ? 'male' : 'female',
      anchorAge: 60,
      anchorYear: 2149,
      deathDay: dies(n) ? DAY0 + 10 : null,
    })),
    admissions: ids.map((n) => ({
      subject: n,
      admission: 100 + n,
      admitTime: at(0),
      dischargeTime: at(10, 12),
      deathTime: dies(n) ? at(10, 12) : null,
      expired: dies(n) ? 1 : 0,
    })),
    stays: ids.map((n) => ({ subject: n, admission: 100 + n, stay: 1000 + n, inTime: at(1), outTime: at(5) })),
    cells: ids.flatMap((n): Cell[] => [
      [1000 + n, 1, HEART, 60 + n],
      [1000 + n, 2, HEART, 70 + n],
    ]),
  };
}

function tablesOf({ patients, admissions, stays, cells }: Draft): MimicTables {
  const sorted = cells.toSorted((a, b) => a[0] - b[0] || a[1] - b[1] || a[2] - b[2]);
  return {
    patients,
    admissions,
    stays,
    daily: {
      stay: Int32Array.from(sorted, (c) => c[0]),
      day: Int32Array.from(sorted, (c) => DAY0 + c[1]),
      variable: Uint8Array.from(sorted, (c) => c[2]),
      value: Float64Array.from(sorted, (c) => c[3]),
    },
    chartRows: [{ rule: 'kept', rows: cells.length }],
  };
}

const OPTIONS: MimicOptions = {
  task: 'mortality',
  maxDays: 7,
  horizonDays: null,
  split: null,
  maxStays: null,
  seed: 0,
  valFraction: 0.2,
  testFraction: 0.3,
};
const build = (change: (d: Draft) => void = () => {}, options: Partial<MimicOptions> = {}) => {
  const d = draft();
  change(d);
  return mimicCohort(tablesOf(d), { ...OPTIONS, ...options });
};
const stayOf = ({ cohort }: { cohort: Cohort }, n: number): Patient =>
  cohort.patients.find(({ id }) => id === String(1000 + n)) ?? expect.fail(`stay ${n} is not in the cohort`);
/** What a sample shows, apart from its label. */
const shown = ({ cohort }: { cohort: Cohort }) =>
  Object.fromEntries(cohort.patients.map(({ id, sex, age, visitTimes, values }) => [id, { sex, age, visitTimes, values }]));
const removed = (flow: readonly { readonly rule: string; readonly rows: number }[], rule: string): number => {
  const i = flow.findIndex((row) => row.rule === rule);
  return flow[i - 1].rows - flow[i].rows;
};
/** Gives person n a second admission. */
const again = (d: Draft, n: number, admitTime: number, dischargeTime = admitTime + DAY) =>
  d.admissions.push({ subject: n, admission: 200 + n, admitTime, dischargeTime, deathTime: null, expired: 0 });

// ---------------------------------------------------------------- tests

describe('MIMIC-IV variables', () => {
  it('are 17, with 42 columns one-hot, every item once, bounds in order', () => {
    const features = MIMIC_VARIABLES.map(({ feature }) => feature);
    expect(features).toHaveLength(17);
    expect(columnFeatures(features)).toHaveLength(42);
    expect(features.filter(({ levels }) => levels !== undefined).map(({ levels }) => levels?.length)).toEqual([2, 4, 6, 5, 13]);
    const ids = MIMIC_VARIABLES.flatMap(({ items }) => items.map(({ id }) => id));
    expect(new Set(ids).size).toBe(ids.length);
    for (const { low, high, source, items, feature } of MIMIC_VARIABLES) {
      expect(low).toBeLessThan(high);
      expect(source).not.toBe('');
      expect(items.length > 0 || feature.key === 'Glascow coma scale total').toBe(true);
    }
  });

  it('one-hot: a 1 at the nearest level of the last value, numbers as z-scores, importance by variable', () => {
    const cohort = build((d) => d.cells.push([1001, 1, mimicIndex('Glascow coma scale eye opening'), 3])).cohort;
    const stats = featureStatistics(cohort.patients, 17);
    const { series, numVisits } = expertInput(stayOf({ cohort }, 1), cohort, stats, 16);
    const columns = columnFeatures(cohort.features);
    expect(series).toHaveLength(numVisits * 42);
    for (let t = 0; t < numVisits; t++) {
      const row = Array.from(series.subarray(t * 42, (t + 1) * 42));
      expect(row.filter((_, c) => columns[c] === mimicIndex('Glascow coma scale eye opening'))).toEqual([0, 0, 1, 0]);
      // Never measured in anyone: the median stands at 0, whose nearest level is the first.
      expect(row.filter((_, c) => columns[c] === mimicIndex('Glascow coma scale total'))[0]).toBe(1);
    }
    const heart = columns.indexOf(HEART);
    expect(series[heart]).toBeCloseTo((61 - stats.mean[HEART]) / stats.std[HEART], 5);
  });
});

describe('expert inputs of a rare variable', () => {
  it.each([[[170]], [[170, 180]], [[170, 170]]])('measured as %j in all of train: finite', (heights) => {
    const { cohort } = build((d) => d.cells.push(...heights.map((h, i): Cell => [1001 + i, 1, mimicIndex('Height'), h])));
    const stats = featureStatistics(cohort.patients, 17);
    for (const patient of cohort.patients) {
      expect(expertInput(patient, cohort, stats, 16).series.every(Number.isFinite)).toBe(true);
    }
  });
});

describe('MIMIC-IV days', () => {
  it('the last 7 days one by one, all before as one row with its last values', () => {
    const cells: Cell[] = Array.from({ length: 10 }, (_, day) => [1001, day, HEART, 100 + day]);
    const cohort = build((d) => {
      d.cells = [...d.cells.filter(([stay]) => stay !== 1001), ...cells, [1001, 0, WEIGHT, 80], [1001, 1, WEIGHT, 81]];
    });
    const { visitTimes, values } = stayOf(cohort, 1);
    expect(visitTimes).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(values[HEART]).toEqual([102, 103, 104, 105, 106, 107, 108, 109]);
    expect(values[WEIGHT]).toEqual([81, null, null, null, null, null, null, null]);
  });

  it('exactly 7 days have no row before; days without a row are no visits', () => {
    const cohort = build((d) => {
      d.cells = d.cells.filter(([stay]) => stay !== 1001);
      for (const day of [0, 1, 2, 4, 5, 6, 9]) d.cells.push([1001, day, HEART, 100 + day]);
    });
    expect(stayOf(cohort, 1).visitTimes).toEqual([0, 1, 2, 4, 5, 6, 9]);
    expect(stayOf(cohort, 1).values[HEART]).toEqual([100, 101, 102, 104, 105, 106, 109]);
  });

  it('the coma scale total is the sum of the three parts of a row, and missing without one of them', () => {
    const part = (name: string) => mimicIndex(`Glascow coma scale ${name}`);
    const cohort = build((d) => {
      d.cells.push([1001, 1, part('eye opening'), 3], [1001, 1, part('motor response'), 5], [1001, 1, part('verbal response'), 2]);
      d.cells.push([1001, 2, part('eye opening'), 4], [1001, 2, part('motor response'), 6]);
    });
    expect(stayOf(cohort, 1).values[part('total')]).toEqual([10, null]);
  });

  it('windows do not depend on the label: other deaths, discharges and flags, the same features', () => {
    const before = build();
    for (const options of [{}, { task: 'readmission' } as const]) {
      const moved = build((d) => {
        d.admissions = d.admissions.map((a) => ({ ...a, dischargeTime: at(1, 1), deathTime: null, expired: 0 }));
        d.admissions[0] = { ...d.admissions[0], expired: 1 };
        d.patients = d.patients.map((p, n) => ({ ...p, deathDay: n % 3 === 0 ? DAY0 + 3 : null }));
        d.admissions = d.admissions.map((a, n) => (n % 5 === 1 && options.task === undefined ? { ...a, expired: 1 } : a));
        if (options.task !== undefined) d.admissions[0] = { ...d.admissions[0], expired: 0 };
      }, options);
      const expected = shown(before);
      for (const [id, features] of Object.entries(shown(moved))) expect(features).toEqual(expected[id]);
      expect(moved.cohort.patients).toHaveLength(40);
    }
  });

  it('a horizon cuts by the day of death or discharge, the same for both, and drops who has nothing before it', () => {
    const cohort = build((d) => d.cells.push([1001, 4, HEART, 99], [1004, 4, HEART, 98]), { horizonDays: 8 });
    expect(stayOf(cohort, 1).values[HEART]).toEqual([61, 71]);
    expect(stayOf(cohort, 4).values[HEART]).toEqual([64, 74]);
    expect(() => build(undefined, { horizonDays: 10 })).toThrow(/no ICU stay is left for mortality; .*10 days before the outcome: 0/);
    const few = build((d) => d.cells.push([1001, 0, HEART, 1]), { horizonDays: 9 });
    expect(stayOf(few, 1).values[HEART]).toEqual([1, 61]);
  });
});

describe('MIMIC-IV labels', () => {
  const label = (change: (d: Draft) => void): 0 | 1 => stayOf(build(change, { task: 'readmission' }), 1).label;
  // Somebody of each class must be there, whatever is asked of person 1.
  const others = (d: Draft) => {
    for (let n = 2; n <= 40; n += 3) if (n % 4 !== 0) again(d, n, at(20));
  };

  it('mortality: hospital_expire_flag of the admission, for each of its stays', () => {
    const cohort = build((d) => {
      d.stays.push({ subject: 4, admission: 104, stay: 2004, inTime: at(6), outTime: at(9) });
      d.cells.push([2004, 6, HEART, 90]);
    });
    expect(cohort.cohort.patients.filter(({ subject }) => subject === '4').map((p) => p.label)).toEqual([1, 1]);
    expect(stayOf(cohort, 1).label).toBe(0);
    expect(cohort.caveats.join()).toContain('no forecast');
  });

  it.each([
    ['no other admission', () => {}, 0],
    ['again after 30 days to the minute', (d: Draft) => again(d, 1, at(40, 12)), 1],
    ['again one minute later', (d: Draft) => again(d, 1, at(40, 12) + 60), 0],
    ['at the moment of discharge (a transfer)', (d: Draft) => again(d, 1, at(10, 12)), 0],
    ['before this admission', (d: Draft) => again(d, 1, at(-20)), 0],
    ['dead on day 30 after discharge', (d: Draft) => (d.patients[0] = { ...d.patients[0], deathDay: DAY0 + 40 }), 1],
    ['dead on day 31', (d: Draft) => (d.patients[0] = { ...d.patients[0], deathDay: DAY0 + 41 }), 0],
    ['somebody else came back', (d: Draft) => again(d, 5, at(20)), 0],
  ] as const)('readmission: %s', (_title, change, expected) => {
    expect(
      label((d) => {
        others(d);
        change(d);
      }),
    ).toBe(expected);
  });

  it.each(['mortality', 'readmission'] as const)('an admission after death is no sample: %s', (task) => {
    const { cohort, flow } = build(
      (d) => {
        others(d);
        // Dead on day 10; the admission of a donor of organs begins on day 11. One on the day of death itself stays.
        for (const [n, day] of [
          [4, 11],
          [8, 10],
        ]) {
          again(d, n, at(day, 23));
          d.stays.push({ subject: n, admission: 200 + n, stay: 2000 + n, inTime: at(day, 23), outTime: at(day + 1, 20) });
          d.cells.push([2000 + n, day, HEART, 40]);
        }
      },
      { task },
    );
    expect(cohort.patients.filter(({ id }) => id.startsWith('2')).map(({ id }) => id)).toEqual(['2008']);
    expect(removed(flow, 'not admitted after death')).toBe(1);
  });

  it('readmission: survivors only, the last stay of an admission', () => {
    const { cohort, flow, caveats } = build(
      (d) => {
        others(d);
        d.stays.push({ subject: 1, admission: 101, stay: 2001, inTime: at(6), outTime: at(9) });
        d.cells.push([2001, 6, HEART, 90]);
      },
      { task: 'readmission' },
    );
    expect(cohort.patients.filter(({ subject }) => subject === '1').map(({ id }) => id)).toEqual(['2001']);
    expect(removed(flow, 'left hospital alive')).toBe(10);
    expect(removed(flow, 'last ICU stay of its admission')).toBe(1);
    expect(caveats.join()).toContain('only returns to this hospital');
  });

  it('audit: label columns that contradict each other are counted', () => {
    const { audit } = build((d) => {
      d.admissions[0] = { ...d.admissions[0], deathTime: at(11) };
      d.admissions[3] = { ...d.admissions[3], deathTime: null };
      d.patients[7] = { ...d.patients[7], deathDay: DAY0 + 12 };
    });
    const of = (check: string) => audit.find((row) => row.check === check)?.rows;
    expect(of('label 1 (hospital_expire_flag)')).toBe(10);
    expect(of('label 0 with deathtime')).toBe(1);
    expect(of('label 1 without deathtime')).toBe(1);
    expect(of('deathtime outside the admission')).toBe(1);
    expect(of('label 1 and dod another day than deathtime')).toBe(1);
  });
});

describe('MIMIC-IV flow', () => {
  it.each([
    ['patient and admission in the folder', (d: Draft) => void (d.stays[0] = { ...d.stays[0], admission: 999 })],
    ['patient and admission in the folder', (d: Draft) => void (d.stays[0] = { ...d.stays[0], subject: 2 })],
    ['admission ends after it begins', (d: Draft) => void (d.admissions[0] = { ...d.admissions[0], dischargeTime: at(-1) })],
    ['admission ends after it begins', (d: Draft) => void (d.admissions[0] = { ...d.admissions[0], dischargeTime: null })],
    ['ICU stay ends after it begins', (d: Draft) => void (d.stays[0] = { ...d.stays[0], outTime: null })],
    ['age 18 or more', (d: Draft) => void (d.patients[0] = { ...d.patients[0], anchorAge: 16 })],
    ['something measured', (d: Draft) => void (d.cells = d.cells.filter(([stay]) => stay !== 1001))],
  ])('%s', (rule, change) => {
    const { flow, cohort } = build(change);
    expect(removed(flow, rule)).toBe(1);
    expect(flow[0]).toMatchObject({ rule: 'in the folder', unit: 'ICU stays', rows: 40 });
    expect(cohort.patients.some(({ id }) => id === '1001')).toBe(false);
  });

  it('age is that of the admission', () => {
    expect(stayOf(build(), 1).age).toBe(61);
  });
});

describe('MIMIC-IV splits', () => {
  /** Every person twice: a second admission with a stay. */
  const twice = (d: Draft) => {
    for (let n = 1; n <= 40; n++) {
      d.admissions.push({ subject: n, admission: 300 + n, admitTime: at(-50), dischargeTime: at(-40), deathTime: null, expired: 0 });
      d.stays.push({ subject: n, admission: 300 + n, stay: 3000 + n, inTime: at(-49), outTime: at(-45) });
      d.cells.push([3000 + n, -48, HEART, 80]);
    }
  };
  const homes = ({ cohort }: { cohort: Cohort }) => {
    const subject = new Map(cohort.patients.map((p) => [p.id, p.subject as string]));
    const all = new Map<string, Set<SplitName>>();
    for (const [name, ids] of Object.entries(cohort.splits)) {
      for (const id of ids) {
        const key = subject.get(id) as string;
        all.set(key, (all.get(key) ?? new Set()).add(name as SplitName));
      }
    }
    return all;
  };

  it('no person in two splits, both classes in each, the shares asked for, the same for the same seed', () => {
    const built = build(twice);
    const seen = homes(built);
    expect(seen.size).toBe(40);
    for (const splits of seen.values()) expect(splits.size).toBe(1);
    expect(Object.values(built.cohort.splits).map((ids) => ids.length)).toEqual([40, 16, 24]);
    expect(build(twice).cohort.splits).toEqual(built.cohort.splits);
    expect(build(twice, { seed: 1 }).cohort.splits).not.toEqual(built.cohort.splits);
  });

  it('reads splits.json back to the same cohort; stays that it does not name are left out', () => {
    const built = build(twice);
    const back = build(twice, { split: { ids: built.cohort.splits, source: 'splits.json' } });
    expect(back.cohort).toEqual(built.cohort);
    const { train, val, test } = built.cohort.splits;
    const fewer = build(twice, { split: { ids: { train: train.slice(0, 30), val, test }, source: 'splits.json' } });
    expect(fewer.cohort.patients).toHaveLength(70);
    expect(removed(fewer.flow, 'in a split')).toBe(10);
  });

  it('leaves out stays of the id file that a rule took away, the horizon for one; refuses those that the folder has not', () => {
    const built = build(twice);
    const { train, val, test } = built.cohort.splits;
    const split = { ids: { train, val, test }, source: 'splits.json' };
    const early = build(twice, { split, horizonDays: 9 });
    const gone = built.cohort.patients.filter(({ id }) => !early.cohort.patients.some((p) => p.id === id));
    expect(gone).toHaveLength(40);
    expect(early.cohort.splits.train).toEqual(train.filter((id) => !gone.some((p) => p.id === id)));
    const minor = build(
      (d) => {
        twice(d);
        d.patients[0] = { ...d.patients[0], anchorAge: 16 };
      },
      { split },
    );
    expect(minor.cohort.patients).toHaveLength(78);
    const unknown = { ids: { train: [...train, '999'], val, test }, source: 'splits.json' };
    expect(() => build(twice, { split: unknown })).toThrow(
      `splits.json: split "train", entry ${train.length + 1}: names a patient who is not`,
    );
  });

  it('refuses an id file that puts two stays of one person into two splits, and says no id', () => {
    const { train, val, test } = build(twice).cohort.splits;
    const ids = { train: train.slice(1), val, test: [...test, train[0]] };
    const refused = () => build(twice, { split: { ids, source: 'splits.json' } });
    expect(refused).toThrow(DataError);
    expect(refused).toThrow(/^splits\.json: split "test", entry 25: another stay of this patient is in split "train"/);
    expect(refused).not.toThrow(train[0]);
  });

  it('at most so many stays, whole persons', () => {
    const { cohort, flow } = build(twice, { maxStays: 41 });
    expect(cohort.patients).toHaveLength(40);
    expect(new Set(cohort.patients.map(({ subject }) => subject)).size).toBe(20);
    expect(flow.map(({ rule }) => rule)).toContain('drawn, at most 41 stays');
  });

  it('the statistics of the train split do not see the others', () => {
    /** The expert's inputs of the train stays. */
    const inputs = ({ cohort }: { cohort: Cohort }) => {
      const { patients, split } = expertData(cohort);
      return split.train.map((i) => patients[i]);
    };
    const built = build();
    const outside = new Set([...built.cohort.splits.val, ...built.cohort.splits.test].map(Number));
    const changed = build((d) => {
      d.cells = d.cells.map((c) => (outside.has(c[0]) ? [c[0], c[1], c[2], c[3] + 100] : c));
    });
    expect(changed.cohort.splits).toEqual(built.cohort.splits);
    expect(inputs(changed)).toEqual(inputs(built));
  });
});
