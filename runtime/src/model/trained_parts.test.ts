/**
 * Plan. Weights that are trained in several flat buffers and blocks of rows, because the device binds little at once; against the same model
 * in one buffer, tied and untied, on the reference, wasm and webgpu.
 *  - log-probabilities and every gradient through both heads, to 1e-5 relative RMS: only the order of sums over blocks differs;
 *  - with the same gradients and no clipping, AdamW gives the same bits; with clipping, the norm is that of all buffers;
 *  - checkpoints are the same bytes, and each loads into the other; training goes on alike;
 *  - a matrix in blocks has no whole value; stores of other layouts are not copied; no memory is left over.
 */
import { Random, relRms } from '@eagrl/testing';
import { describe, expect, test } from 'vitest';
import { Context } from '../context.ts';
import type { DeviceName } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { loadOptimizer, loadParams, saveOptimizer, saveParams } from '../io/checkpoint.ts';
import { inMemory, parseSafetensors, writeSafetensors } from '../io/safetensors.ts';
import { lmHeadCrossEntropy, lmHeadLogprobs } from '../ops/lm_head.ts';
import { AdamW } from '../optim/adamw.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { sizeOf } from '../tensor.ts';
import { tinyConfig, tinyGroups, withBinding } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';

const device = sharedDevices(1);
const context = async (name: DeviceName) => new Context(await device(name));

const VOCAB = 203;
/** 64 rows of the widest matrix, 96 columns: 6,144 numbers. The embedding (203 x 72) and two matrices of each MLP (96 x 72) are cut. */
const BINDING = 4 * 64 * 96;
const random = new Random('trained parts');
const pack = packGroups(tinyGroups(random, VOCAB));
const weights = random.normals(pack.rows.length);

function build(ctx: Context, tied: boolean): Transformer {
  const config = tinyConfig({ vocab_size: VOCAB, hidden_size: 72, intermediate_size: 96, tie_word_embeddings: tied });
  const model = new Transformer(ctx, config);
  const seeded = new Random('weights');
  for (const { name, shape } of model.params.list) {
    const values = seeded.normals(sizeOf(shape), shape.length === 2 ? 1 / Math.sqrt(shape[1]) : 0.1);
    model.params.write(name, name.includes('norm') ? values.map((v) => 1 + v) : values);
  }
  return model;
}
const buildCut = (ctx: Context, tied: boolean): Transformer => withBinding(ctx, BINDING, () => build(ctx, tied));

/** One forward and backward pass that ends in cross-entropy; gradients add up. */
async function losses(ctx: Context, model: Transformer): Promise<Float32Array> {
  const tape = new Tape(ctx);
  const read = ctx.scope(() => {
    const found = ctx.read(lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights));
    tape.backward();
    return found;
  });
  return read;
}

async function logprobs(ctx: Context, model: Transformer): Promise<Float32Array> {
  const tape = new Tape(ctx);
  return ctx.scope(() => {
    const { logprobs: found } = lmHeadLogprobs(ctx, model.forward(pack), model.headWeight, pack.targets);
    const read = ctx.read(found);
    tape.backward(found, ctx.persist(ctx.from(weights)));
    return read;
  });
}

