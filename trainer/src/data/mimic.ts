/**
 * MIMIC-IV: ICU stays with 17 vital signs and scores, as a cohort for in-hospital mortality or 30-day readmission. Pure: from the rows of
 * four tables to a cohort. `mimic_folder.ts` reads the folder.
 *
 * A sample is an ICU stay, a visit a calendar day of it: the last value of the day, the 7 latest days with a measurement, and one row with
 * the last value of each variable over all days before them (eag-rl.md section 7 [a]). Which rows are seen depends on the times of the
 * stay and of the rows, never on death or discharge, unless a horizon is asked for.
 */
import type { Cohort, Patient, Sex, SplitName } from '../types.ts';
import { DataError } from './errors.ts';
import { MIMIC_VARIABLES, mimicIndex } from './mimic_items.ts';
import { Rng } from './rng.ts';
import { checkSplits, SPLIT_NAMES } from './splits.ts';
import type { FlowRow, SplitIds } from './tjh.ts';

/** hosp/patients. */
export interface MimicPatient {
  readonly subject: number;
  readonly sex: Sex;
  /** Age in `anchorYear`; 91 stands for 89 and more. */
  readonly anchorAge: number;
  readonly anchorYear: number;
  /** Day of death in or after hospital, days since 1970-01-01; null = alive, or not known. */
  readonly deathDay: number | null;
}

/** hosp/admissions. Times in seconds since 1970-01-01 on the shifted calendar; null = not given. */
export interface MimicAdmission {
  readonly subject: number;
  readonly admission: number;
  readonly admitTime: number;
  readonly dischargeTime: number | null;
  readonly deathTime: number | null;
  /** hospital_expire_flag: 1 = died in hospital. */
  readonly expired: 0 | 1;
}

/** icu/icustays. Times as in {@link MimicAdmission}. */
export interface MimicStay {
  readonly subject: number;
  readonly admission: number;
  readonly stay: number;
  readonly inTime: number;
  readonly outTime: number | null;
}

/** Last value of each (stay, day, variable), sorted by stay, then day; four columns of one length. */
export interface DailyValues {
  readonly stay: Int32Array;
  /** Days since 1970-01-01. */
  readonly day: Int32Array;
  /** Place in MIMIC_VARIABLES. */
  readonly variable: Uint8Array;
  readonly value: Float64Array;
}

export interface MimicTables {
  readonly patients: readonly MimicPatient[];
  readonly admissions: readonly MimicAdmission[];
  readonly stays: readonly MimicStay[];
  readonly daily: DailyValues;
  /** How many chart rows each rule took away, in their order; the last row counts those kept. */
  readonly chartRows: readonly { readonly rule: string; readonly rows: number }[];
}

export interface MimicOptions {
  readonly task: Cohort['task'];
  /** The latest days shown one by one; days before them become one row. */
  readonly maxDays: number;
  /** Mortality: only days at least so many before the day of death or discharge; null = all. */
  readonly horizonDays: number | null;
  /** Stay ids per split; null = drawn by `seed`. */
  readonly split: { readonly ids: SplitIds; readonly source: string } | null;
  /** At most so many stays, all stays of randomly drawn patients; null = all. */
  readonly maxStays: number | null;
  readonly seed: number;
  /** Shares of the patients in val and test. */
  readonly valFraction: number;
  readonly testFraction: number;
}

export interface MimicCohort {
  readonly cohort: Cohort;
  readonly flow: readonly FlowRow[];
  /** What the label columns say of each other, counted. */
  readonly audit: readonly { readonly check: string; readonly rows: number }[];
  /** What a reader of any result on this cohort must know. */
  readonly caveats: readonly string[];
}

const DAY = 86_400;
const READMISSION_DAYS = 30;
const ADULT = 18;

const dayOf = (seconds: number): number => Math.floor(seconds / DAY);

/** A stay with all that its sample is made of. */
interface Sample {
  readonly stay: MimicStay;
  readonly admission: MimicAdmission & { readonly dischargeTime: number };
  readonly patient: MimicPatient;
  readonly age: number;
}

