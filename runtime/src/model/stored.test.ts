/**
 * Plan. Models whose frozen matrices are kept as f16, int8 or int4, on the reference, wasm and webgpu.
 *  - log-probabilities and LoRA gradients are those of an f32 model with the dequantised numbers (1e-4 relative RMS);
 *  - logits against the f32 model: the error that the arithmetic allows;
 *  - cut into blocks of rows by a small binding limit, as f32 too: the same log-probabilities, gradients, greedy tokens and merged weights;
 *  - loading converts row by row and refuses what has no place; what is frozen is not trained, merged or read as f32;
 *  - no memory is left over.
 */
import { dequantize } from '@eagrl/kernels';
import { Random, relRms } from '@eagrl/testing';
import { describe, expect, test } from 'vitest';
import { Context } from '../context.ts';
import type { DeviceName } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { Engine } from '../generate/engine.ts';
import type { WeightType } from '../index.ts';
import { loadWeights } from '../io/checkpoint.ts';
import { parseSafetensors, writeSafetensors } from '../io/safetensors.ts';
import { encodeRows } from '../io/weight_format.ts';
import { lmHeadCrossEntropy, lmHeadLogprobs } from '../ops/lm_head.ts';
import { timesTransposed } from '../ops/weight.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { sizeOf } from '../tensor.ts';
import { ModelConfigError } from './config.ts';
import type { LoraConfig } from './lora.ts';
import { tinyConfig, tinyGroups, withBinding } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';
import { transformerParams } from './transformer_weights.ts';

const device = sharedDevices(2);

const VOCAB = 200;
const config = tinyConfig({ vocab_size: VOCAB, hidden_size: 72, intermediate_size: 96 });
const specs = transformerParams(config);
const lora: LoraConfig = { r: 4, alpha: 8, dropout: 0, target_modules: ['q_proj', 'v_proj', 'down_proj'] };
const PACKED = ['f16', 'int8', 'int4'] as const;

const random = new Random('stored');
/** Deviation 1 / sqrt(fan-in): activations stay of order 1. */
const numbers = new Map(
  specs.map(({ name, shape }) => {
    const values = random.normals(sizeOf(shape), shape.length === 2 ? 1 / Math.sqrt(shape[1]) : 0.1);
    return [name, name.includes('norm') ? values.map((v) => 1 + v) : values];
  }),
);
const pack = packGroups(tinyGroups(random, VOCAB));
const weights = random.normals(pack.rows.length);

/** What the format makes of the numbers. */
const kept = (dtype: WeightType): Map<string, Float32Array> =>
  new Map(
    specs.map(({ name, shape }) => {
      const values = numbers.get(name) as Float32Array;
      if (dtype === 'f32' || shape.length < 2) return [name, values];
      return [name, Float32Array.from(dequantize(dtype, encodeRows(dtype, values, shape[1], name), shape[0], shape[1]))];
    }),
  );

function build(ctx: Context, values: ReadonlyMap<string, Float32Array>, dtype: WeightType = 'f32', adapter: LoraConfig | null = lora) {
  const model = new Transformer(ctx, config, adapter ?? undefined, dtype);
  for (const [name, data] of values) (model.stored?.has(name) ? model.stored : model.params).write(name, data);
  const seeded = new Random('adapter');
  for (const p of model.adapter?.list ?? []) model.adapter?.write(p.name, seeded.normals(sizeOf(p.shape), 0.2));
  return model;
}

/** Log-probabilities of the pack and gradients of the adapter, through both heads. */
async function outcome(ctx: Context, model: Transformer) {
  model.trainable.enableGrad();
  model.trainable.zeroGrad();
  const tape = new Tape(ctx);
  const logprobs = ctx.scope(() => {
    const found = lmHeadLogprobs(ctx, model.forward(pack), model.headWeight, pack.targets).logprobs;
    const read = ctx.read(found);
    tape.backward(found, ctx.persist(ctx.from(weights)));
    return read;
  });
  const grads = await model.trainable.readGrads();
  model.trainable.zeroGrad();
  const second = new Tape(ctx);
  const losses = ctx.scope(() => {
    const read = ctx.read(lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights));
    second.backward();
    return read;
  });
  return { logprobs: await logprobs, losses: await losses, grads: [grads, await model.trainable.readGrads()] };
}

