/**
 * eagrl reproduce: the experiments of the paper on one cohort. Plans, does what is not done yet, and writes what the rows say.
 *
 *   <output_dir>/<run_name>/
 *     configs/matrix.yaml  env.json
 *     cells/<hash>/            one per node: result.json, node.json, checkpoints, metrics.jsonl, completions (run/run_folder.ts)
 *     reproduction.json        rows and verdicts; tables/, figures/ and REPRODUCTION.md are drawn from it
 *
 * (Node edge.)
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Context, checkFits, openDevice } from '@eagrl/runtime';
import { configToYaml, loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { cohortDigest } from '../data/cohort_digest.ts';
import { subjectsOf } from '../data/splits.ts';
import { type CohortName, transferCohorts } from '../data/transfer.ts';
import { readWords } from '../model_source.ts';
import { collectEnvironment } from '../run/environment.ts';
import { checkModelFolder, configuredModel, type ModelFolder } from '../run/model_folder.ts';
import { loadCohort } from '../stages/cohort.ts';
import { checkLengths } from '../stages/data.ts';
import { planOfRun } from '../stages/plan.ts';
import { writeFileAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import type { Progress } from '../util/progress.ts';
import { judge } from './claims.ts';
import { type Reproduction, reproductionMarkdown } from './document.ts';
import { type ExpertRow, expertRows, expertTable } from './experts.ts';
import { figuresOf } from './figures.ts';
import { type Cell, cellsOf, EXPERT_LABELS, GROUPS, selectCells, testedOn } from './matrix.ts';
import {
  type CellStore,
  type Cohorts,
  cohortOf,
  expertOf,
  finishedFolder,
  membersOf,
  resultOf,
  runNode,
  type Surroundings,
} from './nodes.ts';
import { type Node, neededBy, type Plan, type PlannedCell, planOf, type Roots, shardOf } from './plan.ts';
import { svgToPng } from './png.ts';
import { type CellColumns, type CellData, causalFeatures, Draws, givenColumns, policyColumns, type Row, rowsOf } from './rows.ts';
import { type Cost, costTable, csv, groupTable, latex, longCsv, markdown, phaseTable, type Table } from './tables.ts';

export interface ReproduceOptions {
  /** Cells by name; EAG-RL is always among them. Null: all. */
  readonly only: readonly string[] | null;
  /** seed, seed + 1, ... of the config. */
  readonly seeds: number;
  /** Do part `index` (from 1) of `count` and write no tables. */
  readonly shard: { readonly index: number; readonly count: number } | null;
  /** Do nothing, read finished nodes from here too (run folders of other machines), and write the tables. Null: do what is missing. */
  readonly merge: readonly string[] | null;
  readonly signal: AbortSignal;
}

/** The plan with what of it is done. */
export interface PlannedWork {
  readonly plan: Plan;
  /** Of this shard, where there is one. */
  readonly cells: readonly PlannedCell[];
  readonly nodes: readonly { readonly node: Node; readonly done: boolean }[];
}

interface Loaded {
  readonly cohorts: Cohorts;
  readonly source: ModelFolder;
  readonly longestPrompts: Surroundings['longestPrompts'];
  readonly roots: Roots;
  readonly store: CellStore;
  readonly cells: readonly Cell[];
  readonly seeds: readonly number[];
  readonly work: PlannedWork;
}

/** Plans without touching a device or writing a file. @throws ConfigError, DataError */
export async function planReproduction(config: Config, options: ReproduceOptions): Promise<PlannedWork> {
  return (await load(config, options)).work;
}

async function load(config: Config, { only, seeds: numSeeds, shard, merge }: ReproduceOptions): Promise<Loaded> {
  const cells = selectCells(cellsOf(config), only);
  const source = configuredModel(config);
  checkModelFolder(source);
  const cohorts = await loadCohorts(config);
  const words = readWords(source);
  const longestPrompts: Partial<Record<CohortName, number>> = {};
  for (const name of ['here', 'other'] as const) {
    const cohort = cohorts[name];
    if (cohort !== undefined) longestPrompts[name] = checkLengths(cohort, config, words, words.config.max_position_embeddings).longest;
  }
  const digests = Object.entries(cohorts).map(([name, cohort]) => [name, cohortDigest(cohort)]);
  const roots: Roots = { cohorts: Object.fromEntries(digests), model: modelDigest(source) };
  const seeds = Array.from({ length: numSeeds }, (_, i) => config.seed + i);
  const plan = planOf(config, cells, seeds, roots);
  const own = join(config.output_dir, config.run_name);
  const store = { folders: [own, ...(merge ?? [])].map((folder) => join(folder, 'cells')) };
  for (const folder of merge ?? []) {
    if (!existsSync(join(folder, 'cells'))) throw new ConfigError(`--merge: ${folder} has no cells/; give run folders of eagrl reproduce`);
  }
  const mine = shard === null ? plan.cells : shardOf(plan.cells, shard.index, shard.count);
  const nodes = neededBy(plan, mine).map((node) => ({ node, done: finishedFolder(store, node) !== null }));
  return { cohorts, source, longestPrompts, roots, store, cells, seeds, work: { plan, cells: mine, nodes } };
}

