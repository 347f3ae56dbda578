/**
 * Plan: the matrix becomes the right work, and a hash changes exactly with what its node depends on.
 *   cells: names, groups, what each varies; configs that the matrix would overrule are refused; --only
 *   chains: parents of each kind, Stage 1 shared by GRPO, DAPO and EAG-RL, nothing planned twice
 *   hashes: every config key is read or listed as not to be; each against every kind of node, each root, each seed; where the run lives
 *     changes nothing; the model's digest changes with every file that its words come from
 *   shards: every cell in exactly one part, parents included
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CONFIG_KEYS, configValue, mergeLayers, resolveConfig } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import { cellsOf, selectCells } from './matrix.ts';
import { IN_ROOTS, KINDS, type Kind, NOT_DECISIVE, type Node, neededBy, type Plan, planOf, READS, type Roots, shardOf } from './plan.ts';
import { modelDigest } from './reproduce.ts';

const config = resolveConfig({ rl: { max_completion_length: 100 } });
const roots = { cohorts: { here: 'c0' }, model: 'm0' };
const plan = (of: Config = config, seeds = [1], from: Roots = roots, only: string[] | null = null): Plan =>
  planOf(of, selectCells(cellsOf(of), only), seeds, from);
const whole = plan();
const cell = (name: string, of: Plan = whole) => of.cells.find((c) => c.cell.name === name)!;
const rlOf = (name: string, of: Plan = whole): Node => cell(name, of).answers!.policy!;

describe('cells', () => {
  it('are those of the paper, in order', () => {
    expect(cellsOf(config).map((c) => c.name)).toEqual([
      ...['vanilla', 'features', 'decompose', 'sft_answer', 'stage1', 'grpo', 'dapo', 'eagrl'],
      ...['expert', 'expert_gru', 'expert_adacare', 'expert_logistic', 'bayes'],
      ...['no_stage1', 'star', 'no_attention', 'no_adaptive', 'k3', 'k5', 'k10', 'reward_repo'],
      ...['shuffled_20', 'shuffled_40', 'shuffled_60', 'shuffled_100', 'removed_20', 'removed_40'],
      ...['noise_10', 'noise_20', 'noise_40'],
    ]);
    const tjh = resolveConfig({ data: { kind: 'tjh', path: 'a', split: 'b' } });
    expect(cellsOf(tjh).map((c) => c.name)).not.toContain('bayes');
  });
  it('GRPO: per-sequence mean, eps 0.2, KL 0.001, R_cls alone; DAPO: 0.28, token mean, dynamic sampling, a fifth of cache', () => {
    const { rl, reward } = rlOf('grpo').config;
    expect(rl).toMatchObject({ loss_type: 'grpo', clip_mode: 'fixed', epsilon: 0.2, epsilon_high: null, beta: 0.001, dynamic_sampling: 0 });
    expect(reward.lambda).toBe(1);
    const dapo = rlOf('dapo').config;
    expect(dapo.rl).toMatchObject({
      loss_type: 'dapo',
      clip_mode: 'fixed',
      epsilon_high: 0.28,
      beta: 0,
      dynamic_sampling: 10,
      soft_punish_cache: 20,
    });
    expect(dapo.reward.lambda).toBe(1);
    expect(rlOf('eagrl').config).toEqual({ ...config, seed: 1 });
  });
  it.each([
    { rl: { clip_mode: 'fixed' } },
    { reward: { preset: 'repo' } },
    { prompt: { missing_fraction: 0.1 } },
    { prompt: { noise_std: 0.1 } },
    { rl: { dynamic_sampling: 1 } },
  ])('refuse a config with %j', (layer) => {
    expect(() => cellsOf(resolveConfig(layer))).toThrow('varied by the matrix');
  });
  it('--only keeps the reference and the order, and knows the names', () => {
    expect(selectCells(cellsOf(config), ['k3', 'vanilla']).map((c) => c.name)).toEqual(['vanilla', 'eagrl', 'k3']);
    expect(() => selectCells(cellsOf(config), ['k4'])).toThrow('did you mean k');
  });
});

describe('chains', () => {
  it('GRPO, DAPO, EAG-RL and the fixed clip start from the same Stage 1, that from the same trees and expert', () => {
    const [first, ...others] = ['eagrl', 'grpo', 'dapo', 'no_adaptive'].map((name) => rlOf(name));
    for (const other of others) expect(other.policy).toBe(first.policy);
    expect(cell('stage1').answers!.policy).toBe(first.policy);
    expect(first.policy!.trees!.expert).toBe(first.expert);
    expect(new Set(['eagrl', 'grpo', 'dapo', 'no_adaptive'].map((name) => rlOf(name).hash)).size).toBe(4);
  });
  it('without Stage 1 starts from the base; without R_att and other K have trees of their own and the same expert', () => {
    expect(rlOf('no_stage1').policy).toBeNull();
    for (const name of ['no_attention', 'k3', 'reward_repo']) {
      expect(rlOf(name).policy!.trees!.hash).not.toBe(rlOf('eagrl').policy!.trees!.hash);
      expect(rlOf(name).expert).toBe(rlOf('eagrl').expert);
    }
    expect(rlOf('k10')).toBe(rlOf('eagrl')); // the default K is 10
  });
  it('robustness asks the EAG-RL policy other questions', () => {
    for (const name of ['shuffled_20', 'shuffled_100', 'removed_40']) {
      expect(rlOf(name)).toBe(rlOf('eagrl'));
      expect(cell(name).answers!.hash).not.toBe(cell('eagrl').answers!.hash);
    }
    expect(cell('shuffled_40').answers!.config.prompt.shuffle_fraction).toBe(0.4);
    expect(cell('removed_40').answers!.config.prompt.missing_fraction).toBe(0.4);
  });
  it('prompting asks the base in three ways', () => {
    const asked = ['vanilla', 'features', 'decompose'].map((name) => cell(name).answers!);
    expect(asked.map((n) => n.answer)).toEqual(['number', 'features', 'steps']);
    expect(new Set(asked.map((n) => n.hash)).size).toBe(3);
    for (const node of asked) expect(node.policy).toBeNull();
  });
  it('lists parents before children, nothing twice, one expert per seed', () => {
    const { nodes } = plan(config, [1, 2]);
    const seen = new Set<string>();
    for (const node of nodes) {
      for (const parent of [node.expert, node.trees, node.policy]) if (parent !== null) expect(seen).toContain(parent.hash);
      expect(seen).not.toContain(node.hash);
      seen.add(node.hash);
    }
    expect(nodes.filter((n) => n.kind === 'expert')).toHaveLength(2 * 4); // ConCare and the three in its place
    expect(nodes).toHaveLength(2 * whole.nodes.length);
  });
});

// ---------------------------------------------------------------- hashes

/** The chain of the EAG-RL cell by kind, and the node of bare answers. */
function byKind(of: Plan): Record<Kind, Node> {
  const rl = rlOf('eagrl', of);
  const stage1 = rl.policy!;
  return {
    expert: rl.expert!,
    trees: stage1.trees!,
    samples: cell('star', of).answers!.policy!.trees!.policy!.trees!, // the first round's
    stage1,
    sft_answer: rlOf('sft_answer', of),
    rl,
    answers: cell('eagrl', of).answers!,
  };
}
const ONLY = ['sft_answer', 'star'];
const base = byKind(plan(config, [1], roots, ONLY));
const changed = (of: Plan): Kind[] => KINDS.filter((kind) => byKind(of)[kind].hash !== base[kind].hash);

