/**
 * Plan. The workload of a config: tokens of a pass are those of a mini-batch or of a batch, at most MAX_TOKENS or the longest prompt with a
 * completion; the reference counts with a KL term, search and evaluation with their own batches; the KV cache is planned whole, not capped;
 * the command prints both plans from config.json alone, as text and JSON, and refuses what it cannot plan with exit code 2.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DeviceInfo } from '@eagrl/runtime';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { main } from '../commands/main.ts';
import { resolveConfig } from '../config/resolve.ts';
import { planModel, planText, workloadOf } from './plan.ts';
import { MAX_TOKENS } from './train_loop.ts';

const folder = mkdtempSync(join(tmpdir(), 'eagrl-plan-'));
const json = {
  model_type: 'qwen2',
  vocab_size: 151_936,
  hidden_size: 896,
  intermediate_size: 4864,
  num_hidden_layers: 24,
  num_attention_heads: 14,
  num_key_value_heads: 2,
  max_position_embeddings: 32_768,
  tie_word_embeddings: true,
};
writeFileSync(join(folder, 'config.json'), JSON.stringify(json));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());

const small = {
  rl: { num_generations: 4, prompts_per_step: 2, mini_batches: 2, max_completion_length: 64 },
  sft: { train_batch_size: 1 },
  mcts: { num_simulations: 1, num_children: 2, max_depth: 2, max_step_tokens: 32, batch_size: 1 },
  eval: { max_completion_length: 64, batch_size: 1 },
};

/** The whole memory of WebAssembly. */
const wasm = {
  backend: 'wasm',
  adapter: 'WebAssembly SIMD',
  threads: 1,
  features: [],
  maxBufferBytes: 2 ** 32,
  maxBindingBytes: 2 ** 32,
} as const;

it('workload: a mini-batch of rollouts, or a batch of examples, at most MAX_TOKENS', () => {
  const rl = workloadOf(resolveConfig(small), 512, false);
  expect(rl).toMatchObject({ tokensPerPass: 512 + 4 * 64, targetsPerPass: 4 * 64, prompts: 2, reference: false, lora: undefined });
  // A trajectory of the search has up to 2 x 32 tokens and 64 beside its steps.
  expect(workloadOf(resolveConfig({ ...small, sft: { train_batch_size: 3 } }), 512, false).tokensPerPass).toBe(3 * (512 + 128));
  expect(workloadOf(resolveConfig({}), 512, false).tokensPerPass).toBe(MAX_TOKENS);
  // The authors' own prompt form: one completion must fit a pass.
  expect(workloadOf(resolveConfig({}), 3900, false).tokensPerPass).toBe(3900 + 1024);
  const peft = workloadOf(resolveConfig({ ...small, model: { use_peft: true, lora_r: 8 }, rl: { ...small.rl, beta: 0.01 } }), 512, true);
  expect(peft).toMatchObject({ packing: true, reference: true, lora: { r: 8, alpha: 32, dropout: 0 } });
});

it('Qwen2.5-0.5B: weights once and gradients of the adapter alone', () => {
  const plans = planModel(folder, resolveConfig(small), 512);
  const { full, lora } = plans;
  const line = (plan: typeof full, name: string) => plan.lines.find((l) => l.name === name)?.bytes;
  expect([line(full, 'weights'), line(full, 'gradients'), line(full, 'adapter')]).toEqual([4 * 494_032_768, 4 * 494_032_768, undefined]);
  // r (in + out) of the seven projections: q and o 896 x 896, k and v 896 x 128, three of 896 x 4864.
  expect(line(lora, 'gradients')).toBe(4 * 16 * 24 * (2 * 1792 + 2 * 1024 + 3 * 5760));
  const text = planText(plans);
  expect(text[0]).toBe('full training: 9.7 GB');
  expect(text).toContain('LoRA (model.use_peft): 3.9 GB');
  expect(text.find((l) => l.startsWith('  KV cache'))).toContain('2 prompts of 512 shared by 4 completions of 64');
});

