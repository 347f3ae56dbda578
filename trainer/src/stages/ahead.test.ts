/**
 * Plan. A policy of one layer with the shipped words, on a software adapter that is said to compile aside, as GPUs do; each phase on a device of its own.
 *   supervised fine-tuning, policy optimisation (plain; with an adapter, a reference and all that asks for more), search, the expert, answers,
 *     pretraining, chat: whatever they launch here was compiled before they began, at once
 *   nobody hears of the rehearsal, the weights and what is drawn are those of a run without one
 *   a device that does not compile aside compiles when it meets a kernel, as ever; a phase that has no step left to take compiles nothing
 */
import { type Backend, Context, type LoraConfig, openDevice, type PromptGroup, type WeightType } from '@eagrl/runtime';
import { expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { generateSyntheticCohort } from '../data/synthetic.ts';
import { emptyPolicy, withPolicy } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { BASE_POLICY, readModelFolder } from '../run/model_folder.ts';
import { taskOf } from '../tasks/configured.ts';
import { ChatTemplateError } from '../text/chat.ts';
import { ahead as aheadOf } from './ahead.ts';
import { ChatSession, rehearseChat } from './chat.ts';
import { collectTrees } from './distill.ts';
import { answerSplit } from './evaluate.ts';
import { trainExperts } from './expert.ts';
import { MemoryJournal } from './journal.ts';
import { pretrain } from './pretrain.ts';
import { type ScoredRollout, trainRl, withReference } from './rl.ts';
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
const pretraining = { ...config, pretrain: { ...config.pretrain, max_steps: 1, groups_per_step: 1 } };
const cohort = generateSyntheticCohort({ seed: 0, split: { train: 6, val: 4, test: 4 } });
const task = taskOf(cohort, config);
const expertFeatures = Object.fromEntries(cohort.patients.map((p) => [p.id, [0, 1, 2]]));

function runOf(phase: string, warnings: string[] = [], restored: LoopState | null = null): TrainingRun {
  const checkpoints = { restore: async () => restored, save: async () => {} };
  const quiet = { log() {}, progress() {}, warn: (message: string) => warnings.push(message) };
  return { phase, maxTokens: 1024, checkpointEvery: 100, checkpoints, ...quiet };
}

interface Given {
  readonly lora?: LoraConfig;
  readonly dtype?: WeightType;
}

/** What `phase` gives, and how many kernels' variants were compiled ahead and in all, on a device that is said to compile aside or not. */
async function compiledIn<T>(aside: boolean, phase: (policy: Policy) => Promise<T>, { lora, dtype }: Given = {}) {
  const device = await openDevice({ device: 'webgpu-software' });
  let ahead = 0;
  const prepare: Backend['prepare'] = async (what) => {
    expect(ahead).toBe(0); // once
    await device.prepare(what);
    ahead = device.stats.compiled;
  };
  const named = new Proxy(device, {
    get: (of, key) => {
      if (key === 'prepare') return prepare;
      const value = key === 'compilesAside' ? aside : Reflect.get(of, key, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
  try {
    return await withPolicy(emptyPolicy(new Context(named), source, lora, dtype), async (policy) => {
      policy.model.init(1);
      if (lora) policy.model.initAdapter(1);
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
  const { ahead, all } = await compiledIn(true, sft(null));
  expect(ahead).toBeGreaterThan(15);
  expect(all).toBe(ahead);
});

const rl = (settings: Config) => async (policy: Policy) => {
  const warnings: string[] = [];
  const heard: ScoredRollout[] = [];
  const onRollouts = (_: number, rollouts: readonly ScoredRollout[]) => heard.push(...rollouts);
  const inputs = { policy, task, expertFeatures, config: settings, run: runOf('rl', warnings), onRollouts };
  await withReference(policy, settings, (reference) => trainRl({ ...inputs, reference }));
  return { warnings, heard };
};

it('policy optimisation: all of it, and it learns what it would have learnt', async () => {
  const made = await compiledIn(true, rl(config));
  const plain = await compiledIn(false, rl(config));
  expect(made.result).toEqual(plain.result);
  expect(made.result.heard).toHaveLength(config.rl.prompts_per_step * config.rl.num_generations);
  expect(made.weights).toEqual(plain.weights);
  expect(made.ahead).toBeGreaterThan(20);
  // The plain one compiles for the lengths that it meets alone.
  expect([made.all, plain.ahead, plain.all <= made.all]).toEqual([made.ahead, 0, true]);
}, 240_000);

it('an adapter beside int4, a reference, sampling cut short, dynamic sampling: all of it, and the warnings of the step alone', async () => {
  const overrides = [
    '--rl.beta',
    '0.1',
    '--rl.top_p',
    '0.9',
    '--rl.dynamic_sampling',
    '2',
    '--rl.max_completion_length',
    '3',
    '--rl.max_steps',
    '1',
  ];
  const settings = loadConfig({ path: 'configs/smoke.yaml', overrides });
  const lora: LoraConfig = { r: 4, alpha: 8, dropout: 0, target_modules: ['q_proj', 'down_proj'] };
  const { result, ahead, all } = await compiledIn(true, rl(settings), { lora, dtype: 'int4' });
  expect(result.warnings).toHaveLength(1); // no group can be told from another: answers of 3 tokens
  expect(ahead).toBeGreaterThan(20);
  expect(all).toBe(ahead);
}, 240_000);

const phases: readonly { readonly what: string; readonly phase: (policy: Policy) => Promise<unknown> }[] = [
  {
    what: 'search',
    phase: (policy: Policy) => collectTrees({ policy, task, expertFeatures, config, run: runOf('mcts'), journal: new MemoryJournal() }),
  },
  { what: 'expert', phase: ({ ctx }: Policy) => trainExperts(ctx, cohort, config, new MemoryJournal(), runOf('expert')) },
  { what: 'answers', phase: (policy: Policy) => answerSplit(policy, task, 'test', config.eval, 0) },
  { what: 'pretraining', phase: (policy: Policy) => pretrain(policy, pretraining, runOf('pretrain')) },
  {
    what: 'chat',
    phase: async (policy: Policy) => {
      const settings = { maxNewTokens: 9, seed: 0, temperature: 1 };
      await aheadOf(policy, (shadow) => rehearseChat(shadow, settings));
      return new ChatSession(policy, settings).reply('Hi.', () => {}, new AbortController().signal);
    },
  },
];
it.each(phases)('$what: all of it', async ({ phase }) => {
  const { ahead, all } = await compiledIn(true, phase);
  expect(ahead).toBeGreaterThan(5);
  expect(all).toBe(ahead);
});

it('a chat whose template refuses the system turn is not refused ahead of a turn', async () => {
  const refuses = {
    render: () => {
      throw new ChatTemplateError('no system');
    },
  };
  const { result } = await compiledIn(true, async (policy) => {
    const chat = { ...policy.chat, ...refuses };
    await aheadOf(policy, (shadow) => rehearseChat({ ...shadow, chat }, { maxNewTokens: 9, seed: 0, system: 'Be brief.' }));
    return 'open';
  });
  expect(result).toBe('open');
});

it('what is finished compiles nothing', async () => {
  const { ahead } = await compiledIn(true, sft({ step: 1_000, numTokens: 1, maxSteps: 1_000 }));
  expect(ahead).toBe(0);
});