const CAVEATS: Readonly<Record<Cohort['task'], readonly string[]>> = {
  mortality: [
    'mortality: charted values up to the end of the ICU stay are used, so this is no forecast; data.horizon_days leaves the last days out',
    'mortality: every ICU stay of an admission that ended in death counts as positive, also an earlier one that was left alive',
  ],
  readmission: [
    'readmission: only returns to this hospital are seen, and only of patients whom MIMIC-IV selected for an ICU or emergency stay',
    'readmission: planned returns count as well; death within 30 days of discharge counts as positive, known to the day',
    'readmission: the sample is the last ICU stay of the admission; what happened on the ward after it is not seen',
  ],
};

/**
 * Builds the cohort from the tables.
 * @throws DataError when nothing is left, or when the splits are unsound; without ids
 */
export function mimicCohort(tables: MimicTables, options: MimicOptions): MimicCohort {
  const { task } = options;
  const patients = new Map(tables.patients.map((p) => [p.subject, p]));
  const admissions = new Map(tables.admissions.map((a) => [a.admission, a]));
  const bySubject = new Map<number, MimicAdmission[]>();
  for (const admission of tables.admissions) {
    const list = bySubject.get(admission.subject);
    if (list === undefined) bySubject.set(admission.subject, [admission]);
    else list.push(admission);
  }
  const flow: FlowRow[] = [];
  const record = (rule: string, stays: readonly { readonly subject?: number | string }[]): void => {
    flow.push({ rule, unit: 'ICU stays', rows: stays.length, patients: new Set(stays.map(({ subject }) => subject)).size });
  };
  record('in the folder', tables.stays);

  let samples: Sample[] = [];
  for (const stay of tables.stays) {
    const admission = admissions.get(stay.admission);
    const patient = patients.get(stay.subject);
    if (admission === undefined || patient === undefined || admission.subject !== stay.subject) continue;
    const age = patient.anchorAge + new Date(admission.admitTime * 1000).getUTCFullYear() - patient.anchorYear;
    samples.push({ stay, admission: admission as Sample['admission'], patient, age });
  }
  const keep = (rule: string, test: (sample: Sample) => boolean): void => {
    samples = samples.filter(test);
    record(
      rule,
      samples.map(({ stay }) => stay),
    );
  };
  keep('patient and admission in the folder', () => true);
  keep('admission ends after it begins', ({ admission: a }) => a.dischargeTime !== null && a.dischargeTime > a.admitTime);
  keep('ICU stay ends after it begins', ({ stay }) => stay.outTime !== null && stay.outTime > stay.inTime);
  keep('not admitted after death', ({ admission, patient }) => !isAfterDeath(admission, patient));
  keep(`age ${ADULT} or more`, ({ age }) => age >= ADULT);
  if (task === 'readmission') {
    keep('left hospital alive', ({ admission }) => admission.expired === 0 && admission.deathTime === null);
    const last = new Map<number, MimicStay>();
    for (const { stay } of samples) {
      const other = last.get(stay.admission);
      if (other === undefined || stay.inTime > other.inTime || (stay.inTime === other.inTime && stay.stay > other.stay)) {
        last.set(stay.admission, stay);
      }
    }
    keep('last ICU stay of its admission', ({ stay }) => last.get(stay.admission) === stay);
  }
  const records = dailyRecords(tables.daily, samples, options);
  keep(
    options.horizonDays === null ? 'something measured' : `something measured ${options.horizonDays} days before the outcome`,
    ({ stay }) => records.has(stay.stay),
  );

  const label = (sample: Sample): 0 | 1 =>
    task === 'mortality' ? sample.admission.expired : isReadmitted(sample, bySubject.get(sample.patient.subject) as MimicAdmission[]);
  const built = samples.map((sample): Patient => {
    const { stay, patient, age } = sample;
    const { visitTimes, values } = records.get(stay.stay) as DailyRecord;
    return { id: String(stay.stay), subject: String(stay.subject), sex: patient.sex, age, visitTimes, values, label: label(sample) };
  });
  const { kept, splits } = split(built, options, new Set(tables.stays.map(({ stay }) => String(stay))));
  if (options.split !== null) record('in a split', kept);
  else if (options.maxStays !== null) record(`drawn, at most ${options.maxStays} stays`, kept);
  if (kept.length === 0) {
    const rules = flow.map(({ rule, rows }) => `${rule}: ${rows}`).join('; ');
    throw new DataError(`MIMIC-IV: no ICU stay is left for ${task}; stays after each rule: ${rules}`);
  }
  const cohort: Cohort = {
    name: 'mimic4',
    task,
    features: MIMIC_VARIABLES.map(({ feature }) => feature),
    patients: kept,
    splits,
  };
  checkSplits(cohort, options.split?.source ?? 'MIMIC-IV, split drawn by data.seed');
  for (const name of SPLIT_NAMES) {
    const inside = new Set(splits[name]);
    record(
      `split ${name}`,
      kept.filter(({ id }) => inside.has(id)),
    );
  }
  for (const { rule, rows } of tables.chartRows) flow.push({ rule, unit: 'chart rows', rows, patients: null });
  return { cohort, flow, audit: audit(samples, task, bySubject), caveats: CAVEATS[task] };
}

