/**
 * Plan. Steps on the f64 reference equal a plain AdamW written here; wasm follows the reference over 10 steps of a transformer; clipping;
 * decay only where the parameter says so; a gradient that is not finite skips the step; state saved and loaded goes on bit for bit,
 * read a buffer and loaded a chunk at a time; a training loop stays at its first peak of memory, and learns; an optimiser that gets no memory
 * leaves the gradients of the store alone.
 */
import { assertClose, Random, relRms } from '@eagrl/testing';
import { afterAll, expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { loadOptimizer, loadParams, saveOptimizer, saveParams } from '../io/checkpoint.ts';
import { inMemory, parseSafetensors, writeSafetensors } from '../io/safetensors.ts';
import { failsAt, tinyConfig, tinyGroups, withBinding } from '../model/tiny.fixture.ts';
import { Transformer } from '../model/transformer.ts';
import { lmHeadCrossEntropy } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { ParamStore } from '../params.ts';
import { Tape } from '../tape.ts';
import { sizeOf } from '../tensor.ts';
import { AdamW } from './adamw.ts';

const open: Backend[] = [];
async function context(device: 'reference' | 'wasm'): Promise<Context> {
  const backend = await openDevice({ device, threads: 2 });
  open.push(backend);
  return new Context(backend);
}
afterAll(async () => {
  for (const b of open) await b.destroy();
});

const specs = [
  { name: 'w', shape: [3, 50], decay: true },
  { name: 'b', shape: [70], decay: false },
];

function setGrads(params: ParamStore, grads: ReadonlyMap<string, Float32Array>): void {
  for (const p of params.list) params.writeFrom(p, 0, grads.get(p.name) as Float32Array, params.grads);
}

test.each(['reference', 'wasm'] as const)('AdamW %s: equals the formula, step by step', async (device) => {
  const params = new ParamStore(await context(device), specs);
  const options = { beta1: 0.9, beta2: 0.95, eps: 1e-6, weightDecay: 0.1, maxGradNorm: 2 };
  const optimizer = new AdamW(params, options);
  const random = new Random('adamw');
  const state = specs.map(({ name, shape, decay }) => {
    const n = shape.reduce((a, b) => a * b, 1);
    const p = random.normals(n);
    params.write(name, p);
    return { name, decay, p: Float64Array.from(p), m: new Float64Array(n), v: new Float64Array(n) };
  });
  for (let t = 1; t <= 5; t++) {
    const lr = 0.01 * t;
    // Steps 1 and 2 are clipped, the others not.
    const grads = new Map(state.map(({ name, p }) => [name, random.normals(p.length, t <= 2 ? 1 : 0.05)]));
    const norm = Math.sqrt([...grads.values()].reduce((s, g) => s + g.reduce((a, x) => a + x * x, 0), 0));
    expect(norm > options.maxGradNorm).toBe(t <= 2);
    setGrads(params, grads);
    const got = await optimizer.step({ lr }).gradNorm();
    assertClose([got], [norm], { rel: 1e-5, abs: 0 });
    const clip = Math.min(1, options.maxGradNorm / (norm + 1e-6));
    for (const { name, decay, p, m, v } of state) {
      const g = grads.get(name) as Float32Array;
      for (let i = 0; i < p.length; i++) {
        if (decay) p[i] -= lr * options.weightDecay * p[i];
        m[i] = options.beta1 * m[i] + (1 - options.beta1) * clip * g[i];
        v[i] = options.beta2 * v[i] + (1 - options.beta2) * (clip * g[i]) ** 2;
        p[i] -= (lr * (m[i] / (1 - options.beta1 ** t))) / (Math.sqrt(v[i] / (1 - options.beta2 ** t)) + options.eps);
      }
    }
    const values = await params.read();
    for (const { name, p } of state) assertClose(values.get(name) as Float32Array, p, { rel: 1e-5, abs: 2e-6, label: `${name} step ${t}` });
  }
});

test('AdamW: a gradient that is not finite leaves everything as it is', async () => {
  const params = new ParamStore(await context('wasm'), specs);
  const optimizer = new AdamW(params);
  const random = new Random('nan');
  for (const { name, shape } of specs) params.write(name, random.normals(shape.reduce((a, b) => a * b, 1)));
  const grads = new Map(specs.map(({ name, shape }) => [name, random.normals(shape.reduce((a, b) => a * b, 1))]));
  grads.get('b')![3] = Number.NaN;
  setGrads(params, grads);
  const before = await params.read();
  expect(await optimizer.step({ lr: 1 }).gradNorm()).toBeNaN();
  expect(await params.read()).toEqual(before);
});

test('AdamW: one that gets no memory leaves none taken', async () => {
  const ctx = await context('wasm');
  const { backend } = ctx;
  const before = backend.stats.liveBytes;
  for (let n = 0, more = true; more; n++) {
    let optimizer: AdamW | undefined;
    const params = withBinding(ctx, 800, () => new ParamStore(ctx, specs));
    expect(params.values.length).toBe(2);
    const live = backend.stats.liveBytes;
    more = await failsAt(backend, n, () => {
      optimizer = new AdamW(params);
    });
    if (more) expect(backend.stats.liveBytes - live).toBe(n < 2 ? 0 : 4 * params.length);
    else expect(n).toBe(2 + 4 + 2 + 2);
    optimizer?.destroy();
    params.destroy();
    expect(backend.stats.liveBytes).toBe(before);
  }
});

/** A tiny transformer and a step that trains it on one batch. */
async function training(device: 'reference' | 'wasm') {
  const ctx = await context(device);
  const model = new Transformer(ctx, tinyConfig());
  model.init(1);
  const optimizer = new AdamW(model.params, { weightDecay: 0.1 });
  const pack = packGroups(tinyGroups(new Random('adamw training')));
  const weights = new Float32Array(pack.rows.length).fill(1 / pack.rows.length);
  const step = async (): Promise<number> => {
    const tape = new Tape(ctx);
    model.params.zeroGrad();
    const losses = lmHeadCrossEntropy(ctx, model.forward(pack), model.headWeight, pack.targets, weights);
    const read = ctx.read(losses);
    tape.backward();
    optimizer.step({ lr: 0.01 });
    return (await read).reduce((s, x) => s + x, 0);
  };
  return { ctx, model, optimizer, step };
}

test('training: wasm follows the reference, the loss falls, memory stays at its first peak', async () => {
  const [a, b] = [await training('reference'), await training('wasm')];
  const losses: number[][] = [];
  let peak = 0;
  for (let i = 0; i < 10; i++) {
    losses.push([await a.step(), await b.step()]);
    if (i === 0) peak = b.ctx.backend.stats.peakBytes;
  }
  assertClose(
    losses.map(([, x]) => x),
    losses.map(([x]) => x),
    { rel: 1e-3, abs: 0 },
  );
  expect(losses[9][1]).toBeLessThan(0.6 * losses[0][1]);
  expect(b.ctx.backend.stats.peakBytes).toBe(peak);
});

test('checkpoint: a training that is saved and loaded goes on bit for bit', async () => {
  const unbroken = await training('wasm');
  for (let i = 0; i < 3; i++) await unbroken.step();
  const weights = writeSafetensors(await inMemory(saveParams(unbroken.model.params)));
  const { tensors, metadata } = saveOptimizer(unbroken.optimizer);
  const state = writeSafetensors(await inMemory(tensors), metadata);

  const resumed = await training('wasm');
  loadParams(resumed.model.params, parseSafetensors(weights).tensors);
  const file = parseSafetensors(state);
  loadOptimizer(resumed.optimizer, file.tensors, file.metadata);
  for (let i = 0; i < 3; i++) expect(await resumed.step()).toBe(await unbroken.step());
  expect(await resumed.model.params.read()).toEqual(await unbroken.model.params.read());
});

test('checkpoint: moments are saved and loaded chunk by chunk', async () => {
  const ctx = await context('wasm');
  // Bindings of 16.8 MB: a matrix in two blocks of rows, the second of which shares its buffer with the vector.
  const large = [{ ...specs[0], shape: [2500, 2048] }, specs[1]];
  const params = withBinding(ctx, 16_800_000, () => new ParamStore(ctx, large));
  const optimizer = new AdamW(params);
  const random = new Random('moments');
  const state = ['m', 'v'].flatMap((prefix) =>
    large.map(({ name, shape }) => ({ name: `${prefix}.${name}`, shape, data: random.normals(sizeOf(shape)) })),
  );
  const { tensors, metadata } = parseSafetensors(writeSafetensors(state, { step_count: '7' }));
  const ranges: number[] = [];
  const watched = new Map(
    [...tensors].map(([name, t]) => {
      const read: typeof t.read = (from = 0, to = sizeOf(t.shape)) => {
        ranges.push(to - from);
        return t.read(from, to);
      };
      return [name, { ...t, read }];
    }),
  );
  loadOptimizer(optimizer, watched, metadata);
  expect(Math.max(...ranges)).toBe(2 ** 22);
  const saved = saveOptimizer(optimizer);
  expect(saved.metadata).toEqual(metadata);
  for (const [i, { name, pieces }] of saved.tensors.entries()) {
    expect(name).toBe(state[i].name);
    const { data } = state[i];
    let at = 0;
    for await (const piece of pieces()) {
      expect(piece.length).toBeLessThanOrEqual(2 ** 22);
      expect(piece.every((x, n) => x === data[at + n])).toBe(true);
      at += piece.length;
    }
    expect(at).toBe(data.length);
  }
  optimizer.destroy();
  params.destroy();
});

test('checkpoint: another model and other states are refused before anything is written', async () => {
  const { model, optimizer } = await training('wasm');
  const before = await model.params.read();
  const stored = await inMemory(saveParams(model.params, 'BF16'));
  const parse = (list: typeof stored) => parseSafetensors(writeSafetensors(list)).tensors;
  const [first, ...rest] = stored;
  expect(() => loadParams(model.params, parse([{ ...first, name: `transformer.${first.name}` }, ...rest]))).toThrow(
    /Missing: 'model.embed_tokens.weight' \(did you mean 'transformer.model.embed_tokens.weight'\?\).*Unexpected/,
  );
  expect(() => loadParams(model.params, parse([{ ...first, shape: [24, 37] }, ...rest]))).toThrow(
    /expected shape \(37, 24\), the file has \(24, 37\)/,
  );
  const head = { name: 'lm_head.weight', shape: [1], data: new Float32Array(1) };
  expect(() => loadParams(model.params, parse([...stored, head]))).toThrow(/Unexpected: 'lm_head.weight'/);
  expect(await model.params.read()).toEqual(before);
  loadParams(model.params, parse([...stored, head]), { ignore: ['lm_head.weight'] });
  const after = await model.params.read();
  for (const [name, values] of before) expect(relRms(after.get(name) as Float32Array, values)).toBeLessThan(2 ** -8);
  expect(() => loadOptimizer(optimizer, new Map(), {})).toThrow(/step_count is 'undefined'/);
  expect(() => loadOptimizer(optimizer, new Map(), { step_count: '3' })).toThrow(/missing 'm.model.embed_tokens.weight'/);
});

test('ParamStore: layout, snapshot, errors', async () => {
  const ctx = await context('wasm');
  const store = new ParamStore(ctx, specs);
  expect([store.length, store.count]).toEqual([192 + 128, 220]);
  expect(store.decayBlocks().map((b) => [...b])).toEqual([[1, 1, 1, 0, 0]]);
  const other = new ParamStore(ctx, specs);
  store.write('b', new Float32Array(70).fill(3));
  other.copyFrom(store);
  expect((await other.read()).get('b')).toEqual(new Float32Array(70).fill(3));
  expect(() => other.copyFrom(new ParamStore(ctx, specs.slice(1)))).toThrow(/different parameters/);
  expect(() => store.get('c')).toThrow(/no 'c'/);
  expect(() => store.write('b', new Float32Array(3))).toThrow(/has 70 elements, got 3/);
  expect(() => new ParamStore(ctx, [specs[0], specs[0]])).toThrow(/given twice/);
  await expect(store.readGrads()).rejects.toThrow(/enableGrad/);
});
