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
import { Context, openDevice } from '@eagrl/runtime';
import { configToYaml } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { collectEnvironment } from '../run/environment.ts';
import { checkModelFolder, configuredModel, type ModelFolder, readWords } from '../run/model_folder.ts';
import { loadCohort } from '../stages/cohort.ts';
import { checkLengths } from '../stages/data.ts';
import type { Cohort } from '../types.ts';
import { writeFileAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import type { Progress } from '../util/progress.ts';
import { judge } from './claims.ts';
import { type Reproduction, reproductionMarkdown } from './document.ts';
import { figuresOf } from './figures.ts';
import { type Cell, cellsOf, GROUPS, selectCells } from './matrix.ts';
import { type CellStore, expertOf, finishedFolder, resultOf, runNode } from './nodes.ts';
import { type Node, neededBy, type Plan, type PlannedCell, planOf, shardOf } from './plan.ts';
import { svgToPng } from './png.ts';
import { type CellColumns, type CellData, causalFeatures, Draws, givenColumns, policyColumns, type Row, rowsOf } from './rows.ts';
import { type Cost, costTable, csv, groupTable, latex, longCsv, markdown } from './tables.ts';

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
  readonly cohort: Cohort;
  readonly source: ModelFolder;
  readonly roots: { readonly cohort: string; readonly model: string };
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
  if (config.model.use_peft) throw new ConfigError('model.use_peft: eagrl reproduce trains all weights; leave it false');
  const source = configuredModel(config);
  checkModelFolder(source);
  const { cohort } = await loadCohort(config);
  const words = readWords(source);
  checkLengths(cohort, config, words, words.config.max_position_embeddings);
  const roots = { cohort: cohortDigest(cohort), model: modelDigest(source) };
  const seeds = Array.from({ length: numSeeds }, (_, i) => config.seed + i);
  const plan = planOf(config, cells, seeds, roots);
  const own = join(config.output_dir, config.run_name);
  const store = { folders: [own, ...(merge ?? [])].map((folder) => join(folder, 'cells')) };
  for (const folder of merge ?? []) {
    if (!existsSync(join(folder, 'cells'))) throw new ConfigError(`--merge: ${folder} has no cells/; give run folders of eagrl reproduce`);
  }
  const mine = shard === null ? plan.cells : shardOf(plan.cells, shard.index, shard.count);
  const nodes = neededBy(plan, mine).map((node) => ({ node, done: finishedFolder(store, node) !== null }));
  return { cohort, source, roots, store, cells, seeds, work: { plan, cells: mine, nodes } };
}

/** Of everything that a stage can see of the cohort; hex. */
export function cohortDigest({ patients, ...rest }: Cohort): string {
  const hash = createHash('sha256').update(JSON.stringify(rest));
  for (const patient of patients) hash.update(JSON.stringify(patient));
  return hash.digest('hex');
}

/** Of the base policy's files; hex. */
function modelDigest({ path, config, tokenizerJson }: ModelFolder): string {
  const hash = createHash('sha256').update(JSON.stringify([config, tokenizerJson]));
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

async function doNodes(config: Config, { cohort, source, store }: Loaded, nodes: readonly Node[], signal: AbortSignal): Promise<void> {
  const bars = new Map<string, Progress>();
  const backend = await openDevice({ device: config.device });
  try {
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
        source,
        cohort,
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
function columnsOf({ cell, config, expert, answers }: PlannedCell, cohort: Cohort, store: CellStore): CellColumns {
  const { test } = cohort.splits;
  const causal = causalFeatures(cohort);
  if (cell.predictor === 'bayes') return givenColumns(test, cohort.truth!.bayes, null, null);
  const { probabilities, features } = expertOf(store, expert, cohort, config.expert.attention_top_k);
  if (cell.predictor !== 'policy') return givenColumns(test, probabilities, features, causal);
  const found = resultOf(store, answers!).answers;
  if (found === undefined || found.ids.join('\n') !== test.join('\n')) {
    throw new ConfigError(`cells/${answers!.hash} does not answer for the test patients of this cohort; remove the folder`);
  }
  return policyColumns(found, cell.answer !== 'number', features, causal);
}

async function writeReproduction(folder: string, config: Config, loaded: Loaded, store: CellStore): Promise<Reproduction> {
  const { cohort, cells, seeds, roots, work } = loaded;
  const labelOf = new Map(cohort.patients.map((p) => [p.id, p.label]));
  const labels = cohort.splits.test.map((id) => labelOf.get(id) as 0 | 1);
  const data = cells.map((cell): CellData => {
    const own = work.plan.cells.filter((planned) => planned.cell === cell);
    return { name: cell.name, label: cell.label, group: cell.group, seeds: own.map((planned) => columnsOf(planned, cohort, store)) };
  });
  const bootstrap = { numBootstrap: config.eval.num_bootstrap, seed: config.seed };
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
  const results = work.nodes.map(({ node }) => ({ node, result: resultOf(store, node) }));
  const reproduction: Reproduction = {
    cohort: {
      name: cohort.name,
      task: cohort.task,
      synthetic: cohort.truth !== undefined,
      patients: Object.fromEntries(Object.entries(cohort.splits).map(([split, ids]) => [split, ids.length])),
      digest: roots.cohort,
    },
    model_digest: roots.model,
    seeds,
    num_bootstrap: config.eval.num_bootstrap,
    devices: [...new Set(results.map(({ result }) => result.device))].sort(),
    rows: seeds.length === 1 ? single : [...rowsOf(pooled, data, null, single), ...single],
    verdicts: judge(pooled),
  };
  const costs = results.map(({ node, result }): Cost => ({ title: node.title, ...result }));
  const write = (name: string, content: string | Uint8Array) => writeFileAtomic(join(folder, name), content);
  write('reproduction.json', `${JSON.stringify(reproduction, null, 2)}\n`);
  for (const group of GROUPS.filter((g) => reproduction.rows.some((row) => row.group === g))) {
    const table = groupTable(reproduction.rows, group);
    write(`tables/${group}.md`, markdown(table));
    write(`tables/${group}.tex`, latex(table));
    write(`tables/${group}.csv`, csv(table));
  }
  write('tables/rows.csv', longCsv(reproduction.rows));
  write('tables/cost.md', markdown(costTable(costs)));
  write('tables/cost.csv', csv(costTable(costs)));
  write('tables/cost.tex', latex(costTable(costs)));
  for (const [name, svg] of Object.entries(figuresOf(reproduction.rows))) {
    write(`figures/${name}`, svg);
    write(`figures/${name.replace(/svg$/, 'png')}`, await svgToPng(svg));
  }
  write('REPRODUCTION.md', reproductionMarkdown(reproduction, config));
  return reproduction;
}