// ---------------------------------------------------------------- labels

/** Dates of death are known to the day, so an admission on the day of death is taken as before it. */
function isAfterDeath(admission: MimicAdmission, patient: MimicPatient): boolean {
  return patient.deathDay !== null && dayOf(admission.admitTime) > patient.deathDay;
}

/** Admitted again, or dead, within 30 days of discharge; an admission after death in that time is a positive by the death. */
function isReadmitted({ admission, patient }: Sample, all: readonly MimicAdmission[]): 0 | 1 {
  const { dischargeTime } = admission;
  const until = dischargeTime + READMISSION_DAYS * DAY;
  const again = all.some((a) => a.admitTime > dischargeTime && a.admitTime <= until);
  return again || diedSoon({ admission, patient }) ? 1 : 0;
}

function diedSoon({ admission, patient }: Pick<Sample, 'admission' | 'patient'>): boolean {
  return patient.deathDay !== null && patient.deathDay - dayOf(admission.dischargeTime) <= READMISSION_DAYS;
}

function audit(samples: readonly Sample[], task: Cohort['task'], bySubject: ReadonlyMap<number, MimicAdmission[]>): MimicCohort['audit'] {
  const count = (check: string, test: (sample: Sample) => boolean) => ({ check, rows: samples.filter(test).length });
  const outside = ({ admission: a }: Sample) => a.deathTime !== null && (a.deathTime < a.admitTime || a.deathTime > a.dischargeTime);
  if (task === 'mortality') {
    return [
      count('label 1 (hospital_expire_flag)', ({ admission }) => admission.expired === 1),
      count('label 1 without deathtime', ({ admission }) => admission.expired === 1 && admission.deathTime === null),
      count('label 0 with deathtime', ({ admission }) => admission.expired === 0 && admission.deathTime !== null),
      count('deathtime outside the admission', outside),
      count('label 1 and dod missing', ({ admission, patient }) => admission.expired === 1 && patient.deathDay === null),
      count(
        'label 1 and dod another day than deathtime',
        ({ admission, patient }) =>
          admission.deathTime !== null && patient.deathDay !== null && dayOf(admission.deathTime) !== patient.deathDay,
      ),
      count(
        'label 0 and dod before discharge',
        ({ admission, patient }) =>
          admission.expired === 0 && patient.deathDay !== null && patient.deathDay < dayOf(admission.dischargeTime),
      ),
    ];
  }
  const again = (sample: Sample) => isReadmitted(sample, bySubject.get(sample.patient.subject) as MimicAdmission[]) === 1;
  return [
    count('label 1 (readmitted or dead within 30 days)', again),
    count('of these dead within 30 days', (sample) => diedSoon(sample)),
    count(
      'discharged alive and dod before discharge',
      ({ admission, patient }) => patient.deathDay !== null && patient.deathDay < dayOf(admission.dischargeTime),
    ),
  ];
}

// ---------------------------------------------------------------- records

interface DailyRecord {
  readonly visitTimes: readonly number[];
  readonly values: readonly (readonly (number | null)[])[];
}

const GCS_TOTAL = mimicIndex('Glascow coma scale total');
const GCS_PARTS = ['eye opening', 'motor response', 'verbal response'].map((part) => mimicIndex(`Glascow coma scale ${part}`));

