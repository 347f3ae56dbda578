/**
 * TJH: 375 COVID-19 inpatients of Tongji Hospital, Wuhan (Yan et al. 2020, doi 10.1038/s42256-020-0180-7), prepared by the
 * published protocol of the ehr-llm-benchmark. Pure: from a sheet's rows to a cohort. `tjh_xlsx.ts` reads the file.
 *
 * Rules, in order: fill PATIENT_ID down; drop rows without record or discharge date; dates to day; sex 2 -> female; drop
 * the nucleic-acid column; negative values -> missing; average the rows of one patient-day. A visit is a patient-day, so
 * labs up to the day of death are used: that is the protocol behind the published scores. It has no rule against rows dated after that day
 * (28 of 18 patients in the published file, two days at most): they stay and are counted; `horizonDays` 0 leaves them out.
 */

import type { Cohort, Feature, Patient, SplitName } from '../types.ts';
import { DataError } from './errors.ts';
import { featureOf, LABS, labOfTjh } from './lab_dictionary.ts';
import { checkSplits, SPLIT_NAMES } from './splits.ts';

/** One spreadsheet cell as read. */
export type Cell = string | number | boolean | Date | null;

/** A sheet with the name of its file, for messages. */
export interface Sheet {
  readonly file: string;
  readonly sheet: string;
  /** Row 0 is the header. */
  readonly rows: readonly (readonly Cell[])[];
}

/** Patient ids per split, as in the split file. */
export type SplitIds = Readonly<Record<SplitName, readonly string[]>>;

/** What one rule left over. */
export interface FlowRow {
  readonly rule: string;
  /** What a row is; rows of the file (TJH) when absent. */
  readonly unit?: 'ICU stays' | 'chart rows';
  readonly rows: number;
  /** Null where nobody counted them. */
  readonly patients: number | null;
}

export interface TjhOptions {
  /** Patients with fewer visits are left out: 1 keeps all, 2 is the EAG-RL paper's filter. */
  readonly minVisits?: 1 | 2;
  /** Only visits at least so many days before the day of discharge (of death, for the dead); null = all. */
  readonly horizonDays?: number | null;
  /** File name of the splits, for messages. */
  readonly splitSource: string;
}

const META = ['PATIENT_ID', 'RE_DATE', 'age', 'gender', 'Admission time', 'Discharge time', 'outcome'] as const;
type Meta = (typeof META)[number];
const DROPPED = '2019-nCoV nucleic acid detection';
const MS_PER_DAY = 86_400_000;

/** Column indices of a TJH header row. */
interface Header {
  readonly meta: Readonly<Record<Meta, number>>;
  readonly labs: readonly { readonly column: number; readonly feature: Feature }[];
}

function readHeader({ file, sheet, rows }: Sheet): Header {
  const names = (rows[0] ?? []).map((cell) => (typeof cell === 'string' ? cell : ''));
  const trimmed = names.map((name) => name.trim());
  const meta = {} as Record<Meta, number>;
  for (const name of META) {
    meta[name] = trimmed.indexOf(name);
    if (meta[name] < 0) {
      throw new DataError(`${file}, sheet "${sheet}": column "${name}" is missing; expected the TJH file with its English header in row 1`);
    }
  }
  const labs: { column: number; feature: Feature }[] = [];
  const found = new Set<string>();
  trimmed.forEach((name, column) => {
    if (name === '' || name === DROPPED || Object.values(meta).includes(column)) return;
    const lab = labOfTjh(name);
    if (lab === undefined) {
      throw new DataError(`${file}, sheet "${sheet}": column "${name}" is no TJH lab; expected the 74 labs of the published file`);
    }
    if (found.has(lab.name)) throw new DataError(`${file}, sheet "${sheet}": column "${name}" occurs twice`);
    found.add(lab.name);
    labs.push({ column, feature: featureOf(lab, names[column]) });
  });
  for (const lab of LABS) {
    if (lab.tjh !== undefined && !found.has(lab.name)) {
      throw new DataError(`${file}, sheet "${sheet}": column "${lab.tjh}" is missing; expected the 74 labs of the published file`);
    }
  }
  return { meta, labs };
}

/** A row of the file that has a date: one blood draw. */
interface Draw {
  /** Days since 1970-01-01. */
  readonly day: number;
  readonly values: readonly (number | null)[];
}

