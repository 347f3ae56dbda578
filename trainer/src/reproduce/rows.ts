/**
 * From answers to rows. All cells are resampled together: draw b takes the same patients (and, with several seeds, the same seeds) for
 * every cell, so any difference between cells is paired, and any combination of them has an interval.
 *
 *   one seed:  1,000 draws of the test patients with replacement, all rows of each, as `eagrl run` has them
 *   pooled:    each draw also takes as many seeds as there are, with replacement; a cell's value is the mean over the seeds taken
 *
 * The pooled interval holds what a new set of patients and a new seed would change; with three seeds the latter is a coarse guess, which is
 * why the standard deviation over seeds stands beside it.
 */
import { type BootstrapOptions, type Interval, resample, splitMix32, summarise } from '../metrics/bootstrap.ts';
import { classificationMetrics, METRIC_NAMES } from '../metrics/classification.ts';
import { attentionReward } from '../rewards/rewards.ts';
import type { Answers } from '../stages/evaluate.ts';
import { jaccardOf } from '../stages/evaluate.ts';
import type { Cohort } from '../types.ts';
import { type Group, referenceOf } from './matrix.ts';

/** What is stated of every cell. The first six are those of src/metrics/classification.ts. */
export const STATS = [...METRIC_NAMES, 'jaccard', 'truth_jaccard', 'parse_failure_rate', 'tokens'] as const;
export type Stat = (typeof STATS)[number];

/** One cell at one seed: a row per sample of the test split, all of the same length. Null where nothing is named, read or written. */
export interface CellColumns {
  readonly probabilities: readonly number[];
  /** Jaccard of the named features with the expert's. */
  readonly jaccard: readonly number[] | null;
  /** Jaccard of the named (or the expert's) features with those that drive the outcome; generated cohorts only. */
  readonly truthJaccard: readonly number[] | null;
  readonly unread: readonly number[] | null;
  readonly tokens: readonly number[] | null;
}

export type Bounds = Pick<Interval, 'value' | 'lower' | 'upper'>;
type Statistics = Readonly<Partial<Record<Stat, Bounds>>>;

export interface Row {
  readonly cell: string;
  readonly label: string;
  readonly group: Group;
  /** Null: over all seeds. */
  readonly seed: number | null;
  /** Samples of the test split, and the share of positives among them. */
  readonly n: number;
  /** Absent where it is n: the samples are ICU stays, and some are of the same patient. */
  readonly people?: number;
  readonly prevalence: number;
  /** Value with the 2.5 and 97.5 percentiles of its resamples. */
  readonly stats: Statistics;
  /** Standard deviation (n - 1) over seeds; null for one seed. */
  readonly seed_std: Readonly<Partial<Record<Stat, number>>> | null;
  /** This cell - EAG-RL (trained where it is tested), the same patients and seeds; null for EAG-RL itself. */
  readonly difference: Statistics | null;
}

/** Columns of one policy's answers. `expert` and `causal`: by patient id, as feature indices. */
export function policyColumns(answers: Answers, namesFeatures: boolean, expert: FeatureLists, causal: FeatureLists | null): CellColumns {
  const { ids, features, unknown } = answers;
  const against = (lists: FeatureLists) => ids.map((id, i) => jaccardOf({ indices: features[i], unknown: unknown[i] }, lists[id]));
  return {
    probabilities: answers.probabilities,
    jaccard: namesFeatures ? against(expert) : null,
    truthJaccard: namesFeatures && causal !== null ? against(causal) : null,
    unread: answers.unread,
    tokens: answers.tokens,
  };
}

export type FeatureLists = Readonly<Record<string, readonly number[]>>;

/** Columns of a predictor that names no words: the expert (whose C_exp is compared with the truth) or the generator. */
export function givenColumns(
  ids: readonly string[],
  probabilities: Readonly<Record<string, number>>,
  features: FeatureLists | null,
  causal: FeatureLists | null,
): CellColumns {
  return {
    probabilities: ids.map((id) => probabilities[id]),
    jaccard: null,
    truthJaccard: features !== null && causal !== null ? ids.map((id) => attentionReward(features[id], causal[id])) : null,
    unread: null,
    tokens: null,
  };
}

