/**
 * Plan. A policy of one layer with the shipped words, on a software adapter that calls itself a GPU; each phase on a device of its own.
 *   supervised fine-tuning, policy optimisation, search, the expert, answers: whatever they launch here was compiled before they began
 *   nobody hears of the rehearsal, the weights and what is drawn are those of a run without one
 *   by its own name the adapter compiles when it meets a kernel, as ever; a phase that has no step left to take compiles nothing
 */
import { type Backend, Context, openDevice, type PromptGroup } from '@eagrl/runtime';
import { expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import { emptyPolicy, withPolicy } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { BASE_POLICY, readModelFolder } from '../run/model_folder.ts';
import { taskOf } from '../tasks/configured.ts';
import { collectTrees } from './distill.ts';
import { answerSplit } from './evaluate.ts';
import { trainExperts } from './expert.ts';
import { MemoryJournal } from './journal.ts';
import { type ScoredRollout, trainRl } from './rl.ts';
import { trainSft } from './sft.ts';
import type { LoopState, TrainingRun } from './train_loop.ts';

const shape = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
};
const shipped = readModelFolder(BASE_POLICY);
const source = { ...shipped, config: { ...shipped.config, ...shape } };
const overrides = [
  '--rl.max_steps',
  '1',
  '--rl.max_completion_length',
  '24',
  '--eval.max_completion_length',
  '12',
  '--mcts.num_cases',
  '2',
];
const config = loadConfig({ path: 'configs/smoke.yaml', overrides: [...overrides, '--mcts.num_simulations', '1'] });
const cohort = generateSyntheticCohort({ seed: 0, split: { train: 6, val: 4, test: 4 } });
const task = taskOf(cohort, config);
const expertFeatures = Object.fromEntries(cohort.patients.map((p) => [p.id, [0, 1, 2]]));

function runOf(phase: string, warnings: string[] = [], restored: LoopState | null = null): TrainingRun {
  const checkpoints = { restore: async () => restored, save: async () => {} };
  const quiet = { log() {}, progress() {}, warn: (message: string) => warnings.push(message) };
  return { phase, maxTokens: 1024, checkpointEvery: 100, checkpoints, ...quiet };
}

/** What `phase` gives, and how many kernels' variants were compiled ahead and in all, on an adapter of that name. */
async function compiledIn<T>(name: string | null, phase: (policy: Policy) => Promise<T>) {
  const device = await openDevice({ device: 'webgpu-software' });
  let ahead = 0;
  const prepare: Backend['prepare'] = async (what) => {
    await device.prepare(what);
    ahead = device.stats.compiled;
  };
  const named = new Proxy(device, {
    get: (of, key) => {
      if (key === 'prepare') return prepare;
      const value = key === 'info' ? { ...of.info, adapter: name ?? of.info.adapter } : Reflect.get(of, key, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
  try {
    return await withPolicy(emptyPolicy(new Context(named), source), async (policy) => {
      policy.model.init(1);
      const before = device.stats.compiled;
      const result = await phase(policy);
      const weights = await policy.model.params.read();
      return { result, weights, ahead: Math.max(0, ahead - before), all: device.stats.compiled - before };
    });
  } finally {
    await device.destroy();
  }
}

const examples = Array.from(
  { length: 3 },
  (_, i): PromptGroup => ({ prompt: new Uint32Array(30 + i).fill(5), completions: [Uint32Array.of(6, 7, 8)] }),
);
const sft = (restored: LoopState | null) => (policy: Policy) => trainSft(policy, examples, config.sft, 0, runOf('sft', [], restored));

it('supervised fine-tuning compiles ahead all that it launches', async () => {
  const { ahead, all } = await compiledIn('a card', sft(null));
  expect(ahead).toBeGreaterThan(15);
  expect(all).toBe(ahead);
});

it('policy optimisation: all of it, and it learns what it would have learnt', async () => {
  const rl = async (policy: Policy) => {
    const warnings: string[] = [];
    const heard: ScoredRollout[] = [];
    const onRollouts = (_: number, rollouts: readonly ScoredRollout[]) => heard.push(...rollouts);
    await trainRl({ policy, task, expertFeatures, config, run: runOf('rl', warnings), onRollouts });
    return { warnings, heard };
  };
  const made = await compiledIn('a card', rl);
  const plain = await compiledIn(null, rl);
  expect(made.result).toEqual(plain.result);
  expect(made.result.heard).toHaveLength(config.rl.prompts_per_step * config.rl.num_generations);
  expect(made.weights).toEqual(plain.weights);
  expect(made.ahead).toBeGreaterThan(20);
  expect([made.all, plain.ahead, plain.all]).toEqual([made.ahead, 0, made.ahead]);
});

const phases: readonly { readonly what: string; readonly phase: (policy: Policy) => Promise<unknown> }[] = [
  {
    what: 'search',
    phase: (policy: Policy) => collectTrees({ policy, task, expertFeatures, config, run: runOf('mcts'), journal: new MemoryJournal() }),
  },
  { what: 'expert', phase: ({ ctx }: Policy) => trainExperts(ctx, cohort, config, new MemoryJournal(), runOf('expert')) },
  { what: 'answers', phase: (policy: Policy) => answerSplit(policy, task, 'test', config.eval, 0) },
];
it.each(phases)('$what: all of it', async ({ phase }) => {
  const { ahead, all } = await compiledIn('a card', phase);
  expect(ahead).toBeGreaterThan(5);
  expect(all).toBe(ahead);
});

it('what is finished compiles nothing', async () => {
  const { ahead } = await compiledIn('a card', sft({ step: 1_000, numTokens: 1, maxSteps: 1_000 }));
  expect(ahead).toBe(0);
});
