/**
 * Stage 1: expert-guided trajectory distillation.
 *
 * Paper: EAG-RL (arXiv 2508.13579), Stage 1. The policy proposes sub-questions and answers, Monte Carlo tree search keeps what leads to
 * right answers that rest on the expert's features, and the policy is fine-tuned on the best paths given the raw clinical prompt.
 * Kept: search statistics, reward, filter. Ours where the paper is silent: learning rates, epochs (trainer/PAPER.md).
 * Command: eagrl mcts --config configs/demo.yaml, then eagrl sft --config configs/demo.yaml
 */
import type { Backend, PromptGroup } from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';
import { Rng } from '../data/rng.ts';
import { type FilterCounts, filterTrajectories, type Trajectory } from '../mcts/filter.ts';
import { rehearseForest, type ScoreTerminals, type SearchTree, search } from '../mcts/search.ts';
import { type Policy, promptTokens } from '../policy.ts';
import type { Example, Task } from '../tasks/task.ts';
import { parseAnswer } from '../text/answer.ts';
import { ConfigError } from '../util/errors.ts';
import { yieldToEvents } from '../util/event_loop.ts';
import { ahead, rehearseGeneration } from './ahead.ts';
import type { ExpertFeatures } from './evaluate.ts';
import type { Journal } from './journal.ts';
import { pathTokens } from './lengths.ts';
import { scoreAnswersOnDevice } from './score.ts';
import { trainSft } from './sft.ts';
import type { TrainingRun } from './train_loop.ts';

export interface DistillInputs {
  /** Proposes and is trained, in place. */
  readonly policy: Policy;
  readonly task: Task;
  readonly expertFeatures: ExpertFeatures;
  readonly config: Config;
  readonly run: TrainingRun;
  readonly journal: Journal;
  /** Called with each finished tree, for the run folder. */
  readonly onTree?: (tree: SearchTree) => void;
}

/** What a finished batch of trees leaves behind: plain JSON. */
interface SearchedBatch {
  readonly trees: readonly StoredTree[];
}

/** A tree without the tokens of nodes that no trajectory can use. */
type StoredTree = { readonly id: string; readonly nodes: readonly StoredNode[] };
type StoredNode = Omit<SearchTree['nodes'][number], 'tokens'> & { readonly tokens: readonly number[] };

// ---------------------------------------------------------------- collect

/** Train patients to search: all, or a draw of `mcts.num_cases`, half of them positive; where a class has too few the other one fills up. */
export function searchCases(task: Task, config: Config): number[] {
  const n = task.numExamples('train');
  const order = new Rng(config.seed, 'mcts cases').shuffle(Array.from({ length: n }, (_, i) => i));
  const wanted = Math.min(n, config.mcts.num_cases ?? n);
  if (wanted === n) return order.sort((a, b) => a - b);
  const of = (label: 0 | 1) => order.filter((i) => task.getExample('train', i).label === label);
  const [zeros, ones] = [of(0), of(1)];
  const take = Math.max(Math.min(Math.ceil(wanted / 2), ones.length), wanted - zeros.length);
  return [...ones.slice(0, take), ...zeros.slice(0, wanted - take)].sort((a, b) => a - b);
}

