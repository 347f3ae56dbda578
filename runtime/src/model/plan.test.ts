/**
 * Plan. The planned sums against the peak that the wasm device counts in a real step, full and LoRA, tied and untied, and in generation:
 * within 10 %, with weights of fewer bits too; the same for generation alone. Published shapes give the figures one can work out by hand, those of the KV cache too. What cannot fit is refused with the arithmetic.
 */
import type { WeightType } from '@eagrl/kernels';
import { Random } from '@eagrl/testing';
import { describe, expect, test } from 'vitest';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { Engine } from '../generate/engine.ts';
import { lmHeadCrossEntropy } from '../ops/lm_head.ts';
import { AdamW } from '../optim/adamw.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { ModelConfigError, parseTransformerConfig } from './config.ts';
import type { LoraConfig } from './lora.ts';
import { checkFits, planGeneration, planMemory, showBytes, type Workload } from './plan.ts';
import { Transformer } from './transformer.ts';

const shape = {
  vocab_size: 1024,
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 24,
  max_position_embeddings: 512,
};
const lora: LoraConfig = { r: 4, alpha: 8, dropout: 0.1, target_modules: ['q_proj', 'v_proj', 'down_proj'] };

describe.each<[string, object, LoraConfig | undefined, WeightType, boolean?]>([
  ['qwen2 tied, full', { model_type: 'qwen2', tie_word_embeddings: true }, undefined, 'f32'],
  ['qwen3 untied, LoRA', { model_type: 'qwen3' }, lora, 'f32'],
  ['qwen2 tied, LoRA beside int4', { model_type: 'qwen2', tie_word_embeddings: true }, lora, 'int4'],
  ['llama untied, LoRA beside f16', { model_type: 'llama' }, lora, 'f16'],
  ['llama, full', { model_type: 'llama' }, undefined, 'f32'],
  ['llama, full, checkpointed', { model_type: 'llama', num_hidden_layers: 6 }, undefined, 'f32', true],
  ['qwen3, LoRA, checkpointed', { model_type: 'qwen3', num_hidden_layers: 6 }, lora, 'f32', true],
  ['qwen2, LoRA beside int8, checkpointed', { model_type: 'qwen2', num_hidden_layers: 6 }, lora, 'int8', true],
])('%s', (_title, family, adapter, dtype, gradientCheckpointing = false) => {
  const config = parseTransformerConfig({ ...shape, ...family });
  const random = new Random('plan');
  const work: Workload = {
    lora: adapter,
    dtype,
    packing: true,
    gradientCheckpointing,
    tokensPerPass: 64 + 4 * 48,
    targetsPerPass: 4 * 48,
    prompts: 1,
    numGenerations: 4,
    promptLength: 64,
    completionLength: 48,
  };
  const plan = planMemory(config, work);

  test('a step and a generation take what was planned, to 10 %', async () => {
    const backend = await openDevice({ device: 'wasm', threads: 1 });
    const ctx = new Context(backend);
    const model = new Transformer(ctx, config, adapter, dtype);
    model.init(1);
    model.gradientCheckpointing = gradientCheckpointing;
    if (adapter) model.initAdapter(1);
    const optimizer = new AdamW(model.trainable);
    const engine = new Engine(ctx, model);
    const prompt = random.ints(64, 1024);
    const [root] = engine.open([prompt]);
    const seqs = [root, engine.fork(root), engine.fork(root), engine.fork(root)];
    const requests = seqs.map((seq, stream) => ({ seq, maxTokens: 48, stopTokens: [], seed: 1, stream }));
    const completions = (await engine.sample(requests)).map((c) => c.tokens);
    const pack = packGroups([{ prompt, completions }]);
    expect([pack.ids.length, pack.rows.length]).toEqual([work.tokensPerPass, work.targetsPerPass]);
    const tape = new Tape(ctx);
    ctx.scope(() => {
      const hidden = model.forward(pack, { seed: 1, stream: 1 });
      lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, new Float32Array(pack.rows.length).fill(1));
      tape.backward();
    });
    await optimizer.step({ lr: 1e-3 }).gradNorm();
    const ratio = backend.stats.peakBytes / plan.bytes;
    expect(ratio, `${showBytes(backend.stats.peakBytes)} of ${showBytes(plan.bytes)} planned`).toBeGreaterThan(0.9);
    expect(ratio, `${showBytes(backend.stats.peakBytes)} of ${showBytes(plan.bytes)} planned`).toBeLessThan(1.1);
    await backend.destroy();
  });
});

