/**
 * Plan: generation and search through a KV cache that is too small for all of it at once, with the shipped policy on wasm: bit for bit what
 * a large one gives, whatever part a completion or a tree falls into.
 *   generate: groups that fit whole, groups that are cut, one completion at a time; several and one per prompt; all blocks are free again
 *   search:   trees in parts, their rewards given by their own case; the plan's limit has room for one
 */
import { branchedBlocks, Context, Engine, openDevice } from '@eagrl/runtime';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from './config/load.ts';
import { generateSyntheticCohort } from './data/synthetic.ts';
import { search, treeSize } from './mcts/search.ts';
import { answerStops, generate, promptTokens } from './policy.ts';
import { BASE_POLICY, loadPolicy, readModelFolder } from './run/model_folder.ts';
import { taskOf } from './tasks/configured.ts';

const backend = await openDevice({ device: 'wasm' });
afterAll(() => backend.destroy());
const ctx = new Context(backend);
const policy = loadPolicy(ctx, readModelFolder(BASE_POLICY));
const config = loadConfig({ path: 'configs/smoke.yaml' });
const task = taskOf(generateSyntheticCohort({ seed: 0, split: { train: 6, val: 4, test: 4 } }), config);
const prompts = Array.from({ length: 3 }, (_, i) => promptTokens(policy, task.getExample('train', i).prompt));
const longest = prompts.reduce((a, b) => Math.max(a, b.length), 0);

/** The policy with a cache of so many blocks of 4 tokens. */
function withBlocks(blocks: number) {
  const { num_hidden_layers: layers, num_key_value_heads: heads, head_dim: dim } = policy.model.config;
  const engine = new Engine(ctx, policy.model, { maxCacheBytes: blocks * 2 * layers * 4 * 4 * heads * dim });
  expect(engine.cacheUse.available).toBe(blocks);
  return { ...policy, engine };
}

it.each<[string, number, number]>([
  ['groups that fit whole', 3, 2 * branchedBlocks(4, longest, 3, 24)],
  ['groups that are cut', 3, branchedBlocks(4, longest, 2, 24)],
  ['one completion at a time', 3, branchedBlocks(4, longest, 1, 24)],
  ['one completion of each prompt', 1, 2 * branchedBlocks(4, longest, 1, 24)],
])('generate: %s', async (_title, numGenerations, blocks) => {
  const options = {
    ...answerStops(policy),
    numGenerations,
    maxTokens: 24,
    seed: 7,
    streams: prompts.map((_, i) => 100 * i),
    temperature: 1,
    topK: 0,
    topP: 1,
  };
  const whole = await generate(policy, prompts, options);
  expect(whole.map((group) => group.length)).toEqual(prompts.map(() => numGenerations));
  expect(new Set(whole.flat().map(({ text }) => text)).size).toBeGreaterThan(prompts.length * numGenerations * 0.5);
  const small = withBlocks(blocks);
  expect(await generate(small, prompts, options)).toEqual(whole);
  expect(small.engine.cacheUse.available).toBe(blocks);
  small.engine.destroy();
});

it('search: trees in parts', async () => {
  const cases = prompts.map((prompt, i) => ({ id: `${i}`, prompt, stream: 1000 * i }));
  const size = { ...config.mcts, num_simulations: 2, max_step_tokens: 32 };
  const { nodes, tokensPerNode } = treeSize(size);
  const treesOf = (of: typeof policy) =>
    search(of, cases, size, { temperature: 1, topK: 0, topP: 1 }, 3, async (items) =>
      items.map((item) => ({ total: -item.case, classification: item.answer.probability ?? 0, attention: 0 })),
    );
  const whole = await treesOf(policy);
  expect(whole.flatMap(({ nodes }, t) => nodes.flatMap(({ score }) => (score ? [score.total === -t] : [])))).not.toContain(false);
  for (const count of [1, 2]) {
    const small = withBlocks(count * branchedBlocks(4, longest, nodes, tokensPerNode));
    expect(await treesOf(small)).toEqual(whole);
    small.engine.destroy();
  }
});