/** Searches every case, `mcts.batch_size` trees in lockstep; each finished batch is kept by the journal. */
export async function collectTrees({ policy, task, expertFeatures, config, run, journal, onTree }: DistillInputs): Promise<SearchTree[]> {
  const cases = searchCases(task, config);
  const size = config.mcts.batch_size;
  const streams = config.mcts.num_simulations * config.mcts.max_depth * config.mcts.num_children;
  const trees: SearchTree[] = [];
  const sampling = { temperature: config.mcts.temperature, topP: config.mcts.top_p, topK: 0 };
  const examplesAt = (at: number) => cases.slice(at, at + size).map((i) => ({ index: i, ...task.getExample('train', i) }));
  const scoring =
    (backend: Backend, examples: readonly Pick<Example, 'id' | 'label'>[]): ScoreTerminals =>
    (items) => {
      const rows = items.map(({ case: at, answer }) => ({ label: examples[at].label, answer, expert: expertFeatures[examples[at].id] }));
      return scoreAnswersOnDevice(backend, task.cohort.features, rows, config.reward);
    };
  const compile = () =>
    ahead(policy, async (shadow) => {
      const examples = examplesAt(0);
      await rehearseForest(shadow.backend, examples.length, config.mcts);
      await scoring(shadow.backend, examples)([{ case: 0, answer: parseAnswer('') }]);
      const prompts = examples.map(({ prompt }) => promptTokens(policy, prompt).length);
      const shown = { prompts, maxTokens: pathTokens(config), numGenerations: config.mcts.num_children, sampling, likelihood: true };
      await rehearseGeneration(shadow, shown);
    });
  let compiled: Promise<void> | undefined;
  for (let at = 0; at < cases.length; at += size) {
    await yieldToEvents();
    run.signal?.throwIfAborted();
    const examples = examplesAt(at);
    const done = at + examples.length;
    const batch = await journal.once(`mcts-${done}`, async (): Promise<SearchedBatch> => {
      await (compiled ??= compile());
      run.signal?.throwIfAborted();
      const started = performance.now();
      const found = await search(
        policy,
        examples.map((e) => ({ id: e.id, prompt: promptTokens(policy, e.prompt), stream: e.index * streams })),
        config.mcts,
        sampling,
        config.seed,
        scoring(policy.backend, examples),
      );
      // Logged before it is kept: a kill in between redoes both, and the resumed log drops this line.
      run.log(done, {
        ...searchMetrics(found, config.mcts.num_simulations * done, (performance.now() - started) / 1000),
        'mcts/kept_trajectories': selectTrajectories([...trees, ...found], task).trajectories.length,
      });
      return { trees: found.map((t) => ({ id: t.id, nodes: t.nodes.map((n) => ({ ...n, tokens: Array.from(n.tokens) })) })) };
    });
    const restored = batch.trees.map((t) => ({ id: t.id, nodes: t.nodes.map((n) => ({ ...n, tokens: Uint32Array.from(n.tokens) })) }));
    for (const tree of restored) onTree?.(tree);
    trees.push(...restored);
    run.progress(trees.length, cases.length);
  }
  return trees;
}

function searchMetrics(trees: readonly SearchTree[], simulations: number, seconds: number): Record<string, number> {
  const nodes = trees.flatMap((t) => t.nodes.slice(1));
  const terminal = nodes.filter((n) => n.terminal);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  return {
    'mcts/simulations': simulations,
    'mcts/nodes': sum(trees.map((t) => t.nodes.length)) / trees.length,
    'mcts/depth_mean': sum(terminal.map((n) => n.depth)) / Math.max(1, terminal.length),
    'mcts/terminal_rate': sum(terminal.map((n) => n.visits)) / Math.max(1, sum(trees.map((t) => t.nodes[0].visits))),
    'mcts/value_mean': sum(trees.map((t) => t.nodes[0].maxValue)) / trees.length,
    'mcts/seconds_per_case': seconds / trees.length,
  };
}

// ---------------------------------------------------------------- score

/** The trajectories worth learning from, and how many each rule removed. */
export function selectTrajectories(trees: readonly SearchTree[], task: Task): { trajectories: Trajectory[]; counts: FilterCounts } {
  const labels = new Map<string, 0 | 1>();
  for (let i = 0; i < task.numExamples('train'); i++) {
    const { id, label } = task.getExample('train', i);
    labels.set(id, label);
  }
  return filterTrajectories(trees, labels);
}

// ---------------------------------------------------------------- loss and step

/** Fine-tunes the policy on trajectories: loss on the completion tokens and the end token, none on the prompt. */
export async function distill(
  { policy, task, config, run }: Pick<DistillInputs, 'policy' | 'task' | 'config' | 'run'>,
  trajectories: readonly Pick<Trajectory, 'id' | 'completion'>[],
): Promise<void> {
  if (trajectories.length === 0) {
    throw new ConfigError('sft: the filter kept no trajectory; search more cases (mcts.num_cases) or more often (mcts.num_simulations)');
  }
  const prompts = new Map<string, string>();
  for (let i = 0; i < task.numExamples('train'); i++) {
    const { id, prompt } = task.getExample('train', i);
    prompts.set(id, prompt);
  }
  const [end] = policy.endTokens;
  const examples = trajectories.map(
    (t): PromptGroup => ({
      prompt: promptTokens(policy, prompts.get(t.id) as string),
      completions: [t.completion[t.completion.length - 1] === end ? t.completion : Uint32Array.of(...t.completion, end)],
    }),
  );
  await trainSft(policy, examples, config.sft, config.seed, run);
}