interface Person {
  readonly age: number;
  readonly gender: number;
  readonly outcome: number;
  /** Last discharge date given, days since 1970-01-01. */
  discharged: number;
  readonly draws: Draw[];
}

/** Reads every row; checks each cell it uses. Returns the people in file order with the flow of rows and what was odd about their dates. */
function readPeople(source: Sheet, { meta, labs }: Header): Omit<TjhCohort, 'cohort'> & { readonly people: Map<string, Person> } {
  const { file, sheet, rows } = source;
  const at = (r: number, name: string) => `${file}, sheet "${sheet}", column "${name.trim()}", row ${r + 1}`;
  const kind = (cell: Cell) =>
    cell === null ? 'an empty cell' : cell instanceof Date ? 'a date' : typeof cell === 'string' ? 'text' : `a ${typeof cell}`;

  const people = new Map<string, Person>();
  const all = new Set<string>();
  const late = { rows: 0, patients: new Set<string>() };
  let id = '';
  let dataRows = 0;
  let datedRows = 0;
  for (let r = 1; r < rows.length; r++) {
    const row = rows[r];
    if (row.every((cell) => cell === null)) continue;
    dataRows++;
    const idCell = row[meta.PATIENT_ID] ?? null;
    if (idCell !== null) {
      if (typeof idCell !== 'number' || !Number.isInteger(idCell)) {
        throw new DataError(`${at(r, 'PATIENT_ID')}: expected a whole number, got ${kind(idCell)}`);
      }
      id = String(idCell);
      if (all.has(id)) throw new DataError(`${at(r, 'PATIENT_ID')}: this patient already has an earlier block of rows`);
      all.add(id);
    } else if (id === '') {
      throw new DataError(`${at(r, 'PATIENT_ID')}: expected a patient id on the first row of data, got an empty cell`);
    }

    const number = (name: Meta): number => {
      const cell = row[meta[name]] ?? null;
      if (typeof cell !== 'number' || !Number.isFinite(cell)) throw new DataError(`${at(r, name)}: expected a number, got ${kind(cell)}`);
      return cell;
    };
    const date = (name: Meta): Date | null => {
      const cell = row[meta[name]] ?? null;
      if (cell !== null && !(cell instanceof Date)) throw new DataError(`${at(r, name)}: expected a date cell, got ${kind(cell)}`);
      return cell;
    };
    // Every lab cell is checked, also in rows that are dropped: a damaged file is refused, not half read.
    const values = labs.map(({ column, feature }) => {
      const cell = row[column] ?? null;
      if (cell === null) return null;
      if (typeof cell !== 'number' || !Number.isFinite(cell))
        throw new DataError(`${at(r, feature.key)}: expected a number, got ${kind(cell)}`);
      return cell < 0 ? null : cell;
    });
    const recorded = date('RE_DATE');
    const discharged = date('Discharge time');
    const admitted = date('Admission time');
    if (admitted !== null && discharged !== null && discharged < admitted)
      throw new DataError(`${at(r, 'Discharge time')}: before the admission; expected a later date`);
    if (recorded === null || discharged === null) continue;
    datedRows++;
    if (admitted !== null && dayOf(recorded) < dayOf(admitted))
      throw new DataError(`${at(r, 'RE_DATE')}: before the day of admission; expected that day or a later one`);
    if (dayOf(recorded) > dayOf(discharged)) {
      late.rows++;
      late.patients.add(id);
    }

    const age = number('age');
    const gender = number('gender');
    const outcome = number('outcome');
    if (gender !== 1 && gender !== 2) throw new DataError(`${at(r, 'gender')}: expected 1 (male) or 2 (female), got another number`);
    if (outcome !== 0 && outcome !== 1) throw new DataError(`${at(r, 'outcome')}: expected 0 (survived) or 1 (died), got another number`);
    const person = people.get(id);
    if (person === undefined)
      people.set(id, { age, gender, outcome, discharged: dayOf(discharged), draws: [{ day: dayOf(recorded), values }] });
    else {
      person.discharged = Math.max(person.discharged, dayOf(discharged));
      if (person.outcome !== outcome) throw new DataError(`${at(r, 'outcome')}: differs from the same patient's earlier rows`);
      if (person.gender !== gender) throw new DataError(`${at(r, 'gender')}: differs from the same patient's earlier rows`);
      person.draws.push({ day: dayOf(recorded), values });
    }
  }
  const flow = [
    { rule: 'rows in the file', rows: dataRows, patients: all.size },
    { rule: 'record date and discharge date known', rows: datedRows, patients: people.size },
  ];
  const audit = [{ check: `rows dated after the day of discharge, kept as published (patients: ${late.patients.size})`, rows: late.rows }];
  return { people, flow, audit };
}

