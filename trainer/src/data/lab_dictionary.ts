/**
 * Vital signs and laboratory tests: one row each, with unit, reference range and what an abnormal value generally suggests.
 *
 * Units and ranges of the TJH labs are those the ehr-llm-benchmark shows to language models, with one correction: albumin
 * there reads 3.5 - 5.5 g/dL while the column holds g/L (median 32), so it is 35 - 55 g/L here. The other ranges and all
 * statements are common textbook knowledge, deliberately short and generic; they know nothing of any cohort's outcomes.
 */

import type { Feature } from '../types.ts';
import { foldName } from './names.ts';

/** Body system a test speaks about. */
export type BodySystem =
  | 'blood cells'
  | 'circulation'
  | 'clotting'
  | 'electrolytes'
  | 'growth'
  | 'heart'
  | 'hormones'
  | 'immune system'
  | 'kidney'
  | 'liver'
  | 'lung'
  | 'metabolism'
  | 'nervous system'
  | 'tissue';

/** One vital sign or lab. */
export interface Lab {
  /** Clean label, at most 30 characters, without comma (names are listed separated by commas). */
  readonly name: string;
  readonly unit?: string;
  readonly low?: number;
  readonly high?: number;
  readonly lowFemale?: number;
  readonly highFemale?: number;
  readonly system: BodySystem;
  /** "a high value suggests ..."; absent where high has no meaning or cannot occur. */
  readonly highSuggests?: string;
  readonly lowSuggests?: string;
  /** Largest value that can exist, such as 100 %; open when absent. */
  readonly max?: number;
  /** True for scores and yes/no signs. */
  readonly integer?: boolean;
  readonly aliases: readonly string[];
  /** Column of the TJH file, when it has this lab (compare folded: the file has trailing spaces). */
  readonly tjh?: string;
  /** Variable name of the 17-feature MIMIC-IV set, when it is one of them. */
  readonly mimic?: string;
}

type More = Partial<Pick<Lab, 'lowFemale' | 'highFemale' | 'max' | 'integer' | 'aliases' | 'tjh' | 'mimic'>>;

function lab(
  name: string,
  unit: string | undefined,
  low: number | undefined,
  high: number | undefined,
  system: BodySystem,
  highSuggests: string | undefined,
  lowSuggests: string | undefined,
  more: More = {},
): Lab {
  return { name, unit, low, high, system, highSuggests, lowSuggests, aliases: [], ...more };
}

const no = undefined;

