/**
 * Plan: the epilogues of the transformer's products change launches and nothing else. Against the same model where the kernel that an epilogue
 * stands for is launched after its product, bit for bit, on wasm and webgpu:
 *   losses and every gradient: full and LoRA with dropout, beside int4, weights in blocks of rows, checkpointed, sums over more than 256;
 *   tokens, log-probabilities and entropies of what is generated, many rows in the prefill;
 *   a layer has 3 epilogues without a tape, 2 with one.
 */
import type { WeightType } from '@eagrl/kernels';
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { Context } from '../context.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { Engine } from '../generate/engine.ts';
import { lmHeadCrossEntropy } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import type { LoraConfig } from './lora.ts';
import { tinyConfig, withBinding, withoutEpilogues } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';

const device = sharedDevices(2);

const lora: LoraConfig = { r: 3, alpha: 6, dropout: 0.2, target_modules: ['q_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] };
const LAYERS = 2;

interface Case {
  readonly title: string;
  readonly model_type?: string;
  readonly lora?: LoraConfig;
  readonly dtype?: WeightType;
  readonly binding?: number;
  readonly checkpointing?: boolean;
}

const cases: Case[] = [
  { title: 'qwen2, full' },
  { title: 'qwen3, LoRA', model_type: 'qwen3', lora },
  { title: 'llama, LoRA beside int4', model_type: 'llama', lora, dtype: 'int4' },
  // 64 rows of 300 columns: gate and up are cut.
  { title: 'qwen2, in blocks of rows', binding: 4 * 64 * 300 },
  { title: 'qwen2, LoRA, checkpointed', lora, checkpointing: true },
];

function build(ctx: Context, { model_type = 'qwen2', lora: adapter, dtype, binding, checkpointing = false }: Case): Transformer {
  const config = tinyConfig({ model_type, intermediate_size: 300, num_hidden_layers: LAYERS });
  const make = () => new Transformer(ctx, config, adapter, dtype);
  const model = binding ? withBinding(ctx, binding, make) : make();
  model.init(1);
  const random = new Random('epilogues');
  for (const p of model.adapter?.list ?? []) model.adapter?.write(p.name, random.normals(p.value.slice.length, 0.3));
  model.trainable.enableGrad();
  model.gradientCheckpointing = checkpointing;
  return model;
}

/** Losses and gradients of a batch of more rows than wasm's few. */
async function pass(ctx: Context, model: Transformer) {
  const random = new Random('batch');
  const tokens = (n: number) => random.ints(n, 37);
  const pack = packGroups([{ prompt: tokens(20), completions: [tokens(9), tokens(18)] }]);
  model.trainable.zeroGrad();
  const tape = new Tape(ctx);
  const values = await ctx.scope(() => {
    const hidden = model.forward(pack, { seed: 1, stream: 2 });
    const weights = random.uniforms(pack.rows.length, 0.5, 1.5);
    const read = ctx.read(lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, weights));
    tape.backward();
    return read;
  });
  return { values, grads: await model.trainable.readGrads() };
}

const STEPS = 5;

async function generate(ctx: Context, model: Transformer) {
  const engine = new Engine(ctx, model);
  const random = new Random('prompts');
  const seqs = engine.open([random.ints(30, 37), random.ints(4, 37)]);
  const requests = seqs.map((seq, stream) => ({ seq, maxTokens: STEPS, stopTokens: [], seed: 1, stream }));
  const drawn = await engine.sample(requests, { temperature: 0.8 });
  engine.destroy();
  return drawn;
}

for (const name of ['wasm', 'webgpu-software'] as const) {
  test.each(cases)(`epilogues ${name} $title: the bits of separate kernels`, async (c) => {
    const ctx = new Context(await device(name));
    const { backend } = ctx;
    const model = build(ctx, c);
    const trained = await pass(ctx, model);
    const apart = await withoutEpilogues(backend, () => pass(ctx, model));
    expect(apart.result).toEqual(trained);
    for (const [param, grad] of trained.grads) expect(grad.some((g) => g !== 0) || param.includes('k_proj.bias'), param).toBe(true);
    // Checkpointing computes a layer twice, first without a tape; weights in blocks are several products.
    if (!c.binding) expect(apart.separated).toBe(LAYERS * (c.checkpointing ? 3 + 2 : 2));
    const drawn = await generate(ctx, model);
    const drawnApart = await withoutEpilogues(backend, () => generate(ctx, model));
    expect(drawnApart.result).toEqual(drawn);
    expect(drawnApart.separated).toBeGreaterThanOrEqual(3 * LAYERS);
    model.destroy();
  });
}

test('epilogues wasm: a layer has 13 launches in decoding', async () => {
  const backend = await device('wasm');
  const ctx = new Context(backend);
  const launches = async (layers: number) => {
    const model = new Transformer(ctx, tinyConfig({ num_hidden_layers: layers }));
    model.init(1);
    const engine = new Engine(ctx, model);
    const [seq] = engine.open([Uint32Array.of(1, 2, 3)]);
    const before = backend.stats.dispatches;
    await engine.sample([{ seq, maxTokens: STEPS, stopTokens: [], seed: 1, stream: 0 }]);
    const made = backend.stats.dispatches - before;
    engine.destroy();
    model.destroy();
    return made;
  };
  const [two, three] = [await launches(2), await launches(3)];
  // The last token drawn is not fed.
  expect((three - two) % 13).toBe(0);
  expect([STEPS - 1, STEPS]).toContain((three - two) / 13);
});