/** Another value that the schema allows. */
function another(key: string): unknown {
  const value = configValue(config, key);
  const special: Readonly<Record<string, unknown>> = {
    device: 'wasm',
    'prompt.form': 'full',
    'data.kind': 'synthetic',
    'expert.kind': 'gru',
    'data.effects': 'shifted',
    'model.lora_target_modules': ['q_proj'],
    'data.min_visits': 1, // the only one of data.kind synthetic
    'expert.hidden_size': 64,
    'expert.num_heads': 2,
    'pretrain.hidden_size': 512,
    'pretrain.num_attention_heads': 2,
    'pretrain.num_key_value_heads': 1,
    'rl.loss_type': 'grpo',
    'rl.epsilon_high': 0.3,
    'rl.epsilon_high_min': 0.25,
    'mcts.num_cases': 5,
    'data.seed': 1,
    'rl.top_k': 3,
    transfer_config: 'other.yaml',
    run_name: 'elsewhere',
    output_dir: 'elsewhere',
  };
  if (key in special) return special[key];
  if (typeof value === 'boolean') return !value;
  if (key.endsWith('lr_scheduler_type')) return 'linear';
  if (key.endsWith('top_p')) return 0.7;
  if (typeof value === 'number') return Number.isInteger(value) && value >= 1 ? value + 1 : value / 2 + 0.1;
  return value;
}