function expectSame(got: Awaited<ReturnType<typeof outcome>>, want: Awaited<ReturnType<typeof outcome>>): void {
  expect(relRms(got.logprobs, want.logprobs)).toBeLessThan(1e-5);
  expect(relRms(got.losses, want.losses)).toBeLessThan(1e-5);
  want.grads.forEach((grads, head) => {
    for (const [name, grad] of grads) {
      expect(relRms(got.grads[head].get(name) as Float32Array, grad), name).toBeLessThan(1e-4);
      expect(Math.max(...grad.map(Math.abs)), name).toBeGreaterThan(1e-3);
    }
  });
}

describe.each<DeviceName>(['reference', 'wasm', 'webgpu-software'])('%s', (name) => {
  // Shaders of every format are proven in kernels/src/qmatmul; compiling them on a CPU is slow.
  const packed = name === 'webgpu-software' ? (['int4'] as const) : PACKED;
  test.each(packed)('%s: log-probabilities and LoRA gradients of the dequantised f32 model', async (dtype) => {
    const ctx = new Context(await device(name));
    const before = ctx.backend.stats.liveBytes;
    const want = build(ctx, kept(dtype));
    const got = build(ctx, numbers, dtype);
    expectSame(await outcome(ctx, got), await outcome(ctx, want));
    got.destroy();
    want.destroy();
    expect(ctx.backend.stats.liveBytes).toBe(before);
  });

  const blocks = name === 'webgpu-software' ? (['int4'] as const) : (['f32', 'int4'] as const);
  test.each(blocks)('%s in blocks of rows: the same numbers, tokens and merged weights', async (dtype) => {
    const ctx = new Context(await device(name));
    const plain = build(ctx, kept(dtype));
    const want = await outcome(ctx, plain);
    // 64 rows of the widest matrix, 96 columns.
    const cut = withBinding(ctx, 64 * (dtype === 'f32' ? 384 : 48), () => build(ctx, numbers, dtype));
    expect(cut.weight('model.embed_tokens.weight').parts.map((p) => [p.start, p.rows])).toEqual([
      [0, 64],
      [64, 64],
      [128, 64],
      [192, 8],
    ]);
    expectSame(await outcome(ctx, cut), want);
    const tokens = await Promise.all(
      [cut, plain].map(async (model) => {
        const engine = new Engine(ctx, model);
        const seqs = engine.open([Uint32Array.of(199, 64, 3), Uint32Array.of(63, 128)]);
        const requests = seqs.map((seq, stream) => ({ seq, maxTokens: 9, stopTokens: [], seed: 1, stream }));
        const drawn = await engine.sample(requests, { temperature: 0 });
        engine.destroy();
        return drawn.map((c) => [...c.tokens]);
      }),
    );
    expect(tokens[0]).toEqual(tokens[1]);
    if (dtype === 'f32') {
      cut.mergeAdapter();
      plain.mergeAdapter();
      for (const path of ['model.layers.0.mlp.down_proj.weight', 'model.layers.1.self_attn.q_proj.weight']) {
        expect(relRms(await cut.readWeight(path), await plain.readWeight(path)), path).toBeLessThan(1e-6);
        expect(relRms(await cut.readWeight(path), numbers.get(path) as Float32Array), path).toBeGreaterThan(0.01);
      }
    }
    cut.destroy();
    plain.destroy();
  });
});