test.each<[string, object, LoraConfig | undefined, WeightType]>([
  ['qwen2 tied, f32', { model_type: 'qwen2', tie_word_embeddings: true }, undefined, 'f32'],
  ['qwen3 untied, int4 and an adapter', { model_type: 'qwen3' }, lora, 'int4'],
  ['llama, f16, a context that the cache grows for', { model_type: 'llama', max_position_embeddings: 4096 }, undefined, 'f16'],
])('generation alone takes what was planned, to 10 %%: %s', async (_title, family, adapter, dtype) => {
  const config = parseTransformerConfig({ ...shape, ...family });
  const backend = await openDevice({ device: 'wasm', threads: 1 });
  const ctx = new Context(backend);
  const model = new Transformer(ctx, config, adapter, dtype);
  model.init(1);
  if (adapter) model.initAdapter(1);
  const engine = new Engine(ctx, model);
  const promptLength = config.max_position_embeddings - 64;
  const seqs = engine.open([new Random('generation').ints(promptLength, 1024)]);
  await engine.sample(
    seqs.map((seq) => ({ seq, maxTokens: 24, stopTokens: [], seed: 1, stream: 0 })),
    {},
  );
  const sizes = { prompts: 1, numGenerations: 1, promptLength, completionLength: 24 };
  const { bytes } = planGeneration(config, { ...sizes, lora: adapter, dtype, packing: true });
  const said = `${showBytes(backend.stats.peakBytes)} of ${showBytes(bytes)} planned`;
  expect(backend.stats.peakBytes / bytes, said).toBeGreaterThan(0.9);
  expect(backend.stats.peakBytes / bytes, said).toBeLessThan(1.1);
  await backend.destroy();
});

