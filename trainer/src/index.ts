/**
 * What a researcher calls. Importing it does nothing but load modules: no device is opened, no file read or written, no flag set.
 * The first part is pure; what reads or writes files (Node only) is exported last.
 */

// Files: Node only
export type { Phase, RunOptions } from './commands/stages.ts';
export { configFromYaml, configHash, configToYaml, type LoadConfigOptions, loadConfig, presetNames } from './config/load.ts';
// Config
export { CONFIG_KEYS, type ConfigLayer, resolveConfig } from './config/resolve.ts';
export { type Config, configSchema } from './config/schema.ts';

// Cohorts and tasks
export { DataError } from './data/errors.ts';
export { checkSplits, SPLIT_NAMES } from './data/splits.ts';
export { generateSyntheticCohort, type SyntheticOptions } from './data/synthetic.ts';
export { type FlowRow, type Sheet, type SplitIds, tjhCohort } from './data/tjh.ts';
export { type FilterCounts, filterTrajectories, type Trajectory } from './mcts/filter.ts';
export { type ScoreTerminals, type SearchCase, type SearchConfig, type SearchNode, type SearchTree, search } from './mcts/search.ts';
export { bootstrapMetrics, type Interval, pairedBootstrap } from './metrics/bootstrap.ts';
export { auroc, averagePrecision, classificationMetrics, METRIC_NAMES, type MetricName, type Metrics } from './metrics/classification.ts';
export { destroyPolicy, emptyPolicy, type ModelSource, policyOf } from './model_source.ts';
// Policy, search and stages
export { answerStops, generate, type Policy, promptTokens, type Rollout, type SamplingOptions, type Stops, tagStops } from './policy.ts';
export type { Summary } from './report/summary.ts';
// Rewards and metrics
export { groupAdvantages } from './rewards/advantages.ts';
export {
  attentionReward,
  classificationReward,
  PROBABILITY_FLOOR,
  type RewardConfig,
  type Rewards,
  scoreAnswers,
  totalReward,
} from './rewards/rewards.ts';
export { FolderCheckpoints } from './run/checkpoints.ts';
export { FolderJournal } from './run/folder_journal.ts';
export { loadPolicy, type ModelFolder, readModelFolder, writeModelFolder } from './run/model_folder.ts';
export { type OpenRunOptions, openRunFolder, type RunFolder } from './run/run_folder.ts';
export { bareAnswerExamples } from './stages/baseline.ts';
export { type LoadedCohort, loadCohort } from './stages/cohort.ts';
export { collectTrees, type DistillInputs, distill, selectTrajectories } from './stages/distill.ts';
export { type ExpertFeatures, type Predictions, predict, score } from './stages/evaluate.ts';
export { type ExpertResult, trainExperts } from './stages/expert.ts';
export { type InMemoryEvents, type InMemoryInputs, type InMemoryPhase, type InMemoryResult, runInMemory } from './stages/in_memory.ts';
export { type Journal, MemoryJournal } from './stages/journal.ts';
export { runPipeline } from './stages/pipeline.ts';
export { baseModelConfig, corpusTokenizer, pretrain } from './stages/pretrain.ts';
export { type RlInputs, trainRl } from './stages/rl.ts';
export { type ScoreInput, type ScoreRow, scoreAnswersOnDevice } from './stages/score.ts';
export { trainSft } from './stages/sft.ts';
export { type CheckpointStore, type LoopState, type TrainingRun, trainLoop } from './stages/train_loop.ts';
export { taskOf } from './tasks/configured.ts';
export { mortalityTask } from './tasks/mortality.ts';
export { readmissionTask } from './tasks/readmission.ts';
export type { Example, Task } from './tasks/task.ts';
// Text
export { formatFinal, formatStep, formatTrajectory, matchFeatures, parseAnswer, parseSteps, type Step } from './text/answer.ts';
export { type Chat, ChatTemplateError, chatPrompt, templateChat } from './text/chat.ts';
export { type AnswerStyle, buildPrompt, type PromptOptions } from './text/prompt.ts';
export { Tokenizer } from './text/tokenizer.ts';
export { type RlBatch, type RlStepOptions, type RlStepResult, rlStep } from './train/rl_step.ts';
export { type SftStepOptions, type SftStepResult, sftStep } from './train/sft_step.ts';
export type { Answer, Cohort, Feature, Patient, Sex, SplitName } from './types.ts';
export { ConfigError, StorageError } from './util/errors.ts';
