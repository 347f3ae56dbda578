/**
 * Plan. Tied Qwen2, untied Llama and Qwen3 with normed heads, all with grouped queries.
 *  - each parameter's gradient on the f64 reference equals central finite differences along a random direction, for both heads;
 *  - wasm and webgpu equal the reference: losses 1e-5 relative, every gradient 1e-4 relative RMS;
 *  - a shared prompt gives the log-probabilities and gradients of repeated prompts;
 *  - two micro-batches accumulate the gradient of one batch;
 *  - after backward, discard and inference no memory is left over; a model that gets no memory takes none, at whichever allocation; errors.
 */
import { assertClose, Random, relRms, TOLERANCE } from '@eagrl/testing';
import { expect, test } from 'vitest';
import type { ReferenceBackend } from '../backend/reference.ts';
import { Context } from '../context.ts';
import type { DeviceName } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { lmHeadCrossEntropy, lmHeadLogprobs } from '../ops/lm_head.ts';
import { type Pack, packGroups, splitPacks } from '../pack.ts';
import { Tape } from '../tape.ts';
import type { Tensor } from '../tensor.ts';
import { parseTransformerConfig } from './config.ts';
import type { LoraConfig } from './lora.ts';
import { failsAt, tinyConfig, tinyGroups, withBinding } from './tiny.fixture.ts';
import { Transformer } from './transformer.ts';

const device = sharedDevices(2);

const configs = {
  'qwen2 tied': tinyConfig(),
  'llama untied': tinyConfig({
    model_type: 'llama',
    tie_word_embeddings: false,
    attention_bias: true,
    num_key_value_heads: 1,
    head_dim: 12,
  }),
  'qwen3 tied': tinyConfig({ model_type: 'qwen3', num_attention_heads: 3, num_key_value_heads: 1 }),
};
type Head = 'cross_entropy' | 'logprobs';

/** A model with weights large enough that softmaxes are not flat and norms and biases not trivial. */
async function build(name: DeviceName, config = tinyConfig()): Promise<{ ctx: Context; model: Transformer }> {
  const ctx = new Context(await device(name));
  const model = new Transformer(ctx, config);
  const random = new Random('tiny weights');
  for (const p of model.params.list) {
    const values = random.normals(p.value.slice.length, 0.3);
    model.params.write(p.name, p.name.includes('norm') ? values.map((v) => 1 + v) : values);
  }
  return { ctx, model };
}

/** Per-token losses (cross-entropy) or log-probabilities, and the seed that makes their weighted sum the objective. */
function objective(
  ctx: Context,
  model: Transformer,
  pack: Pack,
  head: Head,
  weights: Float32Array,
): { values: Tensor; backward: () => void } {
  const tape = ctx.tape;
  const rows = model.forward(pack);
  if (head === 'cross_entropy') {
    const values = lmHeadCrossEntropy(ctx, rows, model.headWeight, pack.targets, weights);
    return { values, backward: () => tape?.backward() };
  }
  const { logprobs } = lmHeadLogprobs(ctx, rows, model.headWeight, pack.targets, { temperature: 0.7 });
  return { values: logprobs, backward: () => tape?.backward(logprobs, ctx.from(weights)) };
}

/** Values and gradients of one batch; the store's gradients start at zero. */
async function run(ctx: Context, model: Transformer, packs: readonly Pack[], head: Head, weights: readonly Float32Array[]) {
  model.params.enableGrad();
  model.params.zeroGrad();
  const values: Promise<Float32Array>[] = [];
  packs.forEach((pack, i) => {
    new Tape(ctx);
    const { values: tensor, backward } = objective(ctx, model, pack, head, weights[i]);
    values.push(ctx.read(tensor));
    backward();
  });
  return { values: (await Promise.all(values)).flatMap((v) => [...v]), grads: await model.params.readGrads() };
}

