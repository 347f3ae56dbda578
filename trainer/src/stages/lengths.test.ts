/**
 * Plan: what fits a pass of training, and what fits the context.
 *   the authors' prompt form: the longest prompt with the longest completion of either stage is one pack; small prompts keep MAX_TOKENS
 *   a run, a check of the data and a plan refuse the same lengths
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PromptGroup, splitPacks } from '@eagrl/runtime';
import { afterAll, expect, it } from 'vitest';
import { loadConfig } from '../config/load.ts';
import { resolveConfig } from '../config/resolve.ts';
import { ConfigError } from '../util/errors.ts';
import { checkContext, pathTokens, tokensPerPass } from './lengths.ts';
import { planModel } from './plan.ts';
import { MAX_TOKENS } from './train_loop.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-lengths-'));
afterAll(() => rmSync(work, { recursive: true }));

it('a long prompt with one completion is one pass', () => {
  const config = resolveConfig({});
  const group = (completion: number): PromptGroup => ({ prompt: new Uint32Array(3900), completions: [new Uint32Array(completion)] });
  expect(() => splitPacks([group(320)], MAX_TOKENS)).toThrow(/exceed the budget of 4096 tokens/);
  for (const completion of [320, pathTokens(config), config.rl.max_completion_length]) {
    expect(splitPacks([group(completion), group(completion)], tokensPerPass(config, 3900))).toHaveLength(2);
  }
  const deep = resolveConfig({ mcts: { max_depth: 20, max_step_tokens: 100 } });
  expect(tokensPerPass(deep, 3900)).toBe(3900 + pathTokens(deep));
});

it.each(['demo', 'quick', 'smoke', 'pretrain'])('%s: MAX_TOKENS, as its published numbers were made with', (name) => {
  expect(tokensPerPass(loadConfig({ path: `configs/${name}.yaml` }), 1800)).toBe(MAX_TOKENS);
});

it('the context has room for the longest completion of any phase', () => {
  const config = resolveConfig({ eval: { max_completion_length: 2000 } });
  checkContext(config, 2096, 4096);
  const refused = /prompt of 2097 tokens and up to 2000 completion tokens exceed the model's context of 4096; lower prompt.last_visits/;
  expect(() => checkContext(config, 2097, 4096)).toThrow(ConfigError);
  expect(() => checkContext(config, 2097, 4096)).toThrow(refused);
  const shape = { model_type: 'qwen2', vocab_size: 64, hidden_size: 8, intermediate_size: 8, num_hidden_layers: 1, num_attention_heads: 1 };
  writeFileSync(join(work, 'config.json'), JSON.stringify({ ...shape, num_key_value_heads: 1, max_position_embeddings: 4096 }));
  expect(() => planModel(work, config, 2097)).toThrow(refused);
});
