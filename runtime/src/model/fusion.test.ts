/**
 * Plan: projections that read the same activation as one product. Against the same model on a device that binds so little that no two matrices share a
 * buffer, on webgpu and the reference: losses, tokens, log-probabilities and entropies bit for bit (each output is the same sum), every gradient to 1e-6
 * (that of the shared input is one sum over all outputs, not a sum of sums); with biases, without, one kv head, plain and checkpointed, under an adapter
 * elsewhere.
 * On a device that binds less than a product of all, its parts are computed apart. A layer has 10 launches in decoding, 27 in training. What may fuse and what may not: Qwen3's norms, gaps, other formats, adapters.
 */
import { Random, relRms } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { Context } from '../context.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { Engine } from '../generate/engine.ts';
import { lmHeadCrossEntropy } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { sizeOf } from '../tensor.ts';
import type { LoraConfig } from './lora.ts';
import { tinyConfig, withBinding } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';
import { fusionOf, transformerParams } from './transformer_weights.ts';

const device = sharedDevices(2);

/** Queries of 128 numbers, keys and values of 64: biases without gaps. */
const sizes = { hidden_size: 24, intermediate_size: 80, head_dim: 32 };
const lora: LoraConfig = { r: 3, alpha: 6, dropout: 0, target_modules: ['o_proj', 'down_proj'] };

interface Case {
  readonly title: string;
  readonly config?: object;
  readonly lora?: LoraConfig;
  readonly checkpointing?: boolean;
}
const cases: Case[] = [
  { title: 'qwen2' },
  { title: 'qwen2, checkpointed', checkpointing: true },
  { title: 'llama, one kv head', config: { model_type: 'llama', num_key_value_heads: 1, head_dim: 8, intermediate_size: 40 } },
  { title: 'qwen2, an adapter elsewhere', lora },
];

/** `apart`: gate and up, and queries and values, in other buffers each. */
function build(ctx: Context, c: Case, apart: boolean): Transformer {
  const config = tinyConfig({ ...sizes, ...c.config });
  expect(fusionOf(config, 'f32', ctx.backend.kind)).toEqual({ qkv: true, gateUp: true });
  const largest = Math.max(...transformerParams(config).map(({ shape }) => sizeOf(shape)));
  const make = () => new Transformer(ctx, config, c.lora);
  const model = apart ? withBinding(ctx, 4 * largest, make) : make();
  const bufferOf = (path: string) => model.params.get(`model.layers.0.${path}.weight`).parts[0].arena;
  expect([bufferOf('mlp.gate_proj') !== bufferOf('mlp.up_proj'), bufferOf('self_attn.q_proj') !== bufferOf('self_attn.v_proj')]).toEqual([
    apart,
    apart,
  ]);
  model.init(1);
  const random = new Random('fusion');
  for (const { name, shape } of model.params.list) if (name.endsWith('.bias')) model.params.write(name, random.normals(sizeOf(shape), 0.1));
  for (const { name, shape } of model.adapter?.list ?? []) model.adapter?.write(name, random.normals(sizeOf(shape), 0.3));
  model.trainable.enableGrad();
  model.gradientCheckpointing = c.checkpointing === true;
  return model;
}

async function train(ctx: Context, model: Transformer) {
  const random = new Random('batch');
  const pack = packGroups([{ prompt: random.ints(20, 37), completions: [random.ints(9, 37), random.ints(18, 37)] }]);
  model.trainable.zeroGrad();
  const before = ctx.backend.stats.dispatches;
  const tape = new Tape(ctx);
  const losses = await ctx.scope(() => {
    const weights = random.uniforms(pack.rows.length, 0.5, 1.5);
    const read = ctx.read(lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights));
    tape.backward();
    return read;
  });
  return { losses, launches: ctx.backend.stats.dispatches - before, grads: await model.trainable.readGrads() };
}

async function generate(ctx: Context, model: Transformer) {
  const engine = new Engine(ctx, model);
  const random = new Random('prompts');
  const seqs = engine.open([random.ints(30, 37), random.ints(4, 37)]);
  const requests = seqs.map((seq, stream) => ({ seq, maxTokens: 6, stopTokens: [], seed: 1, stream }));
  const drawn = await engine.sample(requests, { temperature: 0.8 });
  engine.destroy();
  return drawn;
}