for (const [title, config] of Object.entries(configs)) {
  for (const head of ['cross_entropy', 'logprobs'] as const) {
    test(`transformer reference ${title} ${head}: gradients equal finite differences`, async () => {
      const { ctx, model } = await build('reference', config);
      const backend = ctx.backend as ReferenceBackend;
      const random = new Random(`fd ${title} ${head}`);
      const pack = packGroups(tinyGroups(random));
      const weights = random.normals(pack.rows.length);
      await run(ctx, model, [pack], head, [weights]);
      const loss = () =>
        ctx.scope(() => {
          const { values } = objective(ctx, model, pack, head, weights);
          // Cross-entropy's losses carry their weights; log-probabilities get them here.
          return backend.values(values.slice).reduce((sum, v, n) => sum + (head === 'logprobs' ? v * weights[n] : v), 0);
        });
      for (const p of model.params.list) {
        const values = backend.values(p.value.slice);
        const grad = backend.values((p.grad as Tensor).slice);
        const start = values.slice();
        const direction = start.map(() => random.normal());
        const h = 1e-6;
        const at = (step: number) => {
          values.set(start.map((v, i) => v + step * direction[i]));
          return loss();
        };
        const slope = (at(h) - at(-h)) / (2 * h);
        values.set(start);
        const want = grad.reduce((sum, g, i) => sum + g * direction[i], 0);
        assertClose([slope], [want], { ...TOLERANCE.finiteDifference, label: p.name });
        expect(Math.max(...grad.map(Math.abs)), `${p.name}: gradient is not all zero`).toBeGreaterThan(
          p.name.includes('k_proj.bias') ? -1 : 0,
        );
      }
      model.destroy();
    });

    for (const name of ['wasm', 'webgpu-software'] as const) {
      test(`transformer ${name} ${title} ${head}: equals the reference`, async () => {
        const random = new Random(`devices ${title} ${head}`);
        const pack = packGroups(tinyGroups(random));
        const weights = [random.uniforms(pack.rows.length, 0.5, 1.5)];
        const want = await build('reference', config).then(({ ctx, model }) => run(ctx, model, [pack], head, weights));
        const { ctx, model } = await build(name, config);
        const got = await run(ctx, model, [pack], head, weights);
        expect(relRms(got.values, want.values)).toBeLessThan(1e-5);
        // A key's bias shifts all scores of a row alike and has no gradient: compare it with the query's scale.
        for (const [param, grad] of want.grads) {
          if (param.endsWith('k_proj.bias')) assertClose(got.grads.get(param) as Float32Array, grad, { rel: 0, abs: 1e-4, label: param });
          else expect(relRms(got.grads.get(param) as Float32Array, grad), param).toBeLessThan(1e-4);
        }
        model.destroy();
      });
    }
  }
}

test('a shared prompt gives what repeated prompts give', async () => {
  const { ctx, model } = await build('reference');
  const random = new Random('shared prefix');
  const groups = tinyGroups(random);
  const apart = groups.flatMap(({ prompt, completions }) => completions.map((c) => ({ prompt, completions: [c] })));
  const shared = packGroups(groups);
  const repeated = packGroups(apart);
  expect(shared.ids.length).toBeLessThan(repeated.ids.length);
  const weights = [random.normals(shared.rows.length)];
  const a = await run(ctx, model, [shared], 'logprobs', weights);
  const b = await run(ctx, model, [repeated], 'logprobs', weights);
  assertClose(a.values, b.values, { rel: 1e-6, abs: 1e-6 });
  for (const [name, grad] of b.grads) assertClose(a.grads.get(name) as Float32Array, grad, { rel: 1e-5, abs: 1e-6, label: name });
  model.destroy();
});

test('operations are counted by the pairs that see each other: two groups of one pack cost what they cost alone', async () => {
  const { ctx, model } = await build('wasm');
  const groups = tinyGroups(new Random('operations'));
  const cost = async (packed: typeof groups): Promise<number> => {
    const pack = packGroups(packed);
    const before = ctx.backend.stats.flops;
    await run(ctx, model, [pack], 'logprobs', [new Float32Array(pack.rows.length).fill(1)]);
    return ctx.backend.stats.flops - before;
  };
  const together = await cost(groups);
  let apart = 0;
  for (const g of groups) apart += await cost([g]);
  expect(together).toBe(apart);
  model.destroy();
});

test('micro-batches accumulate the gradient of the whole batch', async () => {
  const { ctx, model } = await build('wasm');
  const random = new Random('micro-batches');
  const groups = tinyGroups(random);
  const whole = packGroups(groups);
  const packs = splitPacks(groups, 12);
  expect(packs.length).toBeGreaterThan(1);
  const ones = (p: Pack) => new Float32Array(p.rows.length).fill(1);
  const a = await run(ctx, model, [whole], 'cross_entropy', [ones(whole)]);
  const b = await run(ctx, model, packs, 'cross_entropy', packs.map(ones));
  for (const [name, grad] of a.grads) assertClose(b.grads.get(name) as Float32Array, grad, { rel: 1e-4, abs: 1e-5, label: name });
  model.destroy();
});

