/**
 * Doing one node of the plan in cells/<hash>/, with the phases that `eagrl run` has: its checkpoints, journal and metrics log lie in that
 * folder, so a killed node goes on where a killed run would. result.json is written last and makes the node done. (Node edge.)
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from '@eagrl/runtime';
import { configValue } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import type { CohortName } from '../data/transfer.ts';
import type { Trajectory } from '../mcts/filter.ts';
import { withPolicy } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { FolderCheckpoints } from '../run/checkpoints.ts';
import { completionsFile, completionsParquet } from '../run/completions.ts';
import { FolderJournal } from '../run/folder_journal.ts';
import { MetricsLogger } from '../run/metrics_logger.ts';
import type { ModelFolder } from '../run/model_folder.ts';
import { folderAt, openWorkFolder, type RunFolder, readJson } from '../run/run_folder.ts';
import { bareAnswerExamples } from '../stages/baseline.ts';
import { collectTrees, distill, selectTrajectories } from '../stages/distill.ts';
import { type Answers, answerSplit } from '../stages/evaluate.ts';
import { type ExpertResult, type Member, readExperts, trainExperts } from '../stages/expert.ts';
import { tokensPerPass } from '../stages/lengths.ts';
import { basePolicy, freshPolicy, trainedPolicy } from '../stages/policies.ts';
import { trainRl, withReference } from '../stages/rl.ts';
import { trainSft } from '../stages/sft.ts';
import { resumePoint, TRACKS, type Track, trainingRun } from '../stages/sitting.ts';
import { selfAnswers } from '../stages/star.ts';
import type { TrainingRun } from '../stages/train_loop.ts';
import { taskOf } from '../tasks/configured.ts';
import type { Cohort } from '../types.ts';
import { ConfigError } from '../util/errors.ts';
import type { Progress } from '../util/progress.ts';
import type { Kind, Node } from './plan.ts';

/** Where finished nodes are looked for: the run's own cells/ first, then those of other machines. */
export interface CellStore {
  readonly folders: readonly string[];
}

/** result.json. Everything but `seconds` follows from the hash. */
export interface NodeResult {
  readonly kind: Kind;
  readonly hash: string;
  /** Wall time over all sittings. */
  readonly seconds: number;
  /** The model was trained on, or wrote (answers); 0 where neither is counted. */
  readonly tokens: number;
  /** Of all kernels over all sittings, as their specs count. */
  readonly flops: number;
  readonly device: string;
  /** Of trees and samples. */
  readonly trajectories?: readonly StoredTrajectory[];
  /** Of answers. */
  readonly answers?: Answers;
}

/** Of searched ones, all that the filter knows is kept beside. */
type StoredTrajectory = Pick<Trajectory, 'id'> & { readonly completion: readonly number[] };

/** Those that the plan's nodes are about. */
export type Cohorts = { readonly here: Cohort } & Readonly<Partial<Record<CohortName, Cohort>>>;

/** @throws Error for one that was not loaded. */
export function cohortOf(cohorts: Cohorts, name: CohortName): Cohort {
  const cohort = cohorts[name];
  if (cohort === undefined) throw new Error(`reproduce: the cohort "${name}" is needed and not loaded`);
  return cohort;
}

/** What all nodes of a sitting share. */
export interface Surroundings {
  readonly ctx: Context;
  readonly source: ModelFolder;
  readonly cohorts: Cohorts;
  /** Tokens of the longest prompt of each cohort that a policy is asked about. */
  readonly longestPrompts: Readonly<Partial<Record<CohortName, number>>>;
  readonly store: CellStore;
  readonly signal: AbortSignal;
  readonly bars: Map<string, Progress>;
  warn(message: string): void;
}

/** The folder that holds the finished node; null when there is none. */
export function finishedFolder({ folders }: CellStore, { hash }: Pick<Node, 'hash'>): string | null {
  return folders.map((folder) => join(folder, hash)).find((path) => existsSync(join(path, 'result.json'))) ?? null;
}

function finished(store: CellStore, node: Node): string {
  const path = finishedFolder(store, node);
  if (path === null) throw new Error(`reproduce: ${node.title} (${node.hash.slice(0, 12)}) is needed and not done`);
  return path;
}