for (const name of ['reference', 'webgpu-software'] as const) {
  test.each(cases)(`fusion ${name} $title: the results of separate products`, async (c) => {
    const ctx = new Context(await device(name));
    const [fused, apart] = [build(ctx, c, false), build(ctx, c, true)];
    const [one, other] = [await train(ctx, fused), await train(ctx, apart)];
    expect(one.losses).toEqual(other.losses);
    for (const [param, grad] of one.grads) {
      const want = other.grads.get(param) as Float32Array;
      expect(relRms(grad, want), param).toBeLessThan(1e-6);
      expect(
        want.some((g) => g !== 0),
        param,
      ).toBe(true);
    }
    expect(one.launches).toBeLessThan(other.launches);
    expect(await generate(ctx, fused)).toEqual(await generate(ctx, apart));
    fused.destroy();
    apart.destroy();
  });
}

test.each([
  { binds: 47 * 256 * 4, launches: 'as one' },
  { binds: 47 * 256 * 4 - 1, launches: 'in between' },
  // The last layer's MLP has 27 rows.
  { binds: 27 * 160 * 4 - 1, launches: 'apart' },
])('a device that binds $binds bytes: what is too wide in one is computed apart', async ({ binds, launches }) => {
  const ctx = new Context(await device('webgpu-software'));
  const [fused, separate] = [build(ctx, cases[0], false), build(ctx, cases[0], true)];
  const { maxBindingBytes } = ctx.backend.info;
  const one = await train(ctx, fused);
  Object.assign(ctx.backend.info, { maxBindingBytes: binds });
  const [bound, apart] = [await train(ctx, fused), await train(ctx, separate)];
  Object.assign(ctx.backend.info, { maxBindingBytes });
  expect(bound.losses).toEqual(one.losses);
  if (launches === 'as one') expect(bound).toEqual(one);
  else if (launches === 'apart') expect(bound).toEqual(apart);
  else expect([bound.launches > one.launches, bound.launches < apart.launches]).toEqual([true, true]);
  fused.destroy();
  separate.destroy();
});

test('a layer has 10 launches in decoding, 27 in training', async () => {
  const ctx = new Context(await device('reference'));
  const count = async (layers: number) => {
    const model = build(ctx, { title: '', config: { num_hidden_layers: layers } }, false);
    const { launches: training } = await train(ctx, model);
    const before = ctx.backend.stats.dispatches;
    const engine = new Engine(ctx, model);
    const [seq] = engine.open([Uint32Array.of(1, 2, 3)]);
    await engine.sample([{ seq, maxTokens: 5, stopTokens: [], seed: 1, stream: 0 }]);
    engine.destroy();
    model.destroy();
    return { training, decoding: ctx.backend.stats.dispatches - before };
  };
  const [two, three] = [await count(2), await count(3)];
  expect(three.training - two.training).toBe(27);
  // All of the prompt but its last token at once, then a step for each token drawn.
  expect(three.decoding - two.decoding).toBe(10 * (1 + 5));
});

test('fuses on webgpu where all weights are f32, no norm stands in between, no gap and no adapter', () => {
  const config = tinyConfig(sizes);
  const paths = (...names: string[]) => names.map((n) => `model.layers.0.${n}`);
  expect(fusionOf(config, 'f32', 'wasm')).toEqual({ qkv: false, gateUp: false });
  expect(fusionOf(config, 'int8', 'webgpu')).toEqual({ qkv: false, gateUp: false });
  expect(fusionOf(tinyConfig({ ...sizes, model_type: 'qwen3' }), 'f32', 'webgpu')).toEqual({ qkv: false, gateUp: true });
  expect(fusionOf(tinyConfig({ ...sizes, head_dim: 8 }), 'f32', 'webgpu')).toEqual({ qkv: false, gateUp: true }); // biases of 32 and 16
  expect(fusionOf(tinyConfig({ ...sizes, intermediate_size: 41 }), 'f32', 'webgpu')).toEqual({ qkv: true, gateUp: false });
  expect(fusionOf(config, 'f32', 'webgpu', paths('self_attn.v_proj'))).toEqual({ qkv: false, gateUp: true });
  expect(fusionOf(config, 'f32', 'webgpu', paths('mlp.up_proj', 'self_attn.o_proj'))).toEqual({ qkv: true, gateUp: false });
});