test('no memory is left over after backward, discard and inference', async () => {
  const { ctx, model } = await build('wasm');
  const random = new Random('memory');
  const pack = packGroups(tinyGroups(random));
  const weights = random.normals(pack.rows.length);
  model.params.enableGrad();
  const start = ctx.backend.stats.liveBytes;
  for (const head of ['cross_entropy', 'logprobs'] as const) {
    new Tape(ctx);
    objective(ctx, model, pack, head, weights).backward();
    expect(ctx.backend.stats.liveBytes, `${head} backward`).toBe(start);
    const tape = new Tape(ctx);
    objective(ctx, model, pack, head, weights);
    tape.discard();
    expect(ctx.backend.stats.liveBytes, `${head} discard`).toBe(start);
    ctx.scope(() => {
      objective(ctx, model, pack, head, weights);
    });
    expect(ctx.backend.stats.liveBytes, `${head} inference`).toBe(start);
  }
  model.destroy();
});

test('init depends on seed and name only; residual ends are smaller', async () => {
  const { model } = await build('wasm');
  model.init(7);
  const first = await model.params.read();
  model.init(7);
  const again = await model.params.read();
  const rms = (name: string) => {
    const values = first.get(name) as Float32Array;
    return Math.sqrt(values.reduce((s, v) => s + v * v, 0) / values.length);
  };
  for (const [name, values] of first) expect(again.get(name)).toEqual(values);
  expect(rms('model.embed_tokens.weight')).toBeCloseTo(0.02, 2);
  expect(rms('model.layers.0.mlp.down_proj.weight') / rms('model.layers.0.mlp.up_proj.weight')).toBeCloseTo(0.5, 1);
  expect(first.get('model.norm.weight')).toEqual(new Float32Array(24).fill(1));
  model.init(8);
  expect((await model.params.read()).get('model.embed_tokens.weight')).not.toEqual(first.get('model.embed_tokens.weight'));
  model.destroy();
});

test('a model that gets no memory takes none', async () => {
  const ctx = new Context(await device('wasm'));
  const { backend } = ctx;
  const lora: LoraConfig = { r: 2, alpha: 4, dropout: 0, target_modules: ['q_proj', 'down_proj'] };
  const base = new Transformer(ctx, tinyConfig(), undefined, 'int4');
  const live = backend.stats.liveBytes;
  const makers: (() => Transformer)[] = [
    ...(['f32', 'f16', 'int4'] as const).map((dtype) => () => new Transformer(ctx, tinyConfig({ vocab_size: 200 }), lora, dtype)),
    () => base.withAdapter(lora),
  ];
  for (const make of makers) {
    let model: Transformer | undefined;
    let n = 0;
    // Bindings of 8 KB: several flat buffers, and an embedding in blocks of rows.
    for (const once = () => void (model = withBinding(ctx, 8192, make)); await failsAt(backend, n, once); n++)
      expect(backend.stats.liveBytes).toBe(live);
    expect(n).toBeGreaterThan(0);
    model?.destroy();
    expect(backend.stats.liveBytes).toBe(live);
  }
  expect(() => base.snapshot()).toThrow(/weights kept as int4 are frozen/);
  expect(backend.stats.liveBytes).toBe(live);
  base.destroy();
});

test('errors: ids, context, targets, two tapes, config', async () => {
  const { ctx, model } = await build('wasm');
  const pack = (prompt: Uint32Array) => packGroups([{ prompt, completions: [Uint32Array.of(1)] }]);
  expect(() => model.forward(pack(Uint32Array.of(37)))).toThrow(/id 37 at 0 is outside the vocabulary of 37/);
  expect(() => model.forward(pack(new Uint32Array(96)))).toThrow(/97 tokens exceeds the context of 96/);
  ctx.scope(() => {
    const h = ctx.from(new Float32Array(24), [1, 24]);
    expect(() => lmHeadLogprobs(ctx, h, model.headWeight, Uint32Array.of(40))).toThrow(/target 40/);
  });
  const tape = new Tape(ctx);
  expect(() => new Tape(ctx)).toThrow(/another tape/);
  tape.discard();
  const json = { ...tinyConfig() };
  expect(() => parseTransformerConfig({ ...json, model_type: 'gpt2' })).toThrow(/model_type is "gpt2"/);
  expect(() => parseTransformerConfig({ ...json, rope_scaling: { type: 'yarn' } })).toThrow(/rope_scaling/);
  expect(() => parseTransformerConfig({ ...json, hidden_size: 1.5 })).toThrow(/hidden_size is 1.5/);
  expect(() => parseTransformerConfig({ ...json, num_key_value_heads: 3 })).toThrow(/no multiple/);
  model.destroy();
});
