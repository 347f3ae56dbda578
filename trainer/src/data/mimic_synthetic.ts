/**
 * Writes a folder in the layout of MIMIC-IV with generated patients, of any size, in constant memory (Node only): for tests, for timing a
 * load, and for trying the whole way without credentials. Nothing in it comes from a real patient.
 *
 * A latent severity runs along each stay and drives vital signs and scores; its end decides death and readmission. The faults of the real
 * tables are there as well: readings in Fahrenheit, pounds and percent, impossible values, empty cells, rows charted outside their stay
 * or stored after it, discharges before admissions, admissions after death.
 */
import { once } from 'node:events';
import { createWriteStream, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import { createProgress } from '../util/progress.ts';
import { MIMIC_VARIABLES } from './mimic_items.ts';
import { Rng } from './rng.ts';

export interface MimicFolderSpec {
  /** Folder to write; it must not exist, or be empty. */
  readonly out: string;
  /** Number of ICU stays. */
  readonly stays: number;
  /** Chart rows of a stay, about; MIMIC-IV has some 3,500. */
  readonly rowsPerStay: number;
  readonly seed: number;
  readonly gzip: boolean;
}

export interface MimicFolderCounts {
  readonly patients: number;
  readonly admissions: number;
  readonly stays: number;
  readonly chartRows: number;
}

const HOUR = 3600;
const DAY = 24 * HOUR;

// ---------------------------------------------------------------- tables

const HEADERS = {
  'hosp/patients': 'subject_id,gender,anchor_age,anchor_year,anchor_year_group,dod',
  'hosp/admissions':
    'subject_id,hadm_id,admittime,dischtime,deathtime,admission_type,admit_provider_id,admission_location,discharge_location,insurance,language,marital_status,race,edregtime,edouttime,hospital_expire_flag',
  'icu/icustays': 'subject_id,hadm_id,stay_id,first_careunit,last_careunit,intime,outtime,los',
  'icu/chartevents': 'subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning',
  'icu/d_items': 'itemid,label,abbreviation,linksto,category,unitname,param_type,lownormalvalue,highnormalvalue',
} as const;
type Table = keyof typeof HEADERS;

const FLUSH_CHARACTERS = 1 << 16;

/** Lines of one file; memory holds one block of them. */
class TableFile {
  #pending: string[] = [];
  #characters = 0;
  readonly #into: Writable;
  readonly #file: Writable;

  constructor(path: string, gzip: boolean, header: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#file = createWriteStream(path);
    if (gzip) {
      const packed = createGzip({ level: 1 });
      packed.pipe(this.#file);
      this.#file.on('error', (error) => packed.destroy(error));
      this.#into = packed;
    } else this.#into = this.#file;
    this.add(header);
  }

  add(line: string): void {
    this.#pending.push(line);
    this.#characters += line.length;
  }

  get isFull(): boolean {
    return this.#characters >= FLUSH_CHARACTERS;
  }

  async flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    const block = `${this.#pending.join('\n')}\n`;
    this.#pending = [];
    this.#characters = 0;
    if (!this.#into.write(block)) await once(this.#into, 'drain');
  }

  async close(): Promise<void> {
    await this.flush();
    this.#into.end();
    await finished(this.#file);
  }
}

const two = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, '0'));
const dateOf = (seconds: number): string => new Date(Math.floor(seconds / DAY) * DAY * 1000).toISOString().slice(0, 10);
let [lastDay, lastDate] = [Number.NaN, ''];

/** `2150-01-31 08:05:00`. */
function stamp(seconds: number): string {
  const s = Math.round(seconds);
  const day = Math.floor(s / DAY);
  // Consecutive rows share their day, and Date is the slow part.
  if (day !== lastDay) [lastDay, lastDate] = [day, dateOf(s)];
  const t = s - day * DAY;
  return `${lastDate} ${two[Math.floor(t / HOUR)]}:${two[Math.floor(t / 60) % 60]}:${two[t % 60]}`;
}

// ---------------------------------------------------------------- chart

/** A cell of value, and of valuenum ('' = empty). */
type Reading = readonly [value: string, number: string];

const EYES = ['None', 'To Pain', 'To Speech', 'Spontaneously'];
const MOTOR = ['No response', 'Abnormal extension', 'Abnormal Flexion', 'Flex-withdraws', 'Localizes Pain', 'Obeys Commands'];
const VERBAL = ['No Response-ETT', 'Incomprehensible sounds', 'Inappropriate Words', 'Confused', 'Oriented'];

interface Body {
  readonly weight: number;
  readonly height: number;
}

/** How often an item is charted, and what it shows at a severity in 0..1. */
interface Charted {
  readonly id: number;
  readonly unit: string;
  readonly weight: number;
  readonly read: (severity: number, rng: Rng, body: Body) => Reading;
}

const whole = (value: number): Reading => [String(Math.round(value)), String(Math.round(value))];
const decimal = (value: number, digits: number): Reading => [value.toFixed(digits), value.toFixed(digits)];
const level = (words: readonly string[], severity: number, rng: Rng): Reading => {
  const points = Math.min(words.length, Math.max(1, Math.round(words.length - severity * words.length + rng.normal(0.6, 0.5))));
  return [words[points - 1], String(points)];
};
const pressure =
  (base: number, fall: number, sd: number): Charted['read'] =>
  (s, rng) =>
    whole(Math.max(12, base - fall * s + rng.normal(0, sd)));
const temperature = (s: number, rng: Rng): number => 36.7 + 1.1 * s + rng.normal(0, 0.4);

const CHARTED: readonly Charted[] = [
  { id: 220045, unit: 'bpm', weight: 10, read: (s, rng) => whole(78 + 42 * s + rng.normal(0, 8)) },
  { id: 220210, unit: 'insp/min', weight: 10, read: (s, rng) => whole(Math.max(4, 15 + 14 * s + rng.normal(0, 3))) },
  { id: 220277, unit: '%', weight: 10, read: (s, rng) => whole(Math.min(100, 98.5 - 8 * s + rng.normal(0, 1.2))) },
  { id: 220179, unit: 'mmHg', weight: 6, read: pressure(126, 38, 11) },
  { id: 220180, unit: 'mmHg', weight: 6, read: pressure(70, 20, 8) },
  { id: 220181, unit: 'mmHg', weight: 6, read: pressure(85, 25, 8) },
  { id: 220050, unit: 'mmHg', weight: 4, read: pressure(122, 38, 11) },
  { id: 220051, unit: 'mmHg', weight: 4, read: pressure(62, 18, 8) },
  { id: 220052, unit: 'mmHg', weight: 4, read: pressure(80, 25, 8) },
  { id: 223761, unit: '°F', weight: 2, read: (s, rng) => decimal((temperature(s, rng) * 9) / 5 + 32, 1) },
  { id: 223762, unit: '°C', weight: 0.4, read: (s, rng) => decimal(temperature(s, rng), 1) },
  {
    id: 223835,
    unit: '',
    weight: 1,
    read: (s, rng) => {
      const share = Math.min(1, Math.max(0.21, 0.3 + 0.5 * s + rng.normal(0, 0.08)));
      return rng.chance(0.9) ? whole(100 * share) : decimal(share, 2);
    },
  },
  { id: 225664, unit: '', weight: 1, read: (s, rng) => whole(Math.max(35, 125 + 60 * s + rng.normal(0, 25))) },
  { id: 220621, unit: 'mg/dL', weight: 0.6, read: (s, rng) => whole(Math.max(35, 122 + 60 * s + rng.normal(0, 25))) },
  { id: 223830, unit: 'units', weight: 0.4, read: (s, rng) => decimal(7.41 - 0.14 * s + rng.normal(0, 0.03), 2) },
  { id: 220739, unit: '', weight: 2, read: (s, rng) => level(EYES, s, rng) },
  { id: 223901, unit: '', weight: 2, read: (s, rng) => level(MOTOR, s, rng) },
  { id: 223900, unit: '', weight: 2, read: (s, rng) => level(VERBAL, s, rng) },
  { id: 223951, unit: '', weight: 0.6, read: (s, rng) => [rng.chance(0.7 * s) ? 'Abnormal >3 Seconds' : 'Normal <3 Seconds', ''] },
  { id: 224639, unit: 'kg', weight: 0.3, read: (_s, rng, { weight }) => decimal(weight + rng.normal(0, 1), 1) },
  { id: 226531, unit: '', weight: 0.1, read: (_s, _rng, { weight }) => decimal(weight / 0.45359237, 1) },
  { id: 226730, unit: 'cm', weight: 0.1, read: (_s, _rng, { height }) => whole(height) },
  { id: 226707, unit: 'Inch', weight: 0.1, read: (_s, _rng, { height }) => decimal(height / 2.54, 0) },
  // What else is charted, most of it: three rows of five.
  { id: 220047, unit: 'bpm', weight: 28, read: () => whole(60) },
  { id: 223770, unit: '%', weight: 28, read: () => whole(90) },
  { id: 224642, unit: '', weight: 26, read: () => ['Oral', ''] },
  { id: 224080, unit: '', weight: 26, read: () => ['"Left side, then back"', ''] },
];

/** Cumulative shares of {@link CHARTED}, for one draw per row. */
const SHARES = (() => {
  const total = CHARTED.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  return Float64Array.from(CHARTED, ({ weight }) => (sum += weight / total));
})();

function drawItem(rng: Rng): Charted {
  const u = rng.uniform();
  let i = 0;
  while (i < SHARES.length - 1 && SHARES[i] < u) i++;
  return CHARTED[i];
}

interface Stay {
  /** `subject,admission,stay`. */
  readonly ids: string;
  /** The same without the stay. */
  readonly idsWithoutStay: string;
  readonly inTime: number;
  readonly outTime: number;
  readonly start: number;
  readonly end: number;
  readonly body: Body;
}

async function writeChart(file: TableFile, stay: Stay, rows: number, rng: Rng): Promise<void> {
  const length = stay.outTime - stay.inTime;
  const minutes = Math.floor(length / 60);
  for (let k = 0; k < rows; k++) {
    const item = drawItem(rng);
    const share = (k + rng.uniform()) / rows;
    const severity = Math.min(1, Math.max(0, stay.start + (stay.end - stay.start) * share + rng.normal(0, 0.05)));
    let [value, number] = item.read(severity, rng, stay.body);
    let charted = stay.inTime + 60 * Math.floor(share * minutes);
    let ids = stay.ids;
    const fault = rng.uniform();
    if (fault < 0.001) [value, number] = ['999999', '999999'];
    else if (fault < 0.006) [value, number] = ['ERROR', ''];
    else if (fault < 0.009) charted = stay.outTime + HOUR * rng.int(1, 5);
    else if (fault < 0.011) ids = stay.idsWithoutStay;
    const stored = charted + 60 * rng.int(0, 40) + (rng.chance(0.004) ? DAY * rng.int(1, 4) : 0);
    file.add(`${ids},,${stamp(charted)},${stamp(stored)},${item.id},${value},${number},${item.unit},0`);
    if (file.isFull) await file.flush();
  }
}

// ---------------------------------------------------------------- people

/**
 * Writes hosp/ and icu/ of the given size. The same seed gives the same files; the folder appears when it is whole.
 * @throws ConfigError when the folder is there already; StorageError when the disk refuses
 */
export async function generateMimicFolder(spec: MimicFolderSpec): Promise<MimicFolderCounts> {
  for (const [name, value] of [
    ['stays', spec.stays],
    ['rows per stay', spec.rowsPerStay],
  ] as const) {
    if (!Number.isInteger(value) || value < 1) throw new ConfigError(`${name}: expected a whole number from 1, got ${value}`);
  }
  if (existsSync(spec.out) && readdirSync(spec.out).length > 0) {
    throw new ConfigError(`--out: ${spec.out} has something in it; give a folder that does not exist`);
  }
  const counts = { patients: 0, admissions: 0, stays: 0, chartRows: 0 };
  await writeDirectoryAtomic(spec.out, async (folder) => {
    const names = Object.keys(HEADERS) as Table[];
    const open = (name: Table) => new TableFile(join(folder, `${name}.csv${spec.gzip ? '.gz' : ''}`), spec.gzip, HEADERS[name]);
    const files = Object.fromEntries(names.map((name) => [name, open(name)])) as Record<Table, TableFile>;
    const bar = createProgress({ label: 'generate', total: spec.stays });
    try {
      const used = new Set(CHARTED.map(({ id }) => id));
      for (const { items } of MIMIC_VARIABLES) {
        for (const { id, label } of items) if (used.has(id)) files['icu/d_items'].add(`${id},${label},,chartevents,,,,,`);
      }
      while (counts.stays < spec.stays) {
        await writePatient(files, spec, counts);
        for (const file of Object.values(files)) if (file.isFull) await file.flush();
        bar.update(counts.stays, `${counts.chartRows} chart rows`);
      }
    } finally {
      bar.stop();
      await Promise.all(Object.values(files).map((file) => file.close()));
    }
  });
  return counts;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** One patient with all admissions, stays and chart rows. */
async function writePatient(files: Record<Table, TableFile>, spec: MimicFolderSpec, counts: Mutable<MimicFolderCounts>): Promise<void> {
  const rng = new Rng(spec.seed, `mimic patient ${counts.patients}`);
  const subject = 10_000_000 + counts.patients++;
  const male = rng.chance(0.56);
  const age = Math.round(Math.min(91, Math.max(18, rng.normal(63, 16))));
  const anchorYear = rng.int(2110, 2190);
  const body = { weight: Math.max(42, rng.normal(male ? 86 : 74, 16)), height: Math.round(rng.normal(male ? 175 : 162, 7)) };
  let time = Date.UTC(anchorYear, rng.int(0, 11), rng.int(1, 28)) / 1000 + HOUR * rng.int(0, 23);
  let deathDay: number | null = null;
  let severity = rng.uniform(0, 0.8);
  const numAdmissions = 1 + rng.weighted([60, 25, 10, 5]);
  for (let a = 0; a < numAdmissions && counts.stays < spec.stays; a++) {
    const admission = 20_000_000 + counts.admissions++;
    const admitTime = time;
    let clock = admitTime + HOUR * rng.int(1, 20);
    const numStays = Math.min(spec.stays - counts.stays, rng.chance(0.1) ? 2 : 1);
    for (let s = 0; s < numStays; s++) {
      const stay = 30_000_000 + counts.stays++;
      const start = severity;
      severity = Math.min(1, Math.max(0, start + rng.normal(-0.1, 0.25)));
      const inTime = clock;
      const outTime = inTime + HOUR * Math.round(Math.min(24 * 30, 14 + 60 * rng.uniform() ** 3 * 8 + 12 * severity));
      const ids = `${subject},${admission},${stay}`;
      const los = ((outTime - inTime) / DAY).toFixed(4);
      files['icu/icustays'].add(`${ids},MICU,MICU,${stamp(inTime)},${rng.chance(0.001) ? '' : stamp(outTime)},${los}`);
      const rows = Math.max(1, Math.round(spec.rowsPerStay * rng.uniform(0.5, 1.5)));
      counts.chartRows += rows;
      await writeChart(
        files['icu/chartevents'],
        { ids, idsWithoutStay: `${subject},${admission},`, inTime, outTime, start, end: severity, body },
        rows,
        rng,
      );
      clock = outTime + HOUR * rng.int(12, 72);
    }
    const died = rng.chance(1 / (1 + Math.exp(5.2 - 7 * severity)));
    const left = died ? clock - HOUR * 11 : clock + HOUR * rng.int(0, 96);
    // A slip of the real tables: one discharge in a thousand comes before the admission.
    const dischargeTime = rng.chance(0.001) ? admitTime - HOUR : left;
    files['hosp/admissions'].add(
      `${subject},${admission},${stamp(admitTime)},${stamp(dischargeTime)},${died ? stamp(left) : ''},EW EMER.,P0,EMERGENCY ROOM,` +
        `${died ? 'DIED' : 'HOME'},Other,ENGLISH,,UNKNOWN,,,${died ? 1 : 0}`,
    );
    if (died) {
      deathDay = Math.floor(left / DAY);
      // Another: an admission for the donation of organs.
      if (!rng.chance(0.02)) break;
      time = left + DAY * rng.int(2, 3);
    } else if (rng.chance(0.03 + 0.15 * severity)) {
      deathDay = Math.floor(left / DAY) + rng.int(1, 300);
      break;
    } else time = left + DAY * (rng.chance(0.2 + 0.4 * severity) ? rng.int(1, 29) : rng.int(31, 700));
  }
  const dod = deathDay === null ? '' : dateOf(deathDay * DAY);
  files['hosp/patients'].add(`${subject},${male ? 'M' : 'F'},${age},${anchorYear},2011 - 2013,${dod}`);
}