/** Feature indices that drive each patient's outcome; null for real cohorts. */
export function causalFeatures({ truth, features }: Cohort): FeatureLists | null {
  if (truth === undefined) return null;
  const at = new Map(features.map((f, i) => [f.name, i]));
  const indexOf = (name: string): number => {
    const index = at.get(name);
    if (index === undefined) throw new Error(`reproduce: the truth names ${name}, which is no feature of the cohort`);
    return index;
  };
  return Object.fromEntries(Object.entries(truth.causal).map(([id, names]) => [id, names.map(indexOf)]));
}

/** A cell with its columns, one entry per seed, in the order of the seeds. */
export interface CellData {
  readonly name: string;
  readonly label: string;
  readonly group: Group;
  readonly seeds: readonly CellColumns[];
}

/** Every cell's statistics on the data as they are and on every draw, from which all intervals are taken. */
export class Draws {
  readonly n: number;
  /** Test patients; fewer than n where some have several samples. */
  readonly people: number;
  readonly prevalence: number;
  readonly numSeeds: number;
  readonly #values = new Map<string, { readonly observed: number; readonly perSeed: readonly number[]; readonly draws: Float64Array }>();
  /** Of each draw. */
  readonly #seeds: (readonly number[])[] = [];

  /**
   * @param labels (N) of the test split; @param cells with equally many seeds each; `subjects` of the options: whose each row is.
   * @throws RangeError as classificationMetrics, or when columns differ in length.
   */
  constructor(labels: readonly number[], cells: readonly CellData[], options: BootstrapOptions = {}) {
    this.n = labels.length;
    this.people = options.subjects === undefined ? this.n : new Set(options.subjects).size;
    this.prevalence = labels.reduce((a, b) => a + b, 0) / labels.length;
    const numSeeds = cells[0]?.seeds.length ?? 0;
    this.numSeeds = numSeeds;
    for (const { name, seeds } of cells) {
      if (seeds.length !== numSeeds) throw new RangeError(`rows: cell ${name} has ${seeds.length} seeds, others ${numSeeds}`);
    }
    const numBootstrap = options.numBootstrap ?? 1000;
    const allRows = Uint32Array.from(labels, (_, i) => i);
    const allSeeds = Array.from({ length: numSeeds }, (_, s) => s);
    for (const cell of cells) {
      const single = allSeeds.map((s) => statistics(labels, cell, allRows, [s]));
      for (const [stat, observed] of Object.entries(statistics(labels, cell, allRows, allSeeds))) {
        const perSeed = single.map((values) => values[stat as Stat] as number);
        this.#values.set(`${cell.name} ${stat}`, { observed, perSeed, draws: new Float64Array(numBootstrap) });
      }
    }
    // A stream apart from the patients', so that one seed gives the draws of bootstrapMetrics.
    const random = splitMix32((options.seed ?? 0) ^ 0x5eed5);
    resample(labels, options, (draw, rows) => {
      const seeds = numSeeds === 1 ? allSeeds : allSeeds.map(() => Math.floor(random() * numSeeds));
      this.#seeds.push(seeds);
      for (const cell of cells) {
        for (const [stat, value] of Object.entries(statistics(labels, cell, rows, seeds))) {
          this.#values.get(`${cell.name} ${stat}`)!.draws[draw] = value;
        }
      }
    });
  }

  has(cell: string, stat: Stat = 'auroc'): boolean {
    return this.#values.has(`${cell} ${stat}`);
  }

  /** Interval of a statistic of one cell; null where the cell has none. */
  of(cell: string, stat: Stat): Bounds | null {
    return this.has(cell, stat) ? this.combine([[cell, stat]], ([value]) => value) : null;
  }

