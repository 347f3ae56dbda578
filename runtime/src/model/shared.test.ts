/**
 * Plan. Models that share their weights and differ in their adapter, on wasm, as f32 and int4.
 *  - adapters A -> B -> none -> A give equal logits each time, those of models of their own, and memory comes back after each;
 *  - a snapshot keeps its log-probabilities, bit for bit those of a second full model, while the policy is trained; it takes an adapter's memory;
 *    without an adapter it is a copy;
 *  - weights outlive the model that made them; what others use is neither trained nor merged into.
 */
import { Random, relRms } from '@eagrl/testing';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import type { WeightType } from '../index.ts';
import { lmHeadCrossEntropy, lmHeadLogprobs } from '../ops/lm_head.ts';
import { AdamW } from '../optim/adamw.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { sizeOf } from '../tensor.ts';
import { ModelConfigError } from './config.ts';
import type { LoraConfig } from './lora.ts';
import { tinyConfig, tinyGroups } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';

const backend = await openDevice({ device: 'wasm', threads: 1 });
const ctx = new Context(backend);
afterAll(() => backend.destroy());

const config = tinyConfig();
const a: LoraConfig = { r: 4, alpha: 8, dropout: 0, target_modules: ['q_proj', 'v_proj', 'down_proj'] };
const b: LoraConfig = { r: 2, alpha: 2, dropout: 0, target_modules: ['o_proj'] };
const pack = packGroups(tinyGroups(new Random('shared')));

let before = 0;
beforeEach(() => {
  before = backend.stats.liveBytes;
});

function filled(model: Transformer, seed: string): Transformer {
  const random = new Random(seed);
  for (const p of model.adapter?.list ?? []) model.adapter?.write(p.name, random.normals(sizeOf(p.shape), 0.2));
  return model;
}

/** A model of its own. */
function alone(dtype: WeightType, lora: LoraConfig | undefined, seed: string): Transformer {
  const model = new Transformer(ctx, config, lora, dtype);
  model.init(1);
  return filled(model, seed);
}

const logprobs = (model: Transformer): Promise<Float32Array> =>
  ctx.scope(() => ctx.read(lmHeadLogprobs(ctx, model.forward(pack), model.headWeight, pack.targets).logprobs));

async function train(model: Transformer, optimizer: AdamW): Promise<void> {
  const tape = new Tape(ctx);
  model.trainable.zeroGrad();
  ctx.scope(() => {
    lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, new Float32Array(pack.rows.length).fill(1));
    tape.backward();
  });
  await optimizer.step({ lr: 0.01 }).gradNorm();
}

describe.each(['f32', 'int4'] as const)('%s', (dtype) => {
  test('adapters swapped on one base: equal each time, and no memory grows', async () => {
    const swaps: [LoraConfig | undefined, string][] = [
      [a, 'A'],
      [b, 'B'],
      [undefined, ''],
      [a, 'A'],
    ];
    const wanted: Float32Array[] = [];
    for (const [lora, seed] of swaps) {
      const own = alone(dtype, lora, seed);
      wanted.push(await logprobs(own));
      own.destroy();
    }
    expect(new Set(wanted.map(String)).size).toBe(3);
    let model = alone(dtype, b, 'first');
    const live: number[] = [];
    for (const [i, [lora, seed]] of swaps.entries()) {
      const next = filled(model.withAdapter(lora), seed);
      model.destroy();
      model = next;
      expect(await logprobs(model)).toEqual(wanted[i]);
      live.push(backend.stats.liveBytes);
    }
    expect(live[3]).toBe(live[0]);
    expect(live[2]).toBeLessThan(live[1]);
    model.destroy();
    expect(backend.stats.liveBytes).toBe(before);
  });

  test('a snapshot stays what it was, in the memory of an adapter', async () => {
    const policy = alone(dtype, a, 'A');
    const second = alone(dtype, a, 'A');
    const own = backend.stats.liveBytes;
    const reference = policy.snapshot();
    expect(backend.stats.liveBytes - own).toBe(4 * policy.trainable.length);
    const optimizer = new AdamW(policy.trainable);
    const start = await logprobs(policy);
    for (let i = 0; i < 3; i++) {
      await train(policy, optimizer);
      expect(await logprobs(reference)).toEqual(await logprobs(second));
    }
    expect(await logprobs(reference)).toEqual(start);
    expect(await logprobs(policy)).not.toEqual(start);
    expect(reference.trainable.grads).toBeUndefined();
    optimizer.destroy();
    for (const model of [policy, second, reference]) model.destroy();
    expect(backend.stats.liveBytes).toBe(before);
  });
});

test('without an adapter a snapshot is a copy', async () => {
  const policy = alone('f32', undefined, '');
  const reference = policy.snapshot();
  const start = await logprobs(reference);
  expect(start).toEqual(await logprobs(policy));
  const optimizer = new AdamW(policy.trainable);
  await train(policy, optimizer);
  expect(await logprobs(reference)).toEqual(start);
  expect(await logprobs(policy)).not.toEqual(start);
  optimizer.destroy();
  policy.destroy();
  reference.destroy();
  expect(backend.stats.liveBytes).toBe(before);
});

test('what others use is neither trained nor merged into', async () => {
  const base = alone('f32', undefined, '');
  const other = filled(base.withAdapter(a), 'A');
  expect(() => base.trainable).toThrow(ModelConfigError);
  expect(() => base.trainable).toThrow(/trainable: 2 models share these weights, and all would change; train an adapter/);
  expect(() => other.mergeAdapter()).toThrow(/mergeAdapter: 2 models share these weights/);
  expect(() => base.withAdapter({ ...a, target_modules: ['c_attn'] })).toThrow(/target_modules names "c_attn"/);
  const want = await logprobs(other);
  base.destroy();
  expect(await logprobs(other)).toEqual(want);
  other.mergeAdapter();
  expect(relRms(await logprobs(other), want)).toBeLessThan(1e-5);
  other.destroy();
  expect(backend.stats.liveBytes).toBe(before);
});