/** What a finished node left. @throws ConfigError when it is damaged. */
export function resultOf(store: CellStore, node: Node): NodeResult {
  const path = join(finished(store, node), 'result.json');
  const result = readJson<NodeResult>(path);
  if (result.hash !== node.hash) throw new ConfigError(`${path} belongs to node ${result.hash.slice(0, 12)}; remove its folder`);
  return result;
}

const folderOf = (store: CellStore, node: Node): RunFolder => folderAt(finished(store, node), node.config, node.hash, true);

/** The ensemble of a finished node. Attention is kept whole, so no K needs another training. */
export function membersOf(store: CellStore, node: Node): Member[] {
  const journal = new FolderJournal(folderOf(store, node));
  return Array.from({ length: node.config.expert.ensemble }, (_, m) => {
    const member = journal.peek<Member>(`expert-${m + 1}`);
    if (member === null) throw new ConfigError(`${finished(store, node)} lacks state/expert-${m + 1}.json; remove the folder`);
    return member;
  });
}

/** What the ensemble of a finished node says, with C_exp of size `topK`. */
export function expertOf(store: CellStore, node: Node, cohorts: Cohorts, topK: number): ExpertResult {
  return readExperts(membersOf(store, node), cohortOf(cohorts, node.cohort), topK);
}

/** Does the node, or goes on with it. @throws the signal's reason once its state is saved. */
export async function runNode(node: Node, around: Surroundings): Promise<NodeResult> {
  const { ctx, source, signal, bars, warn, store, longestPrompts } = around;
  const run = openWorkFolder(join(store.folders[0], node.hash), node.config, node.hash);
  try {
    const started = performance.now();
    run.writeJson('node.json', {
      title: node.title,
      kind: node.kind,
      hash: node.hash,
      answer: node.answer,
      parents: Object.fromEntries([node.expert, node.trees, node.policy].flatMap((p) => (p === null ? [] : [[p.kind, p.hash]]))),
      reads: Object.fromEntries(node.reads.map((key) => [key, configValue(node.config, key)])),
    });
    run.log(`${run.resumed ? 'resume' : 'start'}: ${node.title}`);
    const checkpoints = new FolderCheckpoints(run, source, source.path);
    const journal = new FolderJournal(run);
    const maxTokens = tokensPerPass(node.config, longestPrompts[node.cohort] ?? 0);
    const logger = new MetricsLogger({ folder: run.path, phases: TRACKS, resumeAt: resumePoint(checkpoints, journal), onWarning: warn });
    const before = journal.peek<number>('seconds') ?? 0;
    const seconds = () => before + (performance.now() - started) / 1000;
    const [flopsBefore, flopsThen] = [journal.peek<number>('flops') ?? 0, ctx.backend.stats.flops];
    const flops = () => flopsBefore + ctx.backend.stats.flops - flopsThen;
    let part: Pick<NodeResult, 'tokens' | 'trajectories' | 'answers'>;
    try {
      part = await WORK[node.kind](node, {
        ...around,
        cohort: cohortOf(around.cohorts, node.cohort),
        run,
        journal,
        checkpoints,
        training: (track) => trainingRun(track, node.config, maxTokens, checkpoints, logger, signal, bars, warn),
      });
    } finally {
      journal.keep('seconds', seconds());
      journal.keep('flops', flops());
    }
    const { info } = ctx.backend;
    const result: NodeResult = {
      kind: node.kind,
      hash: node.hash,
      seconds: seconds(),
      flops: flops(),
      device: `${info.backend}, ${info.adapter}`,
      ...part,
    };
    run.write('result.json', `${JSON.stringify(result)}\n`);
    run.log(`done: ${node.title} (${result.seconds.toFixed(1)} s)`);
    return result;
  } finally {
    run.close();
  }
}

interface Workplace extends Surroundings {
  /** The node's. */
  readonly cohort: Cohort;
  readonly run: RunFolder;
  readonly journal: FolderJournal;
  readonly checkpoints: FolderCheckpoints;
  training(track: Track): TrainingRun;
}

type Work = (node: Node, place: Workplace) => Promise<Pick<NodeResult, 'tokens' | 'trajectories' | 'answers'>>;