function dayOf(date: Date): number {
  return Math.floor(date.getTime() / MS_PER_DAY);
}

/** One patient; the draws of a day become one visit, each lab the mean of its measured values. */
function toPatient(id: string, { age, gender, outcome, draws }: Person, numLabs: number): Patient {
  const days = [...new Set(draws.map((draw) => draw.day))].sort((a, b) => a - b);
  const values: (number | null)[][] = [];
  for (let f = 0; f < numLabs; f++) {
    values.push(
      days.map((day) => {
        const measured = draws.filter((draw) => draw.day === day).flatMap((draw) => draw.values[f] ?? []);
        return measured.length === 0 ? null : measured.reduce((sum, v) => sum + v, 0) / measured.length;
      }),
    );
  }
  return {
    id,
    sex: gender === 1 ? 'male' : 'female',
    age,
    visitTimes: days.map((day) => day - days[0]),
    values,
    label: outcome as 0 | 1,
  };
}

export interface TjhCohort {
  readonly cohort: Cohort;
  /** How many rows (then visits) and patients each rule left. */
  readonly flow: FlowRow[];
  /** What the dates say of each other, counted. */
  readonly audit: readonly { readonly check: string; readonly rows: number }[];
}

/**
 * Builds the cohort: 73 labs, patients of the three splits only.
 * @throws DataError naming file, sheet, column and row
 */
export function tjhCohort(source: Sheet, ids: SplitIds, options: TjhOptions): TjhCohort {
  const header = readHeader(source);
  const { people, flow, audit } = readPeople(source, header);
  const build = (persons: Iterable<[string, Person]>) => Array.from(persons, ([id, person]) => toPatient(id, person, header.labs.length));
  let everyone = build(people);
  const visits = (patients: readonly Patient[]) => patients.reduce((sum, p) => sum + p.visitTimes.length, 0);
  flow.push({ rule: 'rows of one patient-day averaged', rows: visits(everyone), patients: everyone.length });

  const horizon = options.horizonDays ?? null;
  if (horizon !== null) {
    const early = [...people].map(([id, person]): [string, Person] => {
      return [id, { ...person, draws: person.draws.filter(({ day }) => day <= person.discharged - horizon) }];
    });
    everyone = build(early.filter(([, { draws }]) => draws.length > 0));
    flow.push({ rule: `at least ${horizon} days before the outcome`, rows: visits(everyone), patients: everyone.length });
  }
  const minVisits = options.minVisits ?? 1;
  const byId = new Map(everyone.map((p) => [p.id, p]));
  const splits = {} as Record<SplitName, string[]>;
  const kept: Patient[] = [];
  for (const name of SPLIT_NAMES) {
    splits[name] = ids[name].filter((id) => {
      const patient = byId.get(id);
      // Unknown ids stay, for checkSplits to refuse; those whom the horizon left without a visit are known.
      return patient === undefined ? !people.has(id) : patient.visitTimes.length >= minVisits;
    });
  }
  const wanted = new Set(SPLIT_NAMES.flatMap((name) => splits[name]));
  for (const patient of everyone) if (wanted.has(patient.id)) kept.push(patient);
  flow.push({ rule: `in a split, at least ${minVisits} visit${minVisits === 1 ? '' : 's'}`, rows: visits(kept), patients: kept.length });

  const cohort: Cohort = {
    name: 'tjh',
    task: 'mortality',
    features: header.labs.map(({ feature }) => feature),
    patients: kept,
    splits,
  };
  checkSplits(cohort, options.splitSource);
  for (const name of SPLIT_NAMES) {
    const inside = kept.filter((p) => splits[name].includes(p.id));
    flow.push({ rule: `split ${name}`, rows: visits(inside), patients: inside.length });
  }
  return { cohort, flow, audit };
}