  /**
   * Interval of a function of several statistics, each draw's taken together; `people`: as if there were so many test patients. What a
   * draw owes to its patients, its value less that of its seeds on all patients, then shrinks with the square root of their number; what
   * it owes to its seeds stays. @throws Error when a statistic is missing.
   */
  combine(
    terms: readonly (readonly [cell: string, stat: Stat])[],
    of: (values: readonly number[]) => number,
    people = this.people,
  ): Bounds {
    const found = terms.map(([cell, stat]) => {
      const values = this.#values.get(`${cell} ${stat}`);
      if (values === undefined) throw new Error(`rows: cell ${cell} has no ${stat}`);
      return values;
    });
    const shrink = Math.sqrt(this.people / people);
    const draws = found[0].draws.map((_, b) => {
      const drawn = of(found.map((f) => f.draws[b]));
      if (shrink === 1) return drawn;
      const held = of(found.map((f) => meanOf(this.#seeds[b].map((s) => f.perSeed[s]))));
      return held + shrink * (drawn - held);
    });
    const { value, lower, upper } = summarise(of(found.map((f) => f.observed)), draws);
    return { value, lower, upper };
  }
}

const meanOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/** Means over the given seeds (repeats count) on the given rows. */
function statistics(labels: readonly number[], cell: CellData, rows: Uint32Array, seeds: readonly number[]): Partial<Record<Stat, number>> {
  const y = Float64Array.from(rows, (r) => labels[r]);
  const perSeed = new Map<number, Partial<Record<Stat, number>>>();
  for (const s of new Set(seeds)) {
    const { probabilities, jaccard, truthJaccard, unread, tokens } = cell.seeds[s];
    const mean = (column: readonly number[] | null) =>
      column === null ? undefined : rows.reduce((sum, r) => sum + column[r], 0) / rows.length;
    perSeed.set(s, {
      ...classificationMetrics(
        y,
        Float64Array.from(rows, (r) => probabilities[r]),
      ),
      jaccard: mean(jaccard),
      truth_jaccard: mean(truthJaccard),
      parse_failure_rate: mean(unread),
      tokens: mean(tokens),
    });
  }
  const means: Partial<Record<Stat, number>> = {};
  for (const stat of STATS) {
    const values = seeds.map((s) => perSeed.get(s)?.[stat]);
    if (values.every((v) => v !== undefined)) means[stat] = meanOf(values);
  }
  return means;
}

/** Rows of all cells from their draws. `seed` null: pooled, with `perSeed` the rows of the single seeds. */
export function rowsOf(draws: Draws, cells: readonly Omit<CellData, 'seeds'>[], seed: number | null, perSeed: readonly Row[] = []): Row[] {
  return cells.map(({ name, label, group }): Row => {
    const reference = referenceOf({ group });
    const gather = <T>(of: (stat: Stat) => T | null): Partial<Record<Stat, T>> =>
      Object.fromEntries(
        STATS.flatMap((stat) => {
          const value = of(stat);
          return value === null ? [] : [[stat, value]];
        }),
      );
    const own = perSeed.filter((row) => row.cell === name);
    return {
      cell: name,
      label,
      group,
      seed,
      n: draws.n,
      ...(draws.people < draws.n ? { people: draws.people } : {}),
      prevalence: draws.prevalence,
      stats: gather((stat) => draws.of(name, stat)),
      seed_std: own.length < 2 ? null : gather((stat) => spread(own.map((row) => row.stats[stat]?.value))),
      difference:
        name === reference
          ? null
          : gather((stat) =>
              draws.has(name, stat) && draws.has(reference, stat)
                ? draws.combine(
                    [
                      [name, stat],
                      [reference, stat],
                    ],
                    ([a, b]) => a - b,
                  )
                : null,
            ),
    };
  });
}

function spread(values: readonly (number | undefined)[]): number | null {
  const known = values.filter((v) => v !== undefined);
  if (known.length < values.length) return null;
  const mean = known.reduce((a, b) => a + b, 0) / known.length;
  return Math.sqrt(known.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (known.length - 1));
}