// biome-ignore format: a table, one lab per line
/** Every known vital sign and lab; names and aliases are unique after folding. */
export const LABS: readonly Lab[] = [
  // Vital signs and bedside observations.
  lab('heart rate', 'bpm', 60, 100, 'circulation', 'stress, fever or shock', 'slow conduction', { mimic: 'Heart Rate', aliases: ['pulse', 'HR'] }),
  lab('systolic blood pressure', 'mmHg', 90, 140, 'circulation', 'hypertension', 'shock', { mimic: 'Systolic blood pressure', aliases: ['SBP'] }),
  lab('diastolic blood pressure', 'mmHg', 60, 90, 'circulation', 'hypertension', 'low vascular tone', { mimic: 'Diastolic blood pressure', aliases: ['DBP'] }),
  lab('mean blood pressure', 'mmHg', 70, 105, 'circulation', 'hypertension', 'poor organ perfusion', { mimic: 'Mean blood pressure', aliases: ['MBP', 'mean arterial pressure', 'MAP'] }),
  lab('respiratory rate', 'per min', 12, 20, 'lung', 'respiratory distress', 'respiratory depression', { mimic: 'Respiratory rate', aliases: ['RR'] }),
  lab('temperature', 'Celsius', 36, 37.5, 'immune system', 'fever and infection', 'hypothermia', { mimic: 'Temperature' }),
  lab('oxygen saturation', '%', 95, 100, 'lung', no, 'respiratory failure', { mimic: 'Oxygen saturation', max: 100, aliases: ['SpO2'] }),
  lab('inspired oxygen fraction', 'fraction', no, 0.21, 'lung', 'need for oxygen support', no, { mimic: 'Fraction inspired oxygen', max: 1, aliases: ['FiO2'] }),
  lab('capillary refill', '0 or 1', no, 0.5, 'circulation', 'poor perfusion', no, { mimic: 'Capillary refill rate', max: 1, integer: true }),
  lab('coma scale total', 'points', 15, no, 'nervous system', no, 'reduced consciousness', { mimic: 'Glascow coma scale total', max: 15, integer: true, aliases: ['GCS', 'Glasgow coma scale total'] }),
  lab('coma scale eye', 'points', 4, no, 'nervous system', no, 'reduced consciousness', { mimic: 'Glascow coma scale eye opening', max: 4, integer: true, aliases: ['Glasgow coma scale eye opening'] }),
  lab('coma scale motor', 'points', 6, no, 'nervous system', no, 'reduced consciousness', { mimic: 'Glascow coma scale motor response', max: 6, integer: true, aliases: ['Glasgow coma scale motor response'] }),
  lab('coma scale verbal', 'points', 5, no, 'nervous system', no, 'reduced consciousness', { mimic: 'Glascow coma scale verbal response', max: 5, integer: true, aliases: ['Glasgow coma scale verbal response'] }),
  lab('height', 'cm', 150, 200, 'growth', 'tall stature', 'short stature', { mimic: 'Height' }),
  lab('weight', 'kg', 45, 110, 'growth', 'overweight', 'poor nutrition', { mimic: 'Weight' }),
  lab('urine output', 'mL per h', 30, 200, 'kidney', 'excess water loss', 'kidney impairment'),
  lab('blood glucose', 'mg/dL', 70, 140, 'metabolism', 'diabetes or stress', 'energy shortage', { mimic: 'Glucose' }),

  // Blood cells.
  lab('hemoglobin', 'g/L', 140, 180, 'blood cells', 'thick blood', 'anemia', { tjh: 'hemoglobin', lowFemale: 120, highFemale: 160 }),
  lab('hematocrit', '%', 40, 54, 'blood cells', 'thick blood', 'anemia', { tjh: 'hematocrit', lowFemale: 36, highFemale: 48, max: 100 }),
  lab('red blood cell count', '10^12/L', 4.5, 5.5, 'blood cells', 'thick blood', 'anemia', { tjh: 'Red blood cell count', lowFemale: 4, highFemale: 5 }),
  lab('mean corpuscular volume', 'fL', 80, 100, 'blood cells', 'vitamin shortage', 'iron shortage', { tjh: 'mean corpuscular volume', aliases: ['MCV'] }),
  lab('mean corpuscular hemoglobin', 'pg', 27, 31, 'blood cells', 'vitamin shortage', 'iron shortage', { tjh: 'mean corpuscular hemoglobin', aliases: ['MCH'] }),
  lab('corpuscular hemoglobin conc', 'g/L', 320, 360, 'blood cells', 'cell damage', 'iron shortage', { tjh: 'mean corpuscular hemoglobin concentration', aliases: ['MCHC'] }),
  lab('red cell width', '%', 11.5, 14.5, 'blood cells', 'disturbed blood formation', no, { tjh: 'Red blood cell distribution width', lowFemale: 12.2, highFemale: 16.1, aliases: ['RDW'] }),
  lab('red cell width SD', 'fL', 40, 55, 'blood cells', 'disturbed blood formation', no, { tjh: 'RBC distribution width SD', aliases: ['RDW-SD'] }),
  lab('white blood cell count', '10^9/L', 4.5, 11, 'immune system', 'infection', 'weak defence', { tjh: 'White blood cell count', aliases: ['WBC', 'leukocytes'] }),
  lab('neutrophil count', '10^9/L', 2, 8, 'immune system', 'bacterial infection', 'weak defence', { tjh: 'neutrophils count' }),
  lab('neutrophil percent', '%', 45, 70, 'immune system', 'bacterial infection', 'weak defence', { tjh: 'neutrophils(%)', max: 100 }),
  lab('lymphocyte count', '10^9/L', 1, 4.8, 'immune system', 'viral infection', 'immune exhaustion', { tjh: 'lymphocyte count' }),
  lab('lymphocyte percent', '%', 20, 40, 'immune system', 'viral infection', 'immune exhaustion', { tjh: '(%)lymphocyte', max: 100 }),
  lab('monocyte count', '10^9/L', 0.32, 0.58, 'immune system', 'long inflammation', 'weak defence', { tjh: 'monocytes count' }),
  lab('monocyte percent', '%', 2, 10, 'immune system', 'long inflammation', 'weak defence', { tjh: 'monocytes(%)', max: 100 }),
  lab('eosinophil count', '10^9/L', 0.02, 0.5, 'immune system', 'allergy or parasites', 'acute stress', { tjh: 'Eosinophil count' }),
  lab('eosinophil percent', '%', 1, 6, 'immune system', 'allergy or parasites', 'acute stress', { tjh: 'eosinophils(%)', max: 100 }),
  lab('basophil count', '10^9/L', 0.01, 0.02, 'immune system', 'allergy', 'acute stress', { tjh: 'basophil count(#)' }),
  lab('basophil percent', '%', 0.5, 1, 'immune system', 'allergy', 'acute stress', { tjh: 'basophil(%)', max: 100 }),
  lab('reticulocyte percent', '%', 0.5, 2.5, 'blood cells', 'blood loss', 'weak bone marrow', { max: 100 }),

  // Clotting.
  lab('platelet count', '10^9/L', 150, 450, 'clotting', 'inflammation', 'risk of bleeding', { tjh: 'Platelet count', aliases: ['platelets'] }),
  lab('mean platelet volume', 'fL', 7.4, 11.4, 'clotting', 'rapid platelet turnover', no, { tjh: 'Mean platelet volume', aliases: ['MPV'] }),
  lab('platelet width', 'fL', 9.2, 16.7, 'clotting', 'rapid platelet turnover', no, { tjh: 'PLT distribution width', aliases: ['PDW'] }),
  lab('large platelet ratio', '%', 15, 35, 'clotting', 'rapid platelet turnover', no, { tjh: 'platelet large cell ratio', max: 100 }),
  lab('plateletcrit', '%', 0.22, 0.24, 'clotting', 'inflammation', 'risk of bleeding', { tjh: 'thrombocytocrit' }),
  lab('prothrombin time', 's', 13.1, 14.125, 'clotting', 'slow clotting', 'fast clotting', { tjh: 'Prothrombin time', aliases: ['PT'] }),
  lab('prothrombin activity', '%', 70, 130, 'clotting', 'fast clotting', 'slow clotting', { tjh: 'Prothrombin activity' }),
  lab('INR', 'ratio', 0.8, 1.2, 'clotting', 'slow clotting', 'fast clotting', { tjh: 'International standard ratio', aliases: ['international normalised ratio'] }),
  lab('thromboplastin time', 's', 22, 35, 'clotting', 'slow clotting', 'fast clotting', { tjh: 'Activation of partial thromboplastin time', aliases: ['aPTT', 'activated partial thromboplastin time'] }),
  lab('thrombin time', 's', 12, 19, 'clotting', 'slow clotting', no, { tjh: 'Thrombin time' }),
  lab('fibrinogen', 'g/L', 2, 4, 'clotting', 'inflammation', 'used-up clotting factors', { tjh: 'fibrinogen' }),
  lab('fibrin products', 'ug/mL', 0, 10, 'clotting', 'clots being dissolved', no, { tjh: 'Fibrin degradation products', aliases: ['FDP'] }),
  lab('D-dimer', 'mg/L', 0, 0.5, 'clotting', 'clot formation', no, { tjh: 'D-D dimer' }),
  lab('antithrombin', '%', 80, 120, 'clotting', no, 'used-up clotting factors', { tjh: 'antithrombin' }),

  // Inflammation and infection.
  lab('C-reactive protein', 'mg/L', 3, 10, 'immune system', 'inflammation', no, { tjh: 'High sensitivity C-reactive protein', aliases: ['CRP', 'hs-CRP'] }),
  lab('procalcitonin', 'ng/mL', no, 0.05, 'immune system', 'bacterial infection', no, { tjh: 'procalcitonin', aliases: ['PCT'] }),
  lab('sedimentation rate', 'mm/h', no, 15, 'immune system', 'inflammation', no, { tjh: 'ESR', highFemale: 20, aliases: ['erythrocyte sedimentation rate'] }),
  lab('ferritin', 'ng/mL', 24, 336, 'immune system', 'inflammation', 'iron shortage', { tjh: 'ferritin', lowFemale: 11, highFemale: 307 }),
  lab('interleukin-1 beta', 'pg/mL', no, 6.5, 'immune system', 'inflammation', no, { tjh: 'Interleukin 1β' }),
  lab('interleukin-2 receptor', 'pg/mL', no, 625, 'immune system', 'immune activation', no, { tjh: 'Interleukin 2 receptor' }),
  lab('interleukin-6', 'pg/mL', 0, 7, 'immune system', 'inflammation', no, { tjh: 'Interleukin 6', aliases: ['IL-6'] }),
  lab('interleukin-8', 'pg/mL', no, 62, 'immune system', 'inflammation', no, { tjh: 'Interleukin 8', aliases: ['IL-8'] }),
  lab('interleukin-10', 'pg/mL', no, 9.8, 'immune system', 'immune activation', no, { tjh: 'Interleukin 10', aliases: ['IL-10'] }),
  lab('tumor necrosis factor', 'pg/mL', no, 8.1, 'immune system', 'inflammation', no, { tjh: 'Tumor necrosis factorα', aliases: ['TNF-alpha', 'tumor necrosis factor alpha'] }),
  lab('syphilis antibody', no, no, 1, 'immune system', 'past syphilis', no, { tjh: 'Quantification of Treponema pallidum antibodies' }),
  lab('hepatitis B antigen', 'IU/mL', 0, 0.01, 'immune system', 'hepatitis B', no, { tjh: 'HBsAg' }),
  lab('hepatitis C antibody', 'IU/mL', 0.04, 0.08, 'immune system', 'contact with hepatitis C', no, { tjh: 'HCV antibody quantification' }),
  lab('HIV antibody', 'IU/mL', 0.08, 0.11, 'immune system', 'contact with HIV', no, { tjh: 'HIV antibody quantification' }),

  // Kidney.
  lab('creatinine', 'umol/L', 61.9, 114.9, 'kidney', 'kidney impairment', 'low muscle mass', { tjh: 'creatinine', lowFemale: 53, highFemale: 97.2 }),
  lab('urea', 'mmol/L', 1.8, 7.1, 'kidney', 'kidney impairment', 'low protein intake', { tjh: 'Urea', aliases: ['blood urea nitrogen', 'BUN'] }),
  lab('uric acid', 'umol/L', 240, 510, 'kidney', 'kidney impairment', no, { tjh: 'Uric acid', lowFemale: 160, highFemale: 430 }),
  lab('eGFR', 'mL/min', 90, no, 'kidney', no, 'kidney impairment', { tjh: 'eGFR', aliases: ['estimated glomerular filtration rate'] }),
  lab('cystatin C', 'mg/L', 0.6, 1, 'kidney', 'kidney impairment', no),

  // Liver and protein.
  lab('alanine aminotransferase', 'U/L', 0, 35, 'liver', 'liver damage', no, { tjh: 'glutamic-pyruvic transaminase', aliases: ['ALT'] }),
  lab('aspartate aminotransferase', 'U/L', 8, 33, 'liver', 'liver or muscle damage', no, { tjh: 'aspartate aminotransferase', aliases: ['AST'] }),
  lab('gamma-glutamyl transferase', 'U/L', 7, 47, 'liver', 'bile flow trouble', no, { tjh: 'γ-glutamyl transpeptidase', lowFemale: 5, highFemale: 25, aliases: ['GGT'] }),
  lab('alkaline phosphatase', 'IU/L', 44, 147, 'liver', 'bile flow trouble', 'poor nutrition', { tjh: 'Alkaline phosphatase', aliases: ['ALP'] }),
  lab('total bilirubin', 'umol/L', 5.1, 17, 'liver', 'bile flow trouble', no, { tjh: 'Total bilirubin' }),
  lab('direct bilirubin', 'umol/L', 1.7, 5.1, 'liver', 'bile flow trouble', no, { tjh: 'Direct bilirubin' }),
  lab('indirect bilirubin', 'umol/L', 3.4, 12, 'liver', 'red cell breakdown', no, { tjh: 'indirect bilirubin' }),
  lab('albumin', 'g/L', 35, 55, 'liver', 'lack of water', 'poor nutrition or leakage', { tjh: 'albumin' }),
  lab('globulin', 'g/L', 23, 35, 'immune system', 'immune activation', 'weak defence', { tjh: 'globulin' }),
  lab('total protein', 'g/L', 60, 83, 'liver', 'immune activation', 'poor nutrition or leakage', { tjh: 'total protein' }),
  lab('ammonia', 'umol/L', 11, 32, 'liver', 'liver failure', no),

  // Heart, muscle and other tissue.
  lab('troponin I', 'ng/L', no, 14, 'heart', 'heart muscle damage', no, { tjh: 'Hypersensitive cardiac troponinI', aliases: ['cardiac troponin I'] }),
  lab('NT-proBNP', 'pg/mL', 0, 125, 'heart', 'heart failure', no, { tjh: 'Amino-terminal brain natriuretic peptide precursor(NT-proBNP)' }),
  lab('creatine kinase', 'U/L', 30, 200, 'tissue', 'muscle damage', no, { aliases: ['CK'] }),
  lab('creatine kinase MB', 'U/L', 0, 25, 'heart', 'heart muscle damage', no, { aliases: ['CK-MB'] }),
  lab('myoglobin', 'ng/mL', 25, 72, 'tissue', 'muscle damage', no),
  lab('lactate dehydrogenase', 'U/L', 140, 280, 'tissue', 'tissue damage', no, { tjh: 'Lactate dehydrogenase', aliases: ['LDH'] }),
  lab('amylase', 'U/L', 30, 110, 'metabolism', 'inflamed pancreas', no),
  lab('lipase', 'U/L', 10, 140, 'metabolism', 'inflamed pancreas', no),

  // Electrolytes, gases and metabolism.
  lab('sodium', 'mmol/L', 135, 145, 'electrolytes', 'lack of water', 'excess of water', { tjh: 'serum sodium', aliases: ['Na'] }),
  lab('potassium', 'mmol/L', 3.5, 5, 'electrolytes', 'kidney impairment', 'loss of potassium', { tjh: 'Serum potassium', aliases: ['K'] }),
  lab('chloride', 'mmol/L', 96, 106, 'electrolytes', 'lack of water', 'loss of acid', { tjh: 'Serum chloride' }),
  lab('calcium', 'mmol/L', 2.13, 2.55, 'electrolytes', 'overactive parathyroid', 'critical illness', { tjh: 'calcium' }),
  lab('corrected calcium', 'mmol/L', 2.12, 2.57, 'electrolytes', 'overactive parathyroid', 'critical illness', { tjh: 'Corrected calcium' }),
  lab('magnesium', 'mmol/L', 0.7, 1.05, 'electrolytes', 'kidney impairment', 'loss of minerals', { aliases: ['Mg'] }),
  lab('phosphate', 'mmol/L', 0.8, 1.5, 'electrolytes', 'kidney impairment', 'poor nutrition'),
  lab('bicarbonate', 'mmol/L', 22, 29, 'electrolytes', 'loss of acid', 'acid build-up', { tjh: 'HCO3-' }),
  lab('anion gap', 'mmol/L', 8, 16, 'electrolytes', 'acid build-up', no),
  lab('pH', no, 7.35, 7.45, 'electrolytes', 'loss of acid', 'acid build-up', { tjh: 'PH value', mimic: 'pH', max: 14 }),
  lab('oxygen pressure', 'mmHg', 75, 100, 'lung', 'oxygen support', 'respiratory failure', { aliases: ['PaO2'] }),
  lab('carbon dioxide pressure', 'mmHg', 35, 45, 'lung', 'weak breathing', 'rapid breathing', { aliases: ['PaCO2'] }),
  lab('lactate', 'mmol/L', 0.5, 2, 'circulation', 'poor organ perfusion', no),
  lab('glucose', 'mmol/L', 3.9, 5.6, 'metabolism', 'diabetes or stress', 'energy shortage', { tjh: 'glucose' }),
  lab('hemoglobin A1c', '%', 4, 5.7, 'metabolism', 'diabetes', no, { max: 100, aliases: ['HbA1c'] }),
  lab('total cholesterol', 'mmol/L', no, 5.17, 'metabolism', 'risk to the vessels', no, { tjh: 'Total cholesterol' }),
  lab('triglycerides', 'mmol/L', no, 1.7, 'metabolism', 'risk to the vessels', no),
  lab('thyrotropin', 'mIU/L', 0.4, 4, 'hormones', 'underactive thyroid', 'overactive thyroid', { aliases: ['TSH'] }),
  lab('cortisol', 'nmol/L', 140, 690, 'hormones', 'acute stress', 'weak adrenal gland'),
];

