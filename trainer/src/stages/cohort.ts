/** The cohort that a config asks for (Node edge: TJH and MIMIC-IV are read from files). */
import { basename, join } from 'node:path';
import type { Config } from '../config/schema.ts';
import type { FlowRow } from '../data/tjh.ts';
import type { Cohort } from '../types.ts';
import { ConfigError } from '../util/errors.ts';

export interface LoadedCohort {
  readonly cohort: Cohort;
  /** How many rows and patients each rule left; null for generated cohorts. */
  readonly flow: readonly FlowRow[] | null;
  /** What the columns behind labels and dates say of each other, counted; TJH and MIMIC-IV. */
  readonly audit: readonly { readonly check: string; readonly rows: number }[];
  /** What a reader of any result on this cohort must know. */
  readonly caveats: readonly string[];
}

const TJH_CAVEAT =
  'TJH: laboratory values up to the day of death or discharge are used, as published; this is no forecast, data.horizon_days leaves the last days out';

const MEDS_CAVEAT =
  'meds: values up to each label’s prediction_time are used; whether that is a forecast is decided by who made the labels';

/** @throws ConfigError when a path is missing or wrong, DataError when the data are wrong. */
export async function loadCohort({ data, output_dir }: Pick<Config, 'data' | 'output_dir'>): Promise<LoadedCohort> {
  if (data.kind === 'synthetic') {
    const { generateSyntheticCohort } = await import('../data/synthetic.ts');
    const split = { train: data.num_train, val: data.num_val, test: data.num_test };
    return { cohort: generateSyntheticCohort({ seed: data.seed, split, effects: data.effects }), flow: null, audit: [], caveats: [] };
  }
  if (data.kind === 'mimic4') return loadMimic(data, output_dir);
  if (data.kind === 'meds') return loadMeds(data);
  if (data.path === null) throw new ConfigError('data.path: kind tjh needs the TJH spreadsheet; pass --data.path FILE.xlsx');
  if (data.split === null)
    throw new ConfigError('data.split: kind tjh needs a file with the patient ids of each split; pass --data.split FILE.json');
  const { loadTjh } = await import('../data/tjh_xlsx.ts');
  const loaded = await loadTjh({
    path: data.path,
    splitPath: data.split,
    minVisits: data.min_visits,
    horizonDays: data.horizon_days,
  });
  return { ...loaded, caveats: data.horizon_days === null ? [TJH_CAVEAT] : [] };
}

async function loadMimic(data: Config['data'], outputDir: string): Promise<LoadedCohort> {
  if (data.path === null) throw new ConfigError('data.path: kind mimic4 needs the folder with hosp/ and icu/; pass --data.path FOLDER');
  const [{ mimicCohort }, { readMimicFolder }, { readSplits }] = await Promise.all([
    import('../data/mimic.ts'),
    import('../data/mimic_folder.ts'),
    import('../data/split_file.ts'),
  ]);
  // The id file is small and likely to be wrong, so it comes first.
  const split = data.split === null ? null : { ids: await readSplits(data.split), source: basename(data.split) };
  const tables = await readMimicFolder({ path: data.path, cacheFolder: join(outputDir, 'cache') });
  return mimicCohort(tables, {
    task: data.task,
    maxDays: data.max_days,
    horizonDays: data.horizon_days,
    split,
    maxStays: data.max_stays,
    seed: data.seed,
    valFraction: data.val_fraction,
    testFraction: data.test_fraction,
  });
}

async function loadMeds({ path, task, split }: Config['data']): Promise<LoadedCohort> {
  if (path === null)
    throw new ConfigError('data.path: kind meds needs the folder with data/, metadata/ and tasks/; pass --data.path FOLDER');
  const [{ readMeds }, { readSplits }] = await Promise.all([import('../data/meds.ts'), import('../data/split_file.ts')]);
  const ids = split === null ? null : { ids: await readSplits(split), source: basename(split) };
  return { ...(await readMeds({ path, task, split: ids })), audit: [], caveats: [MEDS_CAVEAT] };
}