/** The kinds that come after each. */
const AFTER: Readonly<Record<Kind, readonly Kind[]>> = {
  expert: ['trees', 'stage1', 'sft_answer', 'rl', 'answers'],
  trees: ['stage1', 'sft_answer', 'rl', 'answers'],
  // Nothing of the EAG-RL chain hangs on them.
  samples: [],
  stage1: ['rl', 'answers'],
  sft_answer: [],
  rl: ['answers'],
  answers: [],
};
const VARIED = [
  'rl.clip_mode',
  'rl.dynamic_sampling',
  'rl.soft_punish_cache',
  'reward.preset',
  'prompt.shuffle_fraction',
  'prompt.missing_fraction',
  'prompt.noise_std',
];

describe('hashes', () => {
  it('every config key is read by a kind, or in one list of keys that need not be', () => {
    for (const key of CONFIG_KEYS) {
      const places = [KINDS.some((kind) => READS[kind].includes(key)), IN_ROOTS.includes(key), NOT_DECISIVE.includes(key)];
      expect(places.filter(Boolean), key).toHaveLength(1);
    }
    for (const key of [...IN_ROOTS, ...NOT_DECISIVE]) expect(CONFIG_KEYS).toContain(key);
  });
  it("the weights' dtype changes all but the expert", () => {
    const peft = resolveConfig({ ...config, model: { use_peft: true } });
    const int4 = resolveConfig({ ...config, model: { use_peft: true, dtype: 'int4' } });
    const before = byKind(plan(peft, [1], roots, ONLY));
    const after = byKind(plan(int4, [1], roots, ONLY));
    expect(KINDS.filter((kind) => before[kind].hash !== after[kind].hash)).toEqual(KINDS.filter((kind) => kind !== 'expert'));
  });
  it('the digest of the model: weights, config, tokenizer, its config, generation settings and chat template', () => {
    const path = mkdtempSync(join(tmpdir(), 'eagrl-digest-'));
    writeFileSync(join(path, 'model.safetensors'), 'weights');
    const folder = { path, config: { a: 1 }, tokenizerJson: {}, tokenizerConfig: null, generationConfig: null, chatTemplate: 'one' };
    const digest = modelDigest(folder);
    expect(modelDigest({ ...folder, gradientCheckpointing: true })).toBe(digest);
    const others = [
      { ...folder, config: { a: 2 } },
      { ...folder, tokenizerJson: { b: 1 } },
      { ...folder, tokenizerConfig: { bos_token: 'b' } },
      { ...folder, generationConfig: { eos_token_id: 7 } },
      { ...folder, chatTemplate: 'two' },
    ];
    expect(new Set([digest, ...others.map(modelDigest)]).size).toBe(6);
    writeFileSync(join(path, 'model.safetensors'), 'others');
    expect(modelDigest(folder)).not.toBe(digest);
    rmSync(path, { recursive: true });
  });
  it.each(CONFIG_KEYS.filter((key) => !VARIED.includes(key) && key !== 'seed'))(
    '%s: changes the nodes that read it and those after them',
    (key) => {
      const [section, name] = key.split('.');
      const value = name === undefined ? { [section]: another(key) } : { [section]: { [name]: another(key) } };
      const reading = KINDS.filter((kind) => READS[kind].includes(key) && configValue(config, key) !== another(key));
      const expected = KINDS.filter((kind) => reading.includes(kind) || reading.some((r) => AFTER[r].includes(kind)));
      const of = resolveConfig(mergeLayers(config, value));
      expect(changed(plan(of, [1], roots, ONLY))).toEqual(expected);
    },
  );
  it('what each kind reads: a key of the wrong kind would make a stale result', () => {
    const sections = (kind: Kind) => [...new Set(READS[kind].map((key) => key.split('.')[0]))].sort();
    expect(sections('expert')).toEqual(['device', 'expert', 'seed']);
    expect(sections('trees')).toEqual(['device', 'expert', 'mcts', 'model', 'prompt', 'reward', 'seed']);
    expect(sections('samples')).toEqual(['device', 'mcts', 'model', 'prompt', 'seed']);
    expect(sections('stage1')).toEqual(['device', 'model', 'prompt', 'seed', 'sft']);
    expect(sections('sft_answer')).toEqual(['device', 'model', 'prompt', 'seed', 'sft']);
    expect(sections('rl')).toEqual(['device', 'expert', 'model', 'prompt', 'reward', 'rl', 'seed']);
    expect(sections('answers')).toEqual(['device', 'eval', 'model', 'prompt', 'seed']);
    expect(READS.expert).not.toContain('expert.attention_top_k');
    expect(READS.trees.filter((key) => key.startsWith('expert.'))).toEqual(['expert.attention_top_k']);
    for (const kind of KINDS) for (const key of READS[kind]) expect(CONFIG_KEYS).toContain(key);
  });
  it('the seed changes all, another cohort changes all, another base policy all but the expert', () => {
    expect(changed(plan(config, [2], roots, ONLY))).toEqual([...KINDS]);
    expect(changed(plan(config, [1], { ...roots, cohorts: { here: 'c1' } }, ONLY))).toEqual([...KINDS]);
    expect(changed(plan(config, [1], { ...roots, model: 'm1' }, ONLY))).toEqual(KINDS.filter((kind) => kind !== 'expert'));
    expect(changed(plan(config, [1], roots, ONLY))).toEqual([]);
  });
  it('the seed of the config is where the seeds begin, and nothing else', () => {
    expect(changed(plan({ ...config, seed: 7 }, [1], roots, ONLY))).toEqual([]);
  });
});