/** Folded name, alias, TJH column or MIMIC-IV variable to its lab; names come first, so that `Glucose` of MIMIC-IV needs `labOfMimic`. */
const byName = new Map<string, Lab>();
const byTjh = new Map<string, Lab>();
const byMimic = new Map<string, Lab>();
for (const entry of LABS) {
  byName.set(foldName(entry.name), entry);
  for (const alias of entry.aliases) byName.set(foldName(alias), entry);
  if (entry.tjh !== undefined) byTjh.set(foldName(entry.tjh), entry);
  if (entry.mimic !== undefined) byMimic.set(foldName(entry.mimic), entry);
}

/** Lab with this name or alias, in any spelling that folds to it. */
export function labByName(name: string): Lab | undefined {
  return byName.get(foldName(name));
}

/** Lab of a TJH column; trailing spaces, hyphens and case do not matter. */
export function labOfTjh(column: string): Lab | undefined {
  return byTjh.get(foldName(column));
}

/** Lab of one of the 17 MIMIC-IV variables. */
export function labOfMimic(variable: string): Lab | undefined {
  return byMimic.get(foldName(variable));
}

/** The cohort feature of a lab. `key`: the column name in the source, by default the clean name. */
export function featureOf(entry: Lab, key: string = entry.name): Feature {
  const { name, unit, low, high, lowFemale, highFemale } = entry;
  return { key, name, unit, low, high, lowFemale, highFemale };
}
