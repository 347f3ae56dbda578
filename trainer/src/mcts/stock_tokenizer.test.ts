/**
 * Plan: the method with tokenizers that split every tag of an answer, those of test/golden for Qwen2 and Llama 3. A tiny model learns one
 * answer per prompt by heart through the pipeline's own SFT step; then
 *   generate: completions end at </Final answer>, by its text, and are read
 *   search: steps end at </Answer>, are probed, and lead to final answers; a path is one well-formed text; paths at full depth are closed
 *   a policy step on those rollouts: sampled log-probs are those of training, feature tokens are found
 */
import { readFileSync } from 'node:fs';
import { AdamW, Context, openDevice } from '@eagrl/runtime';
import { describe, expect, test } from 'vitest';
import { emptyPolicy } from '../model_source.ts';
import { answerStops, generate, type Policy, promptTokens } from '../policy.ts';
import { featureTokenMask, formatTrajectory, parseAnswer, parseSteps } from '../text/answer.ts';
import { TAGS } from '../text/special_tokens.ts';
import { rlGradients } from '../train/rl_step.ts';
import { sftStep } from '../train/sft_step.ts';
import { bestTerminal, pathTo } from './filter.ts';
import { search } from './search.ts';

const read = (file: string) => JSON.parse(readFileSync(new URL(`../../../test/golden/${file}`, import.meta.url), 'utf8'));
const golden = read('tokenizers.json');

const CASES = [
  {
    prompt: 'urea 12 HH, age 80. Is death likely?',
    answer: formatTrajectory([{ question: 'Is urea abnormal?', answer: 'Yes, 12 HH.' }], 'How likely is death?', ['urea', 'age'], 0.8),
  },
  {
    prompt: 'urea 5, age 30. Is death likely?',
    answer: formatTrajectory([{ question: 'Which values are abnormal?', answer: 'None.' }], 'How likely is death?', ['albumin'], 0.1),
  },
] as const;

async function taughtPolicy(family: string): Promise<Policy> {
  const { template, bos_token, eos_token } = golden[family];
  const tokenizerJson = read(`tokenizer_${family}.json`);
  const added = tokenizerJson.added_tokens as { id: number; content: string }[];
  const config = {
    model_type: 'qwen2',
    vocab_size: Math.max(...added.map((t) => t.id)) + 1,
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 512,
    tie_word_embeddings: true,
    eos_token_id: added.find((t) => t.content === eos_token)?.id,
  };
  const tokenizerConfig = { bos_token, eos_token };
  const ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
  const policy = emptyPolicy(ctx, { config, tokenizerJson, tokenizerConfig, generationConfig: null, chatTemplate: template });
  policy.model.init(1);
  const optimizer = new AdamW(policy.model.params, { maxGradNorm: 1 });
  const groups = CASES.map(({ prompt, answer }) => ({
    prompt: promptTokens(policy, prompt),
    completions: [Uint32Array.of(...policy.tokenizer.encode(answer), ...policy.endTokens)],
  }));
  let loss = Number.POSITIVE_INFINITY;
  for (let step = 0; step < 200 && loss > 0.02; step++)
    ({ loss } = await sftStep(policy, optimizer, groups, { learningRate: 3e-3, maxTokens: 4096 }));
  expect(loss).toBeLessThan(0.02);
  return policy;
}

describe.each(['qwen2', 'llama3'])('%s', (family) => {
  test('answers, search and a policy step', { timeout: 120_000 }, async () => {
    const policy = await taughtPolicy(family);
    const { tokenizer } = policy;
    for (const tag of Object.values(TAGS).flat()) expect(tokenizer.has(tag)).toBe(false);

    const prompts = CASES.map(({ prompt }) => promptTokens(policy, prompt));
    const sampling = { temperature: 0.5, topK: 0, topP: 1 };
    const stops = answerStops(policy);
    expect(stops).toEqual({ stopTokens: policy.endTokens, stopStrings: [TAGS.finalAnswer[1]] });
    const rollouts = await generate(policy, prompts, {
      ...sampling,
      ...stops,
      numGenerations: 3,
      maxTokens: 200,
      seed: 1,
      streams: [0, 9],
    });
    rollouts.forEach((group, i) => {
      const right = group.filter((r) => r.text.trimEnd() === CASES[i].answer);
      expect(right.length).toBeGreaterThan(1);
      for (const { stopped, tokens, text } of right) {
        expect(stopped).toBe(true);
        const marked = tokenizer.decode(tokens.filter((_, t) => featureTokenMask(tokens, tokenizer)[t] === 1));
        expect(marked.trim()).toBe(parseAnswer(text).features.join(', '));
      }
    });

    const flat = rollouts.flat();
    policy.model.params.enableGrad();
    const batch = {
      groups: prompts.map((prompt, i) => ({ prompt, completions: rollouts[i].map((r) => r.tokens) })),
      oldLogprobs: flat.map((r) => r.logprobs),
      advantages: Float32Array.from(flat, (_, i) => (i % 2 ? 1 : -1)),
      clipHigh: new Float32Array(flat.length).fill(0.2),
    };
    const options = { learningRate: 0, clipLow: 0.2, klBeta: 0, lossType: 'dapo', temperature: 0.5, maxTokens: 4096 } as const;
    expect((await rlGradients(policy, batch, options)).logpDifferenceMax).toBeLessThan(1e-3);

    const trees = await search(
      policy,
      prompts.map((prompt, i) => ({ id: String(i), prompt, stream: 100 * i })),
      { num_simulations: 4, num_children: 2, max_depth: 3, exploration: 1, max_step_tokens: 120, usefulness_weight: 0.4 },
      sampling,
      1,
      async (items) => items.map(({ answer }) => ({ total: answer.probability ?? 0, classification: 0, attention: 0 })),
    );
    trees.forEach((tree, i) => {
      const inner = tree.nodes.slice(1).filter((n) => !n.terminal);
      expect(inner.length).toBeGreaterThan(0);
      for (const n of inner) {
        expect(parseSteps(n.text)).toHaveLength(1);
        expect(n.usefulness).toBeGreaterThanOrEqual(0);
      }
      const path = pathTo(tree, bestTerminal(tree) as number);
      const text = path.map((n) => n.text).join('');
      expect(text).not.toContain('\n\n');
      if (path.length === 2) expect(text.trimEnd()).toBe(CASES[i].answer);
      expect(parseAnswer(text).probability).not.toBeNull();
      expect(parseSteps(text)).toHaveLength(path.length - 1);
      // Paths at full depth are made to conclude.
      for (const n of tree.nodes) if (n.depth === 3) expect(n.text.trimStart().startsWith(TAGS.finalSubquestion[0])).toBe(true);
    });
    await policy.backend.destroy();
  });
});
