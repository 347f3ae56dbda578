/**
 * Plan: gradient checkpointing changes memory and nothing else.
 *   losses and every gradient have the bits of the plain backward pass: full and LoRA with dropout, tied and untied, three families, on wasm;
 *     both heads; one of them on WebGPU
 *   what a pass holds at the most: with 12 layers less than a third, and one more layer costs its input alone
 *   nothing is left over after backward and discard
 */
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { Context } from '../context.ts';
import { type DeviceName, openDevice } from '../device.ts';
import { lmHeadCrossEntropy, lmHeadLogprobs } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import type { TransformerConfig } from './config.ts';
import type { LoraConfig } from './lora.ts';
import { tinyConfig, tinyGroups } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';

const lora: LoraConfig = { r: 3, alpha: 6, dropout: 0.2, target_modules: ['q_proj', 'o_proj', 'down_proj'] };

function build(ctx: Context, config: TransformerConfig, adapter?: LoraConfig): Transformer {
  const model = new Transformer(ctx, config, adapter);
  const random = new Random('checkpointing');
  for (const p of [...model.params.list, ...(model.adapter?.list ?? [])]) {
    const values = random.normals(p.value.slice.length, 0.3);
    (model.adapter?.has(p.name) ? model.adapter : model.params).write(p.name, p.name.includes('norm') ? values.map((v) => 1 + v) : values);
  }
  model.trainable.enableGrad();
  return model;
}

async function pass(ctx: Context, model: Transformer, head: 'cross_entropy' | 'logprobs') {
  const random = new Random('batch');
  const pack = packGroups(tinyGroups(random));
  const weights = random.uniforms(pack.rows.length, 0.5, 1.5);
  model.trainable.zeroGrad();
  const tape = new Tape(ctx);
  const values = ctx.scope(() => {
    const hidden = model.forward(pack, { seed: 1, stream: 2 });
    if (head === 'cross_entropy') {
      const read = ctx.read(lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, weights));
      tape.backward();
      return read;
    }
    const { logprobs } = lmHeadLogprobs(ctx, hidden, model.headWeight, pack.targets, { temperature: 0.7 });
    const read = ctx.read(logprobs);
    tape.backward(logprobs, ctx.persist(ctx.from(weights)));
    return read;
  });
  return { values: await values, grads: await model.trainable.readGrads() };
}

const cases: [DeviceName, string, TransformerConfig, LoraConfig?][] = [
  ['wasm', 'qwen2 tied', tinyConfig()],
  ['wasm', 'llama untied', tinyConfig({ model_type: 'llama', tie_word_embeddings: false, attention_bias: true, num_hidden_layers: 3 })],
  ['wasm', 'qwen3 LoRA', tinyConfig({ model_type: 'qwen3' }), lora],
  ['wasm', 'one layer', tinyConfig({ num_hidden_layers: 1 })],
  ['webgpu-software', 'qwen2 LoRA', tinyConfig(), lora],
];

test.each(cases)('%s %s: the bits of the plain backward pass', async (device, _title, config, adapter) => {
  const ctx = new Context(await openDevice({ device, threads: 2 }));
  const model = build(ctx, config, adapter);
  for (const head of device === 'wasm' ? (['cross_entropy', 'logprobs'] as const) : (['logprobs'] as const)) {
    model.gradientCheckpointing = false;
    const plain = await pass(ctx, model, head);
    const live = ctx.backend.stats.liveBytes;
    model.gradientCheckpointing = true;
    expect(await pass(ctx, model, head), head).toEqual(plain);
    for (const [name, grad] of plain.grads) expect(grad.some((g) => g !== 0) || name.includes('k_proj.bias'), name).toBe(true);
    expect(ctx.backend.stats.liveBytes).toBe(live);
    const tape = new Tape(ctx);
    ctx.scope(() => model.forward(packGroups(tinyGroups(new Random('d')))));
    tape.discard();
    expect(ctx.backend.stats.liveBytes).toBe(live);
  }
  await ctx.backend.destroy();
});

test('memory grows by the input of a layer, not by its activations', async () => {
  const T = 256;
  const peak = async (layers: number, checkpointing: boolean): Promise<number> => {
    const backend = await openDevice({ device: 'wasm', threads: 1 });
    const ctx = new Context(backend);
    const model = new Transformer(
      ctx,
      tinyConfig({ num_hidden_layers: layers, hidden_size: 32, intermediate_size: 96, max_position_embeddings: 512 }),
    );
    model.init(1);
    model.params.enableGrad();
    model.gradientCheckpointing = checkpointing;
    const before = backend.stats.liveBytes;
    const tape = new Tape(ctx);
    const random = new Random('peak');
    const pack = packGroups([{ prompt: random.ints(T - 16, 37), completions: [random.ints(16, 37)] }]);
    ctx.scope(() => {
      const hidden = model.forward(pack);
      lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, new Float32Array(16).fill(1));
      tape.backward();
    });
    const grown = backend.stats.peakBytes - before;
    await backend.destroy();
    return grown;
  };
  const [plain, twelve, thirteen] = [await peak(12, false), await peak(12, true), await peak(13, true)];
  expect(twelve / plain).toBeLessThan(1 / 3);
  expect(thirteen - twelve).toBe(4 * T * 32);
});