/** The run's cohort and, where the config names one, the other with what both make together. */
async function loadCohorts(config: Config): Promise<Cohorts> {
  const { cohort: here } = await loadCohort(config);
  if (config.transfer_config === null) return { here };
  const { data } = loadConfig({ path: config.transfer_config });
  const { cohort: other } = await loadCohort({ data, output_dir: config.output_dir });
  return transferCohorts(here, other);
}

/** Of the base policy's files and of the chat template that its prompts go through; hex. */
export function modelDigest({ path, config, tokenizerJson, tokenizerConfig, generationConfig, chatTemplate }: ModelFolder): string {
  const words = [config, tokenizerJson, tokenizerConfig, generationConfig, chatTemplate];
  const hash = createHash('sha256').update(JSON.stringify(words));
  const shards = readdirSync(path).filter((name) => name.endsWith('.safetensors'));
  for (const name of shards.sort()) hash.update(readFileSync(join(path, name)));
  return hash.digest('hex');
}

/**
 * Does the nodes that are missing, then writes rows, tables, figures and REPRODUCTION.md; a shard writes none. Returns what it wrote.
 * @throws ConfigError, DataError, DeviceError before any work; the signal's reason once the node at work is saved.
 */
export async function reproduce(config: Config, options: ReproduceOptions): Promise<Reproduction | null> {
  const loaded = await load(config, options);
  const { work, store } = loaded;
  const folder = join(config.output_dir, config.run_name);
  refuseForeignFolder(folder);
  writeFileAtomic(join(folder, 'configs', 'matrix.yaml'), configToYaml(config));
  const missing = work.nodes.filter(({ done }) => !done).map(({ node }) => node);
  if (missing.length > 0) {
    if (options.merge !== null) {
      throw new ConfigError(
        `--merge: ${missing.length} of ${work.nodes.length} nodes are not done, first ${missing[0].title} (cells/${missing[0].hash}); ` +
          'finish the shards, and give the folder of each',
      );
    }
    await doNodes(config, loaded, missing, options.signal);
  }
  if (options.shard !== null) return null;
  return writeReproduction(folder, config, loaded, store);
}

/** A folder of `eagrl run` keeps its own files; the two would be mixed up. */
function refuseForeignFolder(folder: string): void {
  if (!existsSync(folder)) return;
  const names = readdirSync(folder).filter((name) => name !== 'configs' && name !== 'data');
  if (existsSync(join(folder, 'configs', 'resolved.yaml')) || (names.length > 0 && !existsSync(join(folder, 'configs', 'matrix.yaml')))) {
    throw new ConfigError(`${folder} holds something other than a run of eagrl reproduce; choose another --run-name`);
  }
}

async function doNodes(
  config: Config,
  { cohorts, source, longestPrompts, store }: Loaded,
  nodes: readonly Node[],
  signal: AbortSignal,
): Promise<void> {
  const bars = new Map<string, Progress>();
  const backend = await openDevice({ device: config.device });
  try {
    const { config: shape } = readWords(source);
    const plans = nodes.map((node) => planOfRun(shape, node.config, longestPrompts[node.cohort] ?? 0, backend.info));
    for (const plan of plans) checkFits(plan, backend.info);
    writeFileAtomic(
      join(config.output_dir, config.run_name, 'env.json'),
      `${JSON.stringify({ ...collectEnvironment(), device: backend.info.backend, adapter: backend.info.adapter }, null, 2)}\n`,
    );
    const ctx = new Context(backend);
    for (const [i, node] of nodes.entries()) {
      signal.throwIfAborted();
      process.stderr.write(`[${i + 1}/${nodes.length}] ${node.title}\n`);
      await runNode(node, {
        ctx,
        source: { ...source, cacheBytes: plans[i].cacheBytes },
        cohorts,
        longestPrompts,
        store,
        signal,
        bars,
        warn: (message) => process.stderr.write(`warning: ${node.title}: ${message}\n`),
      });
    }
  } finally {
    for (const bar of bars.values()) bar.stop();
    await backend.destroy();
  }
}

// ---------------------------------------------------------------- rows

/** One cell at one seed, from what its nodes left. */
function columnsOf({ cell, config, expert, answers }: PlannedCell, cohorts: Cohorts, store: CellStore): CellColumns {
  const cohort = cohortOf(cohorts, expert.cohort);
  const { test } = cohort.splits;
  const causal = causalFeatures(cohort);
  if (cell.predictor === 'bayes') return givenColumns(test, cohort.truth!.bayes, null, null);
  const { probabilities, features } = expertOf(store, expert, cohorts, config.expert.attention_top_k);
  if (cell.predictor !== 'policy') return givenColumns(test, probabilities, features, causal);
  const found = resultOf(store, answers!).answers;
  if (found === undefined || found.ids.join('\n') !== test.join('\n')) {
    throw new ConfigError(`cells/${answers!.hash} does not answer for the test patients of this cohort; remove the folder`);
  }
  return policyColumns(found, cell.answer !== 'number', features, causal);
}