/**
 * Error of one product, relative to its size, with normal weights: f16 rounds by 2^-11 / sqrt(3) on average; a group of 32 normals
 * has its largest near 2.4 deviations, so a step s is 2.4 / qmax of one and rounding errs by s / sqrt(12): 0.0055 and 0.099. A logit
 * passes 7 products in each of 2 layers, the embedding and the head; independent errors add in squares: sqrt(16) = 4 times one.
 */
test.each([
  ['f16', 4 * 2.8e-4],
  ['int8', 4 * 0.0055],
  ['int4', 4 * 0.099],
] as const)('logits of %s differ from those of f32 by less than %f relative RMS', async (dtype, bound) => {
  const ctx = new Context(await device('wasm'));
  const logits = async (model: Transformer) => {
    const read = ctx.scope(() => {
      const hidden = model.forward(pack);
      const found = ctx.tensor([hidden.shape[0], VOCAB]);
      timesTransposed(ctx, found, hidden, model.headWeight, hidden.shape[0]);
      return ctx.read(found);
    });
    const values = await read;
    model.destroy();
    return values;
  };
  const error = relRms(await logits(build(ctx, numbers, dtype)), await logits(build(ctx, numbers)));
  expect(error).toBeLessThan(bound);
  expect(error).toBeGreaterThan(bound / 40);
});

describe('loading', () => {
  const file = (change: Partial<Record<string, Float32Array>> = {}) =>
    parseSafetensors(
      writeSafetensors(
        specs.map(({ name, shape }) => ({ name, shape, data: change[name] ?? (numbers.get(name) as Float32Array), dtype: 'F32' as const })),
      ),
    ).tensors;

  test.each(['f32', ...PACKED] as const)('a file as %s gives what writing it gives', async (dtype) => {
    const ctx = new Context(await device('wasm'));
    const loaded = new Transformer(ctx, config, lora, dtype);
    loadWeights(loaded, file());
    loaded.initAdapter(1);
    const written = build(ctx, numbers, dtype);
    written.initAdapter(1);
    expect(await outcome(ctx, loaded)).toEqual(await outcome(ctx, written));
    loaded.destroy();
    written.destroy();
  });

  test('a file that lacks a matrix, or holds what the format cannot, is refused by name', async () => {
    const ctx = new Context(await device('wasm'));
    const model = new Transformer(ctx, config, lora, 'int4');
    const tensors = new Map(file());
    tensors.delete('model.layers.1.mlp.up_proj.weight');
    expect(() => loadWeights(model, tensors)).toThrow(/Missing: 'model.layers.1.mlp.up_proj.weight'/);
    const odd = (numbers.get('model.layers.0.self_attn.o_proj.weight') as Float32Array).map((v, i) => (i === 7 ? Number.NaN : v));
    expect(() => loadWeights(model, file({ 'model.layers.0.self_attn.o_proj.weight': odd }))).toThrow(
      /'model.layers.0.self_attn.o_proj.weight': element 7 is NaN; weights must be finite/,
    );
    model.destroy();
  });
});

test('what is frozen is not trained, merged or read as f32', async () => {
  const ctx = new Context(await device('wasm'));
  const bare = build(ctx, numbers, 'int8', null);
  expect(() => bare.trainable).toThrow(ModelConfigError);
  expect(() => bare.trainable).toThrow(/weights kept as int8 are frozen; train an adapter beside them \(model.use_peft true\)/);
  const adapted = build(ctx, numbers, 'int8');
  expect(() => adapted.mergeAdapter()).toThrow(/the weights are kept as int8; merge into the original ones/);
  await expect(adapted.readWeight('model.embed_tokens.weight')).rejects.toThrow(/kept as int8; load the model as f32/);
  bare.destroy();
  adapted.destroy();
});

test('a binding that 64 rows exceed is refused with the arithmetic', async () => {
  const ctx = new Context(await device('wasm'));
  expect(() => withBinding(ctx, 6400, () => new Transformer(ctx, config, lora))).toThrow(
    /model.embed_tokens.weight: 64 rows of 72 f32 numbers are 18432 bytes; the device binds at most 6400/,
  );
});
