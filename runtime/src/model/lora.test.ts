/**
 * Plan. Against PyTorch and PEFT: test/golden/transformer.test.ts. Here: gradients of both matrices with dropout equal finite differences
 * on the f64 reference; a draw decides the mask; the base's gradients do not exist; names, paths and start of an adapter;
 * adapter_config.json there and back, and what of it is refused.
 */
import { assertClose, Random, TOLERANCE } from '@eagrl/testing';
import { afterAll, describe, expect, test } from 'vitest';
import type { ReferenceBackend } from '../backend/reference.ts';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { lmHeadLogprobs } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import type { Tensor } from '../tensor.ts';
import { ModelConfigError } from './config.ts';
import { adapterConfig, LORA_MODULES, type LoraConfig, loraParams, parseAdapterConfig } from './lora.ts';
import { tinyConfig, tinyGroups } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';
import { transformerParams } from './transformer_weights.ts';

const opened = await openDevice({ device: 'reference' });
const ctx = new Context(opened);
afterAll(() => opened.destroy());

const tiny = transformerParams(tinyConfig());
const lora: LoraConfig = { r: 3, alpha: 6, dropout: 0.25, target_modules: ['q_proj', 'o_proj', 'down_proj'] };
function build(): Transformer {
  const model = new Transformer(ctx, tinyConfig(), lora);
  const random = new Random('lora');
  for (const store of [model.params, model.trainable]) {
    for (const p of store.list) {
      const values = random.normals(p.value.slice.length, 0.3);
      store.write(p.name, p.name.includes('norm') ? values.map((v) => 1 + v) : values);
    }
  }
  return model;
}
const random = new Random('lora batch');
const pack = packGroups(tinyGroups(random));
const weights = random.normals(pack.rows.length);

/** Weighted sum of log-probabilities under one draw. */
function objective(model: Transformer, stream: number): Tensor {
  const rows = model.forward(pack, { seed: 5, stream });
  return lmHeadLogprobs(ctx, rows, model.headWeight, pack.targets).logprobs;
}

test('gradients of A and B with dropout equal finite differences; nothing else has one', async () => {
  const model = build();
  const backend = ctx.backend as ReferenceBackend;
  model.trainable.enableGrad();
  const tape = new Tape(ctx);
  ctx.scope(() => tape.backward(objective(model, 2), ctx.persist(ctx.from(weights))));
  const loss = () => ctx.scope(() => backend.values(objective(model, 2).slice).reduce((sum, v, n) => sum + v * weights[n], 0));
  expect(model.params.grads).toBeUndefined();
  expect(model.trainable.list.length).toBe(2 * 3 * model.config.num_hidden_layers);
  for (const p of model.trainable.list) {
    const values = backend.values(p.value.slice);
    const grad = backend.values((p.grad as Tensor).slice);
    const start = values.slice();
    const direction = start.map(() => random.normal());
    const at = (step: number) => {
      values.set(start.map((v, i) => v + step * direction[i]));
      return loss();
    };
    const slope = (at(1e-5) - at(-1e-5)) / 2e-5;
    values.set(start);
    const want = grad.reduce((sum, g, i) => sum + g * direction[i], 0);
    assertClose([slope], [want], { ...TOLERANCE.finiteDifference, label: p.name });
    expect(Math.max(...grad.map(Math.abs)), p.name).toBeGreaterThan(0);
  }
  model.destroy();
});

test('a draw decides what is dropped; without one nothing is', async () => {
  const model = build();
  const of = (stream: number) => ctx.scope(() => ctx.read(objective(model, stream)));
  const whole = () => ctx.scope(() => ctx.read(lmHeadLogprobs(ctx, model.forward(pack), model.headWeight, pack.targets).logprobs));
  expect(await of(1)).toEqual(await of(1));
  expect(await of(1)).not.toEqual(await of(2));
  expect(await whole()).toEqual(await whole());
  expect(await whole()).not.toEqual(await of(1));
  model.destroy();
});

test("names and shapes are PEFT's; one layer alone by its path", () => {
  const specs = loraParams(tiny, { ...lora, target_modules: ['layers.1.mlp.down_proj', 'v_proj'] });
  expect(specs.map((s) => [s.name, s.shape])).toEqual([
    ['base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight', [3, 24]],
    ['base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight', [16, 3]],
    ['base_model.model.model.layers.1.self_attn.v_proj.lora_A.weight', [3, 24]],
    ['base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight', [16, 3]],
    ['base_model.model.model.layers.1.mlp.down_proj.lora_A.weight', [3, 20]],
    ['base_model.model.model.layers.1.mlp.down_proj.lora_B.weight', [24, 3]],
  ]);
  expect(() => loraParams(tiny, { ...lora, target_modules: ['q_proj', 'c_attn'] })).toThrow(/target_modules names "c_attn"/);
  expect(() => loraParams(tiny, { ...lora, target_modules: ['lm_head'] })).toThrow(ModelConfigError);
  expect(() => loraParams(tiny, { ...lora, target_modules: [] })).toThrow(/names nothing/);
});

describe('adapter_config.json', () => {
  const json = JSON.parse(JSON.stringify(adapterConfig(lora, 'base')));
  test('there and back', () => {
    expect(parseAdapterConfig(json)).toEqual(lora);
    for (const start of [null, true, false, 'gaussian', 'eva', 'orthogonal'])
      expect(parseAdapterConfig({ ...json, init_lora_weights: start })).toEqual(lora);
    expect(parseAdapterConfig({ ...json, target_modules: 'all-linear' }).target_modules).toEqual(LORA_MODULES);
  });
  test.each<[object, RegExp]>([
    [{ peft_type: 'IA3' }, /peft_type is "IA3"; expected "LORA"/],
    [{ use_dora: true }, /use_dora is true; expected false/],
    [{ use_rslora: true }, /use_rslora is true/],
    [{ bias: 'all' }, /bias is "all"; expected "none"/],
    [{ modules_to_save: ['lm_head'] }, /modules_to_save is \["lm_head"\]; expected null/],
    [{ rank_pattern: { q_proj: 4 } }, /rank_pattern is .*; expected {}/],
    [{ layers_to_transform: [0] }, /layers_to_transform/],
    [{ init_lora_weights: 'pissa' }, /init_lora_weights is "pissa"; expected true: this start changes the base weights; have PEFT convert/],
    [{ init_lora_weights: 'pissa_niter_16' }, /init_lora_weights is "pissa_niter_16"/],
    [{ init_lora_weights: 'olora' }, /init_lora_weights is "olora"/],
    [{ init_lora_weights: 'corda' }, /init_lora_weights is "corda"/],
    [{ init_lora_weights: 'loftq' }, /init_lora_weights is "loftq"/],
    [{ r: 0 }, /r is 0; expected a whole number/],
    [{ lora_alpha: 'big' }, /lora_alpha is "big"/],
    [{ lora_dropout: 1 }, /lora_dropout is 1/],
    [{ target_modules: null }, /target_modules is null; expected some of q_proj/],
  ])('refuses %j', (change, message) => {
    expect(() => parseAdapterConfig({ ...json, ...change })).toThrow(ModelConfigError);
    expect(() => parseAdapterConfig({ ...json, ...change })).toThrow(message);
  });
});