/** Rows of the cells tested on one cohort, over all seeds first, and the draws that these come from; null when there is no such cell. */
function rowsTestedOn(which: 'here' | 'other', config: Config, { cohorts, cells, seeds, work }: Loaded, store: CellStore) {
  const own = cells.filter((cell) => testedOn(cell) === which);
  if (own.length === 0) return null;
  const cohort = cohortOf(cohorts, which);
  const labelOf = new Map(cohort.patients.map((p) => [p.id, p.label]));
  const labels = cohort.splits.test.map((id) => labelOf.get(id) as 0 | 1);
  const data = own.map((cell): CellData => {
    const planned = work.plan.cells.filter((p) => p.cell === cell);
    return { name: cell.name, label: cell.label, group: cell.group, seeds: planned.map((p) => columnsOf(p, cohorts, store)) };
  });
  const bootstrap = { numBootstrap: config.eval.num_bootstrap, seed: config.seed, subjects: subjectsOf(cohort, cohort.splits.test) };
  const perSeed = seeds.map(
    (_, s) =>
      new Draws(
        labels,
        data.map((cell) => ({ ...cell, seeds: [cell.seeds[s]] })),
        bootstrap,
      ),
  );
  const single = seeds.flatMap((seed, s): Row[] => rowsOf(perSeed[s], data, seed));
  const pooled = seeds.length === 1 ? perSeed[0] : new Draws(labels, data, bootstrap);
  return { draws: pooled, rows: seeds.length === 1 ? single : [...rowsOf(pooled, data, null, single), ...single] };
}

/** The ensembles behind the cells of group `method`: the expert, and those in its place. */
function expertsOf({ cohorts, cells, work }: Loaded, store: CellStore): ExpertRow[] {
  const own = cells.filter((cell) => cell.predictor === 'expert' && cell.group === 'method');
  return expertRows(
    own.map((cell) => {
      const planned = work.plan.cells.filter((p) => p.cell === cell);
      return {
        label: EXPERT_LABELS[planned[0].config.expert.kind],
        cohort: cohorts.here,
        topK: planned[0].config.expert.attention_top_k,
        seeds: planned.map(({ seed, expert }) => ({ seed, members: membersOf(store, expert) })),
      };
    }),
  );
}

async function writeReproduction(folder: string, config: Config, loaded: Loaded, store: CellStore): Promise<Reproduction> {
  const { cohorts, seeds, roots, work } = loaded;
  const { here: cohort, other } = cohorts;
  const here = rowsTestedOn('here', config, loaded, store)!;
  const results = work.nodes.map(({ node }) => ({ node, result: resultOf(store, node) }));
  const reproduction: Reproduction = {
    cohort: {
      name: cohort.name,
      task: cohort.task,
      synthetic: cohort.truth !== undefined,
      patients: Object.fromEntries(Object.entries(cohort.splits).map(([split, ids]) => [split, ids.length])),
      digest: roots.cohorts.here,
    },
    ...(other === undefined
      ? {}
      : {
          other: {
            name: other.name,
            shared_features: cohortOf(cohorts, 'here_shared').features.map(({ name }) => name),
            digest: roots.cohorts.other as string,
          },
        }),
    model_digest: roots.model,
    seeds,
    num_bootstrap: config.eval.num_bootstrap,
    devices: [...new Set(results.map(({ result }) => result.device))].sort(),
    rows: [...here.rows, ...(rowsTestedOn('other', config, loaded, store)?.rows ?? [])],
    experts: expertsOf(loaded, store),
    verdicts: judge(here.draws),
  };
  const costs = results.map(({ node, result }): Cost => ({ title: node.title, ...result }));
  const write = (name: string, content: string | Uint8Array) => writeFileAtomic(join(folder, name), content);
  write('reproduction.json', `${JSON.stringify(reproduction, null, 2)}\n`);
  const tables: Record<string, Table> = {
    ...Object.fromEntries(
      GROUPS.filter((g) => reproduction.rows.some((row) => row.group === g)).map((group) => [group, groupTable(reproduction.rows, group)]),
    ),
    ...(reproduction.experts.length === 0 ? {} : { experts: expertTable(reproduction.experts) }),
    cost: costTable(costs),
    phases: phaseTable(costs),
  };
  for (const [name, table] of Object.entries(tables)) {
    write(`tables/${name}.md`, markdown(table));
    write(`tables/${name}.tex`, latex(table));
    write(`tables/${name}.csv`, csv(table));
  }
  write('tables/rows.csv', longCsv(reproduction.rows));
  for (const [name, svg] of Object.entries(figuresOf(reproduction.rows))) {
    write(`figures/${name}`, svg);
    write(`figures/${name.replace(/svg$/, 'png')}`, await svgToPng(svg));
  }
  write('REPRODUCTION.md', reproductionMarkdown(reproduction, config, phaseTable(costs)));
  return reproduction;
}