it('the KV cache: what is generated is planned whole, and cut where it does not fit', () => {
  const cache = (overrides: object, promptLength: number, info?: DeviceInfo) => {
    const { lora } = planModel(folder, resolveConfig({ model: { use_peft: true, dtype: 'int4' }, ...overrides }), promptLength, info);
    return { ...lora, line: lora.lines.find((l) => l.name === 'KV cache') };
  };
  const few = { mcts: { ...small.mcts, batch_size: 1 }, eval: { batch_size: 1 } };
  // A token takes 24 layers x 2 x 128 x 4 bytes, a block 4 of them: 16 x (175 + 8 x 257) blocks.
  const block = 4 * 24 * 2 * 128 * 4;
  expect(cache(few, 700).line).toEqual({
    name: 'KV cache',
    bytes: block * Math.floor(2 ** 30 / block),
    how: `16 prompts of 700 shared by 8 completions of 1024, 24 layers x 2 x 128 x 4 are ${((16 * (175 + 8 * 257) * block) / 1e9).toFixed(1)} GB: sampled in parts`,
  });
  // The default search is larger: 64 trees, 3 children, 5 + 9 x 4 expansions, and the probes of one.
  expect(cache({}, 700).line?.how).toMatch(/^64 prompts of 700 with trees of 128 steps of 80, .* are 18\.0 GB: sampled in parts$/);
  expect(cache({ ...few, eval: { batch_size: 512, num_samples: 2 } }, 700).line?.how).toMatch(
    /^256 prompts of 700 shared by 2 completions of 1024/,
  );
  // What fits is said without more.
  expect(cache(small, 512).line).toMatchObject({ bytes: 512 * block, how: expect.stringMatching(/ x 4$/) });
  // What cannot be cut has room whatever the limit is: 7,500 blocks of a prompt, 128 x 21 of its tree.
  expect(cache({}, 30_000).cacheBytes).toBe(block * Math.floor(2 ** 30 / block));
  expect(cache({ mcts: { num_simulations: 40 } }, 30_000).cacheBytes).toBe(block * (7500 + (3 * (5 + 39 * 4) + 5) * 21));
  // WebAssembly has one memory: the cache takes two thirds of what the rest leaves.
  const little = { ...wasm, maxBufferBytes: 3.2e9 };
  const plan = cache({ ...small, mcts: {} }, 512, little);
  const rest = plan.bytes - (plan.line?.bytes as number);
  expect(plan.line?.bytes).toBe(block * Math.floor(((2 / 3) * (little.maxBufferBytes - rest)) / block));
  expect(plan.cacheBytes).toBe(plan.line?.bytes);
});

it('a frozen base of fewer bits: only the weights shrink, and the verdict says so', () => {
  const peft = { ...small, model: { use_peft: true, dtype: 'int4' }, device: 'wasm' };
  const { lora, loraBytes } = planModel(folder, resolveConfig(peft), 512);
  // 493,961,216 weights in matrices at 4.5 bits, 71,552 in norms and biases at 4 bytes.
  expect(lora.lines[0]).toMatchObject({ name: 'weights', bytes: (493_961_216 * 4.5) / 8 + 4 * 71_552 });
  expect(loraBytes.int4).toBe(lora.bytes);
  expect(loraBytes.f32).toBe(planModel(folder, resolveConfig({ ...peft, model: { use_peft: true } }), 512).lora.bytes);
  const text = planText(planModel(folder, resolveConfig(peft), 512), wasm);
  expect(text.filter((l) => l.startsWith('  needs'))).toEqual([
    expect.stringMatching(/has 4.3 GB in one memory; try model.use_peft true with model.dtype int4/),
    expect.stringMatching(/needs 278.\d MB for weights .* has 4.3 GB in one memory: it fits/),
  ]);
  expect(text.at(-1)).toMatch(/^ {2}by model.dtype: f32 4.4 GB, f16 .* GB, int8 .* GB, int4 .* GB$/);
});

it('eagrl plan: text, JSON, refusals', async () => {
  let out = '';
  let err = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    out += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    err += text;
    return true;
  });
  const flags = ['--rl.max_completion_length', '64'];
  expect(await main(['plan', folder, '--prompt-length', '700', ...flags])).toBe(0);
  expect(out).toMatch(/^full training: .*\n {2}weights +2\.0 GB {2}494,032,768 x 4\n/);
  out = '';
  expect(await main(['plan', join(folder, 'config.json'), '--json', ...flags])).toBe(0);
  expect(JSON.parse(out).full.lines[0]).toMatchObject({ name: 'weights', bytes: 4 * 494_032_768 });
  out = '';
  expect(await main(['plan', folder, '--device', 'reference', '--json', ...flags])).toBe(0);
  expect(JSON.parse(out).lora.verdict).toEqual({ fits: true, text: expect.stringMatching(/f64 reference in TypeScript binds at most/) });
  for (const [words, message] of [
    [[join(folder, 'none')], /plan: no .*none; give a model folder/],
    [[folder, '--prompt-length', 'many'], /--prompt-length: expected a whole number above 0, got many/],
    [[folder, '--prompt-length', '32768'], /exceed the model's context of 32768/],
    [[folder, '--model.lora_target_modules', '[c_attn]'], /target_modules names "c_attn"/],
    [[folder, '--rl.no_such_key', '1'], /unknown key rl.no_such_key/],
  ] as const) {
    err = '';
    expect(await main(['plan', ...words])).toBe(2);
    expect(err).toMatch(message);
  }
});
