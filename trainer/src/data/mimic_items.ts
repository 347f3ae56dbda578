/**
 * The 17 variables of MIMIC-IV and the chart items they are read from: the one table of item ids, unit conversions and bounds.
 *
 * Variables and their order: the public MIMIC benchmarks' set, as the EAG-RL paper uses it (eag-rl.md section 7). Sources of a row:
 *   items   MIT-LCP mimic-code, mimic-iv/concepts/measurement/{vitalsign,gcs,height}.sql, bg.sql for FiO2; where it has none, icu/d_items
 *   bounds  mimic-code where it has some, else the valid range of mimic3-benchmarks, resources/variable_ranges.csv; values outside are
 *           left out, never moved to the bound
 *
 * hosp/labevents is not read: the ICU chart carries the same glucose and pH results under items of its own.
 */
import type { Feature } from '../types.ts';
import { featureOf, labOfMimic } from './lab_dictionary.ts';

/** How a chart row becomes a value in the variable's unit. */
export type Conversion =
  /** valuenum as it is. */
  | 'none'
  /** (x - 32) * 5 / 9. */
  | 'fahrenheit'
  /** x * 0.45359237, exact by definition. */
  | 'pound'
  /** x * 2.54, exact by definition. */
  | 'inch'
  /** Charted as 21..100 or as 0.21..1: above 1 it is a percentage (mimic-code bg.sql). */
  | 'percent'
  /** The text: normal or brisk = 0, abnormal or delayed = 1. */
  | 'refill';

/** One row of icu/d_items. */
export interface ChartItem {
  readonly id: number;
  /** Label in d_items. */
  readonly label: string;
  readonly conversion: Conversion;
}

export interface MimicVariable {
  readonly feature: Feature;
  /** Of two readings at one time, the item listed first is taken. Empty for a variable that is computed. */
  readonly items: readonly ChartItem[];
  /** Smallest and largest value that is kept, both included, in the variable's unit. */
  readonly low: number;
  readonly high: number;
  /** Where `low` and `high` come from. */
  readonly source: string;
}

const RANGES = 'mimic3-benchmarks variable_ranges.csv';
const VITALS = 'mimic-code vitalsign.sql; 0 is a lead that fell off';

const item = (id: number, label: string, conversion: Conversion = 'none'): ChartItem => ({ id, label, conversion });

function variable(
  name: string,
  low: number,
  high: number,
  source: string,
  items: readonly ChartItem[],
  categorical = false,
): MimicVariable {
  const lab = labOfMimic(name);
  if (lab === undefined) throw new Error(`MIMIC-IV variables: the lab dictionary lacks "${name}"`);
  const levels = categorical ? Array.from({ length: high - low + 1 }, (_, i) => low + i) : undefined;
  return { feature: { ...featureOf(lab, name), levels }, items, low, high, source };
}

/** Variable i is feature i of the cohort. One-hot they have 42 columns: 12 numbers and 2 + 4 + 6 + 5 + 13 levels. */
export const MIMIC_VARIABLES: readonly MimicVariable[] = [
  variable(
    'Capillary refill rate',
    0,
    1,
    RANGES,
    [item(223951, 'Capillary Refill R', 'refill'), item(224308, 'Capillary Refill L', 'refill')],
    true,
  ),
  variable('Glascow coma scale eye opening', 1, 4, RANGES, [item(220739, 'GCS - Eye Opening')], true),
  variable('Glascow coma scale motor response', 1, 6, RANGES, [item(223901, 'GCS - Motor Response')], true),
  // An intubated patient ("No Response-ETT") is charted as 1.
  variable('Glascow coma scale verbal response', 1, 5, RANGES, [item(223900, 'GCS - Verbal Response')], true),
  // The ICU chart of MIMIC-IV has no item for the sum.
  variable('Glascow coma scale total', 3, 15, RANGES, [], true),
  variable('Diastolic blood pressure', 1, 300, VITALS, [
    item(220051, 'Arterial Blood Pressure diastolic'),
    item(225310, 'ART BP Diastolic'),
    item(220180, 'Non Invasive Blood Pressure diastolic'),
    item(224643, 'Manual Blood Pressure Diastolic Left'),
    item(227242, 'Manual Blood Pressure Diastolic Right'),
  ]),
  variable('Fraction inspired oxygen', 0.21, 1, RANGES, [item(223835, 'Inspired O2 Fraction', 'percent')]),
  variable('Glucose', 33, 2000, RANGES, [
    item(220621, 'Glucose (serum)'),
    item(226537, 'Glucose (whole blood)'),
    item(225664, 'Glucose finger stick (range 70-100)'),
  ]),
  variable('Heart Rate', 1, 300, VITALS, [item(220045, 'Heart Rate')]),
  variable('Height', 120, 230, 'mimic-code height.sql', [item(226730, 'Height (cm)'), item(226707, 'Height', 'inch')]),
  variable('Mean blood pressure', 1, 300, VITALS, [
    item(220052, 'Arterial Blood Pressure mean'),
    item(225312, 'ART BP Mean'),
    item(220181, 'Non Invasive Blood Pressure mean'),
  ]),
  variable('Oxygen saturation', 1, 100, VITALS, [item(220277, 'O2 saturation pulseoxymetry')]),
  variable('Respiratory rate', 1, 70, VITALS, [item(220210, 'Respiratory Rate'), item(224690, 'Respiratory Rate (Total)')]),
  variable('Systolic blood pressure', 1, 400, VITALS, [
    item(220050, 'Arterial Blood Pressure systolic'),
    item(225309, 'ART BP Systolic'),
    item(220179, 'Non Invasive Blood Pressure systolic'),
    item(224167, 'Manual Blood Pressure Systolic Left'),
    item(227243, 'Manual Blood Pressure Systolic Right'),
  ]),
  variable('Temperature', 26, 45, RANGES, [item(223762, 'Temperature Celsius'), item(223761, 'Temperature Fahrenheit', 'fahrenheit')]),
  variable('Weight', 20, 250, `${RANGES}; below 20 kg no adult`, [
    item(224639, 'Daily Weight'),
    item(226512, 'Admission Weight (Kg)'),
    item(226531, 'Admission Weight (lbs.)', 'pound'),
  ]),
  variable('pH', 6.3, 8.4, RANGES, [item(223830, 'PH (Arterial)'), item(220274, 'PH (Venous)')]),
];

/** Place of a variable in {@link MIMIC_VARIABLES}. */
export function mimicIndex(key: string): number {
  const index = MIMIC_VARIABLES.findIndex(({ feature }) => feature.key === key);
  if (index < 0) throw new Error(`MIMIC-IV variables: no "${key}"`);
  return index;
}