/** Visits of each sample that has any, by stay id. */
function dailyRecords(daily: DailyValues, samples: readonly Sample[], options: MimicOptions): Map<number, DailyRecord> {
  const byStay = new Map(samples.map((sample) => [sample.stay.stay, sample]));
  const records = new Map<number, DailyRecord>();
  const n = daily.stay.length;
  for (let begin = 0, end = 0; begin < n; begin = end) {
    const stay = daily.stay[begin];
    while (end < n && daily.stay[end] === stay) end++;
    const sample = byStay.get(stay);
    if (sample === undefined) continue;
    const record = dailyRecord(daily, begin, end, lastDay(sample, options.horizonDays), options.maxDays);
    if (record !== null) records.set(stay, record);
  }
  return records;
}

/** The last day a sample may show. */
function lastDay({ admission }: Sample, horizonDays: number | null): number {
  if (horizonDays === null) return Number.POSITIVE_INFINITY;
  return dayOf(Math.min(admission.dischargeTime, admission.deathTime ?? Number.POSITIVE_INFINITY)) - horizonDays;
}

/** Rows begin..end - 1 of one stay as visits; null when none lies on or before `until`. */
function dailyRecord(daily: DailyValues, begin: number, end: number, until: number, maxDays: number): DailyRecord | null {
  const days: number[] = [];
  for (let i = begin; i < end && daily.day[i] <= until; i++) if (days.at(-1) !== daily.day[i]) days.push(daily.day[i]);
  if (days.length === 0) return null;
  const early = Math.max(0, days.length - maxDays);
  // The row of all days before carries the date of the last of them.
  const shown = days.slice(Math.max(0, early - 1));
  const values = MIMIC_VARIABLES.map(() => new Array<number | null>(shown.length).fill(null));
  let t = 0;
  for (let i = begin; i < end && daily.day[i] <= until; i++) {
    while (shown[t] < daily.day[i]) t++;
    // Days come in order, so the latest value of the early days is the one that stays.
    values[daily.variable[i]][t] = daily.value[i];
  }
  for (t = 0; t < shown.length; t++) {
    const parts = GCS_PARTS.map((part) => values[part][t]);
    if (parts.every((part) => part !== null)) values[GCS_TOTAL][t] = parts.reduce((sum, part) => sum + part, 0);
  }
  return { visitTimes: shown.map((day) => day - shown[0]), values };
}

// ---------------------------------------------------------------- splits

/** By people, and within people who have a positive stay and people who have none, so that small folders keep both classes everywhere. */
function split(all: readonly Patient[], options: MimicOptions, inFolder: ReadonlySet<string>): { kept: Patient[]; splits: SplitIds } {
  if (options.split !== null) {
    const { ids } = options.split;
    const left = new Set(all.map(({ id }) => id));
    // Unknown ids stay, for checkSplits to refuse; stays that a rule took away are known, and the flow counts them.
    const own = (name: SplitName) => ids[name].filter((id) => left.has(id) || !inFolder.has(id));
    const splits = { train: own('train'), val: own('val'), test: own('test') };
    const wanted = new Set(SPLIT_NAMES.flatMap((name) => splits[name]));
    return { kept: all.filter(({ id }) => wanted.has(id)), splits };
  }
  const subjects = new Map<string, Patient[]>();
  for (const patient of all) {
    const list = subjects.get(patient.subject as string);
    if (list === undefined) subjects.set(patient.subject as string, [patient]);
    else list.push(patient);
  }
  let people = [...subjects.values()];
  if (options.maxStays !== null) {
    let left = options.maxStays;
    people = new Rng(options.seed, 'mimic4 stays').shuffle(people).filter((stays) => {
      const fits = stays.length <= left;
      if (fits) left -= stays.length;
      return fits;
    });
  }
  const home = new Map<string, SplitName>();
  for (const positive of [true, false]) {
    const stratum = people.filter((stays) => stays.some((p) => p.label === 1) === positive);
    const order = new Rng(options.seed, `mimic4 split ${positive ? 'positive' : 'negative'}`).shuffle(stratum);
    const test = Math.round(options.testFraction * order.length);
    const val = Math.round(options.valFraction * order.length);
    order.forEach((stays, i) => {
      home.set(stays[0].subject as string, i < test ? 'test' : i < test + val ? 'val' : 'train');
    });
  }
  const kept = all.filter((p) => home.has(p.subject as string));
  const idsOf = (name: SplitName) => kept.filter((p) => home.get(p.subject as string) === name).map(({ id }) => id);
  return { kept, splits: { train: idsOf('train'), val: idsOf('val'), test: idsOf('test') } };
}