describe('published shapes', () => {
  const llama8b = parseTransformerConfig({
    model_type: 'llama',
    vocab_size: 128_256,
    hidden_size: 4096,
    intermediate_size: 14_336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
  });
  const work: Workload = {
    packing: false,
    tokensPerPass: 2048,
    targetsPerPass: 1024,
    prompts: 1,
    numGenerations: 8,
    promptLength: 700,
    completionLength: 150,
  };
  const bytesOf = (w: Workload, name: string) => planMemory(llama8b, w).lines.find((l) => l.name === name)?.bytes as number;

  test('Llama-3.1-8B: weights once, gradients and two moments of what is trained', () => {
    expect(bytesOf(work, 'weights')).toBe(4 * 8_030_261_248);
    expect(bytesOf(work, 'gradients')).toBe(4 * 8_030_261_248);
    const small = { ...work, lora: { ...lora, dropout: 0, target_modules: ['q_proj', 'v_proj'] } };
    // r (in + out) of q and v in 32 layers.
    expect(bytesOf(small, 'gradients')).toBe(4 * 32 * 4 * (8192 + 5120));
    // The reference shares the weights beside an adapter; without one they are copied, and 131,072 x 128 of the rotary table.
    expect(bytesOf({ ...small, reference: true }, 'reference')).toBe(4 * 32 * 4 * (8192 + 5120));
    expect(bytesOf({ ...work, reference: true }, 'reference')).toBe(4 * (8_030_261_248 + 131_072 * 128));
    // 175 prompt blocks and 8 times 38 + 1 are 487: 512 blocks of 4 tokens.
    expect(bytesOf(work, 'KV cache')).toBe(4 * 32 * 2 * 512 * 4 * 1024);
  });

  test('the KV cache: 1 GiB of what is wanted, more for what cannot be cut, less where less is left', () => {
    const line = (w: Workload, memory?: number) => {
      const { lines, cacheBytes } = planMemory(llama8b, w, memory);
      return { ...(lines.find((l) => l.name === 'KV cache') as { bytes: number; how: string }), cacheBytes };
    };
    const block = 4 * 32 * 2 * 4 * 1024;
    expect(line(work)).toMatchObject({ cacheBytes: 2 ** 30, how: expect.not.stringContaining('parts') });
    // 16 times 487 blocks.
    expect(line({ ...work, prompts: 16 })).toEqual({
      name: 'KV cache',
      bytes: 2 ** 30,
      cacheBytes: 2 ** 30,
      how: '16 prompts of 700 shared by 8 completions of 150, 32 layers x 2 x 1024 x 4 are 8.2 GB: sampled in parts',
    });
    expect(line({ ...work, completionLength: 4096 }).cacheBytes).toBe(block * (175 + 1024 + 1));
    const tree = { prompts: 4, promptLength: 700, numGenerations: 100, completionLength: 64, children: 3 };
    expect(line({ ...work, others: [tree] })).toMatchObject({
      cacheBytes: block * (175 + 100 * 17),
      how: expect.stringMatching(/^4 prompts of 700 with trees of 100 steps of 64, .* are 7.9 GB: sampled in parts$/),
    });
    expect(line(work, 32e9).cacheBytes).toBe(block * (175 + 38 + 1));
    const plan = planMemory(llama8b, { ...work, prompts: 16 });
    const rest = plan.bytes - 2 ** 30;
    expect(line({ ...work, prompts: 16 }, rest + 900e6).cacheBytes).toBe(block * Math.floor(600e6 / block));
    // A device must bind what cannot be cut, and no more: 214 blocks of keys.
    const bound = planMemory(llama8b, { ...work, prompts: 1024, tokensPerPass: 1, targetsPerPass: 1 });
    expect(bound.largest.name).not.toBe('KV cache');
  });

  test('what cannot fit is refused with the arithmetic', () => {
    const plan = planMemory(llama8b, work);
    const wasm = { backend: 'wasm', adapter: 'WebAssembly SIMD', maxBufferBytes: 2 ** 32, maxBindingBytes: 2 ** 32 } as const;
    expect(() => checkFits(plan, wasm)).toThrow(ModelConfigError);
    expect(() => checkFits(plan, wasm)).toThrow(
      /needs 32.1 GB for weights \+ 32.1 GB for gradients \+ 64.\d GB for optimiser \+ .* has 4.3 GB in one memory; try model.use_peft/,
    );
    expect(() => planMemory(llama8b, { ...work, dtype: 'int4' })).toThrow(/weights kept as int4 are not trained; plan an adapter/);
    // 64 rows of 14,336 weights are 3.7 MB: weights of any size fit; 2,048 tokens of the MLP are 117 MB, gate and up in one twice that, and parted.
    const gpu = { backend: 'webgpu', adapter: 'a GPU', maxBufferBytes: 2 ** 31, maxBindingBytes: 2 ** 27 } as const;
    checkFits(plan, gpu);
    expect(() => checkFits(planMemory(llama8b, { ...work, tokensPerPass: 4096 }), gpu)).toThrow(
      /needs a buffer of 234.9 MB for activations \(the widest of a layer\); a GPU binds at most 134.2 MB/,
    );
    const advice = (w: Workload) => planMemory(llama8b, w).advice;
    expect(advice({ ...work, lora })).toMatch(/^try model.dtype int4, model.gradient_checkpointing true, fewer/);
    expect(advice({ ...work, lora, dtype: 'int4', gradientCheckpointing: true })).toMatch(/^try fewer/);
    checkFits(planMemory(parseTransformerConfig({ ...shape, model_type: 'qwen2' }), work), wasm);
  });
});
