/**
 * One run, phase by phase: expert -> search and distillation (Stage 1) -> policy optimisation (Stage 2) -> evaluation and report.
 * Every phase starts from files of the run folder and leaves its result there, so any of them can be run alone, killed and resumed.
 * (Node edge.)
 */
import { existsSync } from 'node:fs';
import { Context, checkFits, openDevice, verdict } from '@eagrl/runtime';
import type { Phase, RunOptions } from '../commands/stages.ts';
import type { Config } from '../config/schema.ts';
import { cohortDigest } from '../data/cohort_digest.ts';
import type { SearchTree } from '../mcts/search.ts';
import { destroyPolicy, emptyPolicy, readWords, withPolicy } from '../model_source.ts';
import type { Summary } from '../report/summary.ts';
import { FolderCheckpoints } from '../run/checkpoints.ts';
import { completionsFile, completionsParquet } from '../run/completions.ts';
import { FolderJournal } from '../run/folder_journal.ts';
import { MetricsLogger } from '../run/metrics_logger.ts';
import { checkModelFolder, configuredModel, type ModelFolder, writeModelFolder } from '../run/model_folder.ts';
import { openRunFolder, type RunFolder, readJson } from '../run/run_folder.ts';
import { taskOf } from '../tasks/configured.ts';
import { CHATML_TEMPLATE } from '../text/chat.ts';
import { Tokenizer } from '../text/tokenizer.ts';
import type { Cohort } from '../types.ts';
import { writeDirectoryAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import type { Progress } from '../util/progress.ts';
import { bareAnswerExamples } from './baseline.ts';
import { type LoadedCohort, loadCohort } from './cohort.ts';
import { checkLengths } from './data.ts';
import { collectTrees, distill, selectTrajectories } from './distill.ts';
import { POLICIES } from './eval_rows.ts';
import { type ExpertResult, trainExperts } from './expert.ts';
import { tokensPerPass } from './lengths.ts';
import { planOfRun } from './plan.ts';
import { basePolicy, freshPolicy, trainedPolicy } from './policies.ts';
import { baseModelConfig, corpusTokenizer, pretrain } from './pretrain.ts';
import { writeResults } from './results.ts';
import { trainRl, withReference } from './rl.ts';
import { trainSft } from './sft.ts';
import { resumePoint, TRACKS, type Track, trainingRun } from './sitting.ts';
import { MAX_TOKENS, type TrainingRun } from './train_loop.ts';

/** What the phases of one run share. */
export interface RunState {
  readonly config: Config;
  readonly run: RunFolder;
  readonly ctx: Context;
  readonly source: ModelFolder;
  readonly checkpoints: FolderCheckpoints;
  readonly journal: FolderJournal;
  readonly data: LoadedCohort;
  /** Wall seconds of each phase, over all sittings; `started`: when the phase at work began. */
  readonly seconds: Record<string, number>;
  started: number;
  /** Results of earlier phases, once asked for. */
  expert?: ExpertResult;
  trees?: SearchTree[];
  /** What a phase of training needs from its surroundings. */
  training(track: Track): TrainingRun;
}

/** Runs the given phases (null: all but pretrain). Returns the summary when the last of them was the evaluation. */
export async function runPipeline(config: Config, options: RunOptions): Promise<Summary | null> {
  const phases: readonly Phase[] = options.phases ?? ['expert', 'mcts', 'sft', 'rl', 'eval'];
  // Everything that can be refused is refused here: model, data and lengths first, then the device and its memory, and a run
  // folder only after them.
  const onlyPretrain = phases.every((p) => p === 'pretrain');
  const source = onlyPretrain ? freshModelFolder(config) : configuredModel(config);
  if (!onlyPretrain) checkModelFolder(source);
  const data = await loadCohort(config);
  const words = readWords(source);
  const lengths = onlyPretrain ? null : checkLengths(data.cohort, config, words, words.config.max_position_embeddings);
  const bars = new Map<string, Progress>();
  const backend = await openDevice({ device: config.device });
  try {
    const plan = lengths && planOfRun(words.config, config, lengths.longest, backend.info);
    if (plan) checkFits(plan, backend.info);
    const run = openRunFolder(config, options);
    try {
      const { info } = backend;
      const device = `${info.adapter} (${info.backend}, ${info.threads} threads)`;
      process.stderr.write(`${config.run_name}: ${device}, run folder ${run.path}\n`);
      run.log(`${run.resumed ? 'resume' : 'start'}: ${device}, config ${run.configHash.slice(0, 12)}, phases ${phases.join(' ')}`);
      if (plan) run.log(`memory: ${verdict(plan, info).text}`);
      const warn = (message: string) => {
        process.stderr.write(`warning: ${message}\n`);
        run.log(`warning: ${message}`);
      };
      const journal = new FolderJournal(run);
      keepCohort(run, journal, data.cohort);
      for (const caveat of data.caveats) warn(caveat);
      const maxTokens = lengths ? tokensPerPass(config, lengths.longest) : MAX_TOKENS;
      const checkpoints = new FolderCheckpoints(run, source, source.path);
      requireStarts(phases, checkpoints, journal);
      const logger = new MetricsLogger({
        folder: run.path,
        phases: TRACKS,
        resumeAt: resumePoint(checkpoints, journal),
        onWarning: warn,
      });
      const state: RunState = {
        config,
        run,
        ctx: new Context(backend),
        source: plan ? { ...source, cacheBytes: plan.cacheBytes } : source,
        checkpoints,
        journal,
        data,
        seconds: journal.peek<Record<string, number>>('seconds') ?? {},
        started: performance.now(),
        training: (track) =>
          trainingRun(track, config, track === 'pretrain' ? MAX_TOKENS : maxTokens, checkpoints, logger, options.signal, bars, warn),
      };
      let summary: Summary | null = null;
      for (const phase of phases) summary = await timed(state, phase, () => PHASE[phase](state));
      return summary;
    } finally {
      for (const bar of bars.values()) bar.stop();
      run.close();
    }
  } finally {
    await backend.destroy();
  }
}

const PHASE: Readonly<Record<Phase, (state: RunState) => Promise<Summary | null>>> = {
  pretrain: runPretrain,
  expert: async (state) => {
    await expertOf(state);
    return null;
  },
  mcts: async (state) => {
    await trajectoriesOf(state);
    return null;
  },
  sft: runSft,
  rl: runRl,
  eval: async (state) => writeResults(state, await expertOf(state), await treesOf(state)),
};

/**
 * Keeps what the run learns from, and refuses a folder that holds work on another cohort: experts are kept by position, trees by patient, and
 * who was to be trained on may now be tested. Folders of an earlier eagrl have their splits to tell by, no digest. @throws ConfigError
 */
function keepCohort(run: RunFolder, journal: FolderJournal, cohort: Cohort): void {
  const digest = cohortDigest(cohort);
  const kept = journal.peek<string>('cohort');
  const splits = run.file('splits.json');
  const same = kept === null ? !existsSync(splits) || JSON.stringify(readJson(splits)) === JSON.stringify(cohort.splits) : kept === digest;
  if (!same) {
    throw new ConfigError(
      `cannot resume ${run.path}: its cohort is not the one it was started on (the files of data.path or data.split have changed, or this ` +
        'eagrl reads them otherwise); put them back as they were, or start over in another --run-name',
    );
  }
  run.writeJson('splits.json', cohort.splits);
  journal.keep('cohort', digest);
}

/** The tracks that a phase trains. */
const TRAINS: Partial<Readonly<Record<Phase, readonly Track[]>>> = { sft: ['sft', 'sft_answer'], rl: ['rl'] };

/** Refuses phases that start from a track which is not finished, and which no phase before them trains. @throws ConfigError */
function requireStarts(phases: readonly Phase[], checkpoints: FolderCheckpoints, journal: FolderJournal): void {
  phases.forEach((phase, i) => {
    const trained = phases.slice(0, i).flatMap((before) => TRAINS[before] ?? []);
    const require = (track: Track) => {
      if (!trained.includes(track)) checkpoints.requireFinished(track);
    };
    if (phase === 'rl') require('sft');
    if (phase !== 'eval') return;
    for (const { name, track } of POLICIES) {
      // Answers that are kept need no weights any more, unless their training went on.
      const answered = journal.peek(`eval-${name}`) !== null;
      if (track !== null && !(answered && checkpoints.newest(track) === null)) require(track);
    }
  });
}

// ---------------------------------------------------------------- phases

async function runPretrain(state: RunState): Promise<null> {
  const policy = emptyPolicy(state.ctx, state.source);
  policy.model.init(state.config.seed, 'mimetic');
  await pretrain(policy, state.config, state.training('pretrain'));
  await writeDirectoryAtomic(state.run.file('base-policy'), (path) => writeModelFolder(path, policy, state.source));
  destroyPolicy(policy);
  return null;
}

/** Trains the ensemble, or reads it back. */
async function expertOf(state: RunState): Promise<ExpertResult> {
  const { ctx, data, config, journal } = state;
  state.expert ??= await trainExperts(ctx, data.cohort, config, journal, state.training('expert'));
  return state.expert;
}

/** Searches, or reads the finished trees back. */
async function treesOf(state: RunState): Promise<SearchTree[]> {
  state.trees ??= await searchTrees(state);
  return state.trees;
}

async function searchTrees(state: RunState): Promise<SearchTree[]> {
  const { config, journal, data, run } = state;
  const expert = await expertOf(state);
  const policy = basePolicy(state);
  try {
    return await collectTrees({
      policy,
      task: taskOf(data.cohort, config),
      expertFeatures: expert.features,
      config,
      run: state.training('mcts'),
      journal,
      onTree: (tree) =>
        run.writeJson(
          `mcts/${tree.id}.json`,
          tree.nodes.map(({ tokens, ...node }) => ({ ...node, num_tokens: tokens.length })),
        ),
    });
  } finally {
    destroyPolicy(policy);
  }
}

async function trajectoriesOf(state: RunState) {
  const selected = selectTrajectories(await treesOf(state), taskOf(state.data.cohort, state.config));
  const lines = selected.trajectories.map((t) => `${JSON.stringify({ ...t, completion: Array.from(t.completion) })}\n`);
  state.run.write('trajectories.jsonl', lines.join(''));
  state.run.writeJson('trajectory_filter.json', selected.counts);
  return selected.trajectories;
}

async function runSft(state: RunState): Promise<null> {
  const { config, data } = state;
  const task = taskOf(data.cohort, config);
  const trajectories = await trajectoriesOf(state);
  await withPolicy(freshPolicy(state), (policy) => distill({ policy, task, config, run: state.training('sft') }, trajectories));
  await withPolicy(freshPolicy(state), (policy) =>
    trainSft(
      policy,
      bareAnswerExamples(policy, taskOf(data.cohort, config, 'number'), new Set(trajectories.map((t) => t.id))),
      config.sft,
      config.seed,
      state.training('sft_answer'),
    ),
  );
  return null;
}

async function runRl(state: RunState): Promise<null> {
  const { config, data } = state;
  const expert = await expertOf(state);
  await withPolicy(trainedPolicy(state, 'sft'), (policy) =>
    withReference(policy, config, (reference) =>
      trainRl({
        policy,
        reference,
        task: taskOf(data.cohort, config),
        expertFeatures: expert.features,
        config,
        run: state.training('rl'),
        onRollouts: (step, rollouts) => state.run.write(completionsFile(step), completionsParquet(step, rollouts)),
      }),
    ),
  );
  return null;
}

// ---------------------------------------------------------------- surroundings

/** The folder that pretraining starts from: a tokenizer learnt from the corpus and the configured shape, no weights yet. */
function freshModelFolder(config: Config): ModelFolder {
  const tokenizerJson = corpusTokenizer(config.seed, config.pretrain.vocab_size);
  const shape = baseModelConfig(config.pretrain, Tokenizer.fromJson(tokenizerJson));
  const rest = { tokenizerConfig: null, generationConfig: null, chatTemplate: CHATML_TEMPLATE };
  return { path: '', tokenizerJson, config: shape, ...rest, gradientCheckpointing: config.model.gradient_checkpointing };
}

/** Adds the wall time of a phase to what earlier sittings of the same run took. */
async function timed<T>(state: RunState, phase: string, work: () => Promise<T>): Promise<T> {
  state.started = performance.now();
  const before = state.seconds[phase] ?? 0;
  let outcome = 'done';
  try {
    return await work();
  } catch (error) {
    outcome = `stopped: ${(error as Error).message}`;
    throw error;
  } finally {
    const seconds = (performance.now() - state.started) / 1000;
    state.seconds[phase] = before + seconds;
    state.journal.keep('seconds', state.seconds);
    state.run.log(`${phase} ${outcome} (${seconds.toFixed(1)} s)`);
  }
}