describe('two cohorts', () => {
  const both = resolveConfig({ ...config, transfer_config: 'other.yaml' });
  const names = ['here', 'other', 'here_shared', 'other_shared', 'to_here', 'to_other'] as const;
  const cohorts: Roots['cohorts'] = { here: 'c0', ...Object.fromEntries(names.map((name, i) => [name, `c${i}`])) };
  const of = plan(both, [1], { ...roots, cohorts });

  it('a policy trained on one is asked about the other, both ways, and each is compared with the one trained there', () => {
    const [into, out, there] = ['transfer_in', 'transfer_out', 'other_eagrl'].map((name) => cell(name, of).answers!);
    expect([into.cohort, out.cohort, there.cohort]).toEqual(['here', 'other', 'other']);
    expect(into.policy).toBe(there.policy);
    expect(out.policy).toBe(rlOf('eagrl', of));
    for (let node = there.policy; node !== null; node = node.policy ?? node.trees) expect(node.cohort).toBe('other');
    expect(there.policy!.expert).toBe(cell('transfer_out', of).expert);
    expect(cell('transfer_in', of).expert).toBe(cell('eagrl', of).expert);
  });
  it('experts are trained on what both have; where that is all, nothing is trained twice', () => {
    const experts = ['expert_shared', 'expert_in', 'other_expert_shared', 'expert_out'].map((name) => cell(name, of).expert);
    expect(experts.map((node) => node.cohort)).toEqual(['here_shared', 'to_here', 'other_shared', 'to_other']);
    expect(new Set(experts.map((node) => node.hash)).size).toBe(4);
    const same = plan(both, [1], { ...roots, cohorts: { ...cohorts, here_shared: 'c0' } });
    expect(cell('expert_shared', same).expert).toBe(cell('expert', same).expert);
  });
  it('--only brings the reference of the cohort it is tested on', () => {
    const chosen = (name: string) => selectCells(cellsOf(both), [name]).map((c) => c.name);
    expect(chosen('transfer_out')).toEqual(['eagrl', 'other_eagrl', 'transfer_out']);
    expect(chosen('transfer_in')).toEqual(['eagrl', 'transfer_in']);
  });
  it('a plan whose cohort was not loaded says so', () => {
    expect(() => plan(both)).toThrow('wants the cohort "other"');
  });
});

it('STaR: two rounds, each from the base policy on what the one before wrote', () => {
  const second = cell('star').answers!.policy!;
  const first = second.trees!.policy!;
  expect([second.kind, second.trees!.kind, first.kind, first.trees!.kind]).toEqual(['stage1', 'samples', 'stage1', 'samples']);
  expect(first.trees!.policy).toBeNull();
  expect([second.policy, second.trees!.expert]).toEqual([null, null]);
});

describe('shards', () => {
  it.each([1, 2, 3, 7, 50])('%d parts: every cell in exactly one, with all it needs', (count) => {
    const both = plan(config, [1, 2]);
    const parts = Array.from({ length: count }, (_, i) => shardOf(both.cells, i + 1, count));
    expect(parts.flat()).toEqual(both.cells);
    expect(new Set(parts.flatMap((part) => neededBy(both, part).map((n) => n.hash)))).toEqual(new Set(both.nodes.map((n) => n.hash)));
    for (const part of parts) {
      const needed = neededBy(both, part);
      for (const node of needed) for (const parent of [node.expert, node.trees, node.policy]) if (parent) expect(needed).toContain(parent);
    }
  });
});