const WORK: Readonly<Record<Kind, Work>> = {
  expert: async ({ config }, { ctx, cohort, journal, training }) => {
    await trainExperts(ctx, cohort, config, journal, training('expert'));
    return { tokens: 0 };
  },

  trees: async ({ config, expert }, { ctx, source, cohort, cohorts, journal, training, store }) => {
    const task = taskOf(cohort, config);
    const expertFeatures = expertOf(store, expert!, cohorts, config.expert.attention_top_k).features;
    const trees = await withPolicy(basePolicy({ ctx, source, config }), (policy) =>
      collectTrees({ policy, task, expertFeatures, config, run: training('mcts'), journal }),
    );
    const { trajectories } = selectTrajectories(trees, task);
    return {
      tokens: trees.reduce((sum, tree) => sum + tree.nodes.reduce((n, { tokens }) => n + tokens.length, 0), 0),
      trajectories: trajectories.map((t) => ({ ...t, completion: Array.from(t.completion) })),
    };
  },

  samples: async ({ config, policy }, place) => {
    const { cohort, training, journal } = place;
    const { kept, tokens } = await withPolicy(policyOf(policy, config, place), (own) =>
      selfAnswers(own, taskOf(cohort, config), config, training('mcts'), journal),
    );
    return { tokens, trajectories: kept };
  },

  stage1: async ({ config, trees }, { ctx, source, cohort, training, checkpoints, store }) => {
    const trajectories = trajectoriesOf(store, trees!);
    await withPolicy(freshPolicy({ ctx, source, config }), (policy) =>
      distill({ policy, task: taskOf(cohort, config), config, run: training('sft') }, trajectories),
    );
    return { tokens: trainedTokens(checkpoints, 'sft') };
  },

  sft_answer: async ({ config, trees }, { ctx, source, cohort, training, checkpoints, store }) => {
    const ids = new Set(trajectoriesOf(store, trees!).map((t) => t.id));
    await withPolicy(freshPolicy({ ctx, source, config }), (policy) =>
      trainSft(policy, bareAnswerExamples(policy, taskOf(cohort, config, 'number'), ids), config.sft, config.seed, training('sft_answer')),
    );
    return { tokens: trainedTokens(checkpoints, 'sft_answer') };
  },

  rl: async (node, place) => {
    const { config, expert } = node;
    const { cohort, cohorts, run, training, checkpoints, store } = place;
    const start = node.policy === null ? freshPolicy({ ...place, config }) : policyOf(node.policy, config, place);
    await withPolicy(start, (policy) =>
      withReference(policy, config, (reference) =>
        trainRl({
          policy,
          reference,
          task: taskOf(cohort, config),
          expertFeatures: expertOf(store, expert!, cohorts, config.expert.attention_top_k).features,
          config,
          run: training('rl'),
          onRollouts: (step, rollouts) => run.write(completionsFile(step), completionsParquet(step, rollouts)),
        }),
      ),
    );
    return { tokens: trainedTokens(checkpoints, 'rl') };
  },

  answers: async (node, place) => {
    const { config } = node;
    const { signal, progress } = place.training('eval');
    const answers = await withPolicy(policyOf(node.policy, config, place), (policy) =>
      answerSplit(policy, taskOf(place.cohort, config, node.answer ?? 'steps'), 'test', config.eval, config.seed, (done, total) => {
        signal?.throwIfAborted();
        progress(done, total, node.title);
      }),
    );
    return { tokens: Math.round(answers.tokens.reduce((a, b) => a + b, 0) * config.eval.num_samples), answers };
  },
};

/** Track under which each kind of training keeps its checkpoints. */
const TRACK_OF: Partial<Readonly<Record<Kind, Track>>> = { stage1: 'sft', sft_answer: 'sft_answer', rl: 'rl' };

/** The policy that a node trained, with its exact f32 weights and its adapter, if it has one; for null the base policy, kept as `config` says. */
function policyOf(node: Node | null, config: Config, { ctx, source, store }: Surroundings): Policy {
  if (node === null) return basePolicy({ ctx, source, config });
  const track = TRACK_OF[node.kind];
  if (track === undefined) throw new Error(`reproduce: ${node.title} trains no policy`);
  return trainedPolicy({ ctx, source, config: node.config, checkpoints: new FolderCheckpoints(folderOf(store, node), source) }, track);
}

function trajectoriesOf(store: CellStore, trees: Node): Pick<Trajectory, 'id' | 'completion'>[] {
  return (resultOf(store, trees).trajectories ?? []).map((t) => ({ ...t, completion: Uint32Array.from(t.completion) }));
}

const trainedTokens = (checkpoints: FolderCheckpoints, track: Track): number => checkpoints.newest(track)?.state.numTokens ?? 0;
