/**
 * Plan: what a search keeps in the cache. 100 simulations over one prompt of 1,000 tokens, by the search itself, with a random model that
 * stops at one token in 32 and a tokenizer that reads four of five such completions as a step, the rest as a final answer: at the most the
 * cache holds 1.15 times the blocks that the distinct tokens of the tree fill, probes included. Stored path by path it would be many times
 * that.
 */
import { Context, Engine, openDevice, parseTransformerConfig, Transformer } from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import type { Policy } from '../policy.ts';
import { formatFinal, formatStep } from '../text/answer.ts';
import { TAGS } from '../text/special_tokens.ts';
import { pathTo } from './filter.ts';
import { search } from './search.ts';

const VOCAB = 160;
const END = { [TAGS.answer[1]]: 5, [TAGS.finalAnswer[1]]: 6 };

test('100 simulations over 1,000 tokens: at most 1.15 times the blocks of the distinct tokens', { timeout: 120_000 }, async () => {
  const ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  const model = new Transformer(
    ctx,
    parseTransformerConfig({
      model_type: 'qwen2',
      vocab_size: VOCAB,
      hidden_size: 16,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      num_key_value_heads: 1,
      max_position_embeddings: 2048,
    }),
  );
  model.init(1);
  const engine = new Engine(ctx, model);
  const random = new Random('cache');
  const tokenizer = {
    has: (tag: string) => tag in END,
    idOf: (tag: string) => END[tag as keyof typeof END],
    encode: (text: string) => (text === 'Yes' ? Uint32Array.of(1) : text === 'No' ? Uint32Array.of(2) : random.ints(20, VOCAB)),
    decode: (ids: Uint32Array) =>
      ids[ids.length - 1] !== 6 ? formatStep({ question: 'q', answer: 'a' }).trimEnd() : formatFinal(null, [], 0.5),
  };
  const policy = { backend: ctx.backend, ctx, model, engine, tokenizer, chat: { followUp: (text: string) => text }, endTokens: [7, 8, 9] };
  const prompt = random.ints(1000, VOCAB);
  const [tree] = await search(
    policy as unknown as Policy,
    [{ id: 'a', prompt, stream: 0 }],
    { num_simulations: 100, num_children: 3, max_depth: 5, exploration: 2, max_step_tokens: 64, usefulness_weight: 0.4 },
    { temperature: 1, topK: 0, topP: 1 },
    1,
    async (items) => items.map(() => ({ total: random.next(), classification: 0, attention: 0 })),
  );
  const { blocks, blockSize } = engine.cacheUse;
  const distinct = tree.nodes.reduce((sum, n) => sum + n.tokens.length, prompt.length);
  const paths = tree.nodes.reduce((sum, _, n) => sum + pathTo(tree, n).reduce((s, p) => s + p.tokens.length, prompt.length), 0);
  const needed = Math.ceil(distinct / blockSize);
  const said = `${tree.nodes.length} nodes, ${distinct} tokens (${paths} path by path), ${blocks} blocks of ${blockSize}, ${needed} needed`;
  expect(tree.nodes.length).toBeGreaterThan(100);
  expect(paths / distinct, said).toBeGreaterThan(20);
  expect(blocks / needed, said).toBeGreaterThan(0.95);
  expect(blocks / needed, said).toBeLessThan(1.15);
  await ctx.backend.destroy();
});