describe.each<DeviceName>(['reference', 'wasm', 'webgpu-software'])('%s', (name) => {
  test.each([true, false])('tied %s: log-probabilities, losses and every gradient', async (tied) => {
    const ctx = await context(name);
    const before = ctx.backend.stats.liveBytes;
    const [whole, cut] = [build(ctx, tied), buildCut(ctx, tied)];
    expect(whole.params.values.length).toBe(1);
    expect(cut.params.values.length).toBeGreaterThan(8);
    expect(cut.params.values.every((t) => 4 * t.slice.length <= BINDING)).toBe(true);
    expect(cut.params.get('model.embed_tokens.weight').parts.map((p) => [p.start, p.rows])).toEqual([
      [0, 64],
      [64, 64],
      [128, 64],
      [192, 11],
    ]);
    expect(cut.params.get('model.layers.1.mlp.up_proj.weight').parts.map((p) => p.rows)).toEqual([64, 32]);
    for (const pass of [losses, logprobs]) {
      for (const model of [whole, cut]) {
        model.params.enableGrad();
        model.params.zeroGrad();
      }
      expect(relRms(await pass(ctx, cut), await pass(ctx, whole))).toBeLessThan(1e-5);
      const [got, want] = [await cut.params.readGrads(), await whole.params.readGrads()];
      expect([...got.keys()]).toEqual([...want.keys()]);
      for (const [param, grad] of want) {
        // The key bias has a gradient of 0 but for rounding.
        if (param.endsWith('k_proj.bias')) continue;
        expect(relRms(got.get(param) as Float32Array, grad), param).toBeLessThan(1e-5);
        expect(Math.max(...grad.map(Math.abs)), param).toBeGreaterThan(1e-4);
      }
    }
    whole.destroy();
    cut.destroy();
    expect(ctx.backend.stats.liveBytes).toBe(before);
  });

  test('AdamW: the same bits from the same gradients; the norm counts all buffers', async () => {
    const ctx = await context(name);
    const models = [build(ctx, true), buildCut(ctx, true)];
    const unclipped = models.map(({ params }) => new AdamW(params, { weightDecay: 0.1, maxGradNorm: 0 }));
    for (let step = 1; step <= 3; step++) {
      const grads = new Map(models[0].params.list.map(({ name: p, shape }) => [p, new Random(`${p} ${step}`).normals(sizeOf(shape))]));
      const norm = Math.sqrt([...grads.values()].reduce((s, g) => s + g.reduce((a, x) => a + x * x, 0), 0));
      for (const [i, { params }] of models.entries()) {
        for (const p of params.list) params.writeFrom(p, 0, grads.get(p.name) as Float32Array, params.grads);
        expect((await unclipped[i].step({ lr: 0.01 }).gradNorm()) / norm).toBeCloseTo(1, 5);
      }
    }
    expect(await models[1].params.read()).toEqual(await models[0].params.read());
    for (const [i, model] of models.entries()) {
      unclipped[i].destroy();
      model.destroy();
    }
  });
});

test('training and checkpoints: the same bytes, each loads into the other and goes on alike', async () => {
  const ctx = await context('wasm');
  const before = ctx.backend.stats.liveBytes;
  const models = [build(ctx, true), buildCut(ctx, true)];
  const options = { weightDecay: 0.1, eps: 1e-4 };
  const train = async (model: Transformer, optimizer: AdamW, steps: number) => {
    const means: number[] = [];
    for (let i = 0; i < steps; i++) {
      model.params.zeroGrad();
      means.push((await losses(ctx, model)).reduce((s, x) => s + x, 0));
      optimizer.step({ lr: 1e-3 });
    }
    return means;
  };
  const save = async (model: Transformer, optimizer: AdamW) => {
    const { tensors, metadata } = saveOptimizer(optimizer);
    const weights = writeSafetensors(await inMemory(saveParams(model.params)));
    return { weights, state: writeSafetensors(await inMemory(tensors), metadata) };
  };
  const load = (model: Transformer, optimizer: AdamW, { weights: file, state }: Awaited<ReturnType<typeof save>>) => {
    loadParams(model.params, parseSafetensors(file).tensors);
    const { tensors, metadata } = parseSafetensors(state);
    loadOptimizer(optimizer, tensors, metadata);
  };
  const optimizers = models.map(({ params }) => new AdamW(params, options));
  const [whole, cut] = await Promise.all(models.map((m, i) => train(m, optimizers[i], 5)));
  expect(relRms(cut, whole)).toBeLessThan(1e-5);
  // The state of the whole, in the model that is cut: what it writes is what it read.
  const kept = await save(models[0], optimizers[0]);
  load(models[1], optimizers[1], kept);
  expect(await save(models[1], optimizers[1])).toEqual(kept);
  await train(models[1], optimizers[1], 1);
  const later = await save(models[1], optimizers[1]);
  await train(models[0], optimizers[0], 1);
  load(models[0], optimizers[0], later);
  expect(await save(models[0], optimizers[0])).toEqual(later);
  expect(relRms(await train(models[0], optimizers[0], 3), await train(models[1], optimizers[1], 3))).toBeLessThan(1e-5);
  expect(() => models[0].params.copyFrom(models[1].params)).toThrow(/copyFrom: the two stores hold different parameters/);
  expect(() => models[1].params.get('model.embed_tokens.weight').value).toThrow(/'model.embed_tokens.weight' lies in 4 blocks of rows/);
  for (const o of optimizers) o.destroy();
  for (const m of models) m.destroy();
  expect(ctx.backend.stats.liveBytes).toBe(before);
});
