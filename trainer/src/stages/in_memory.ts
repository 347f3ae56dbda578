/**
 * The whole method without files: expert, search and distillation (Stage 1), policy optimisation (Stage 2), evaluation, on one device. For
 * a page or a notebook; `eagrl run` does the same in a run folder, phase by phase, so that it can be killed and resumed. Same config, same
 * device: same numbers.
 */
import type { Context } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { destroyPolicy, withPolicy } from '../model_source.ts';
import { answerStops, generate, type Policy, promptTokens } from '../policy.ts';
import type { EvalName, EvalRow, Summary } from '../report/summary.ts';
import { taskOf } from '../tasks/configured.ts';
import type { Cohort } from '../types.ts';
import { bareAnswerExamples } from './baseline.ts';
import { collectTrees, distill, selectTrajectories } from './distill.ts';
import { evalRow, POLICIES, type PolicyName, pairedDifferences, saidBy } from './eval_rows.ts';
import { type Predictions, predict } from './evaluate.ts';
import { trainExperts } from './expert.ts';
import { MemoryJournal } from './journal.ts';
import { promptLengths, tokensPerPass } from './lengths.ts';
import { trainRl, withReference } from './rl.ts';
import { trainSft } from './sft.ts';
import { MAX_TOKENS, type TrainingRun } from './train_loop.ts';

export type InMemoryPhase = 'expert' | 'mcts' | 'sft' | 'sft_answer' | 'rl' | 'eval';

/** What the caller hears of. */
export interface InMemoryEvents {
  progress(phase: InMemoryPhase, done: number, total: number, note?: string): void;
  /** Keys: trainer/METRICS.md. */
  log(phase: InMemoryPhase, step: number, metrics: Readonly<Record<string, number>>): void;
  warn(message: string): void;
}

export interface InMemoryInputs {
  readonly ctx: Context;
  readonly config: Config;
  readonly cohort: Cohort;
  /** Another copy of the base policy each time, ready to be trained. */
  readonly freshPolicy: () => Policy;
  readonly events: InMemoryEvents;
  readonly signal?: AbortSignal;
}

export interface InMemoryResult extends Pick<Summary, 'eval' | 'paired'> {
  /** The first test patient's prompt, and what the base policy and the last one answer, greedily. */
  readonly example: { readonly prompt: string; readonly before: string; readonly after: string };
  /** After Stage 2; the caller destroys it. */
  readonly policy: Policy;
}

/** @throws ConfigError when the search keeps nothing to learn from; the signal's reason when it fires. */
export async function runInMemory({ ctx, config, cohort, freshPolicy, events, signal }: InMemoryInputs): Promise<InMemoryResult> {
  const journal = new MemoryJournal();
  let maxTokens = MAX_TOKENS;
  const runOf = (phase: InMemoryPhase): TrainingRun => ({
    phase,
    maxTokens,
    checkpointEvery: Number.POSITIVE_INFINITY,
    checkpoints: { restore: async () => null, save: async () => {} },
    signal,
    log: (step, metrics) => events.log(phase, step, metrics),
    warn: (message) => events.warn(message),
    progress: (done, total, note) => events.progress(phase, done, total, note),
  });
  const task = taskOf(cohort, config);
  const { features: expertFeatures, ...expert } = await trainExperts(ctx, cohort, config, journal, runOf('expert'));
  const predictions: Partial<Record<PolicyName, Predictions>> = {};
  const answer = async (name: PolicyName, policy: Policy): Promise<void> => {
    const index = POLICIES.findIndex((p) => p.name === name);
    const asked = taskOf(cohort, config, POLICIES[index].answer);
    predictions[name] = await predict(policy, asked, 'test', expertFeatures, config.eval, config.seed, (done, total) => {
      signal?.throwIfAborted();
      events.progress('eval', index * total + done, POLICIES.length * total, name);
    });
  };
  const { prompt } = task.getExample('test', 0);
  const exampleAnswer = async (policy: Policy): Promise<string> => {
    const greedy = { numGenerations: 1, temperature: 0, topK: 0, topP: 1, seed: config.seed, streams: [0] };
    const options = { ...greedy, maxTokens: config.eval.max_completion_length, ...answerStops(policy) };
    const [[rollout]] = await generate(policy, [promptTokens(policy, prompt)], options);
    return rollout.text;
  };

  const { before, trajectories } = await withPolicy(freshPolicy(), async (policy) => {
    maxTokens = tokensPerPass(config, promptLengths(task, policy).at(-1) as number);
    await answer('zero_shot', policy);
    const before = await exampleAnswer(policy);
    const trees = await collectTrees({ policy, task, expertFeatures, config, run: runOf('mcts'), journal });
    return { before, trajectories: selectTrajectories(trees, task).trajectories };
  });
  await withPolicy(freshPolicy(), async (policy) => {
    const examples = bareAnswerExamples(policy, taskOf(cohort, config, 'number'), new Set(trajectories.map((t) => t.id)));
    await trainSft(policy, examples, config.sft, config.seed, runOf('sft_answer'));
    await answer('sft_answer', policy);
  });
  const policy = freshPolicy();
  try {
    await distill({ policy, task, config, run: runOf('sft') }, trajectories);
    await answer('stage1', policy);
    await withReference(policy, config, (reference) => trainRl({ policy, reference, task, expertFeatures, config, run: runOf('rl') }));
    await answer('stage2', policy);
    const said = saidBy(cohort, { ...expert, features: expertFeatures }, predictions as Record<PolicyName, Predictions>);
    const rows = Object.fromEntries(said.map((s) => [s.name, evalRow(s, config).row])) as Partial<Record<EvalName, EvalRow>>;
    const example = { prompt, before, after: await exampleAnswer(policy) };
    return { eval: rows, paired: pairedDifferences(said, config), example, policy };
  } catch (error) {
    destroyPolicy(policy);
    throw error;
  }
}
