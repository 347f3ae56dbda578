/**
 * Plan.
 *  - next-token probabilities of the cached path equal those of the packed forward, prompts at and around block and chunk borders;
 *  - log-probabilities and entropies of sampled tokens equal those of the packed forward over the finished sequence;
 *  - a draw does not depend on the batch: alone, among others and through a small maxBatch, bit for bit; webgpu reads every 8 steps
 *    and must give what single steps give;
 *  - forks share and copy on write: each equals a sequence of its own; appended tokens equal a longer prompt;
 *  - stop tokens, lengths, continuation; released blocks are used again; growth; every limit has its error before work.
 */
import { assertClose, Random } from '@eagrl/testing';
import { afterAll, expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { Context } from '../context.ts';
import { type DeviceName, openDevice } from '../device.ts';
import { tinyConfig } from '../model/tiny.fixture.ts';
import { Transformer } from '../model/transformer.ts';
import { lmHeadLogprobs } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Engine, type EngineOptions, type SampleRequest, type SeqId } from './engine.ts';
import { EngineError } from './engine_error.ts';

const opened = new Map<DeviceName, Promise<Backend>>();
afterAll(async () => {
  for (const b of opened.values()) await (await b).destroy();
});

const VOCAB = 37;
const allIds = Array.from({ length: VOCAB }, (_, i) => i);

async function build(name: DeviceName, options: EngineOptions = {}) {
  const known = opened.get(name) ?? openDevice({ device: name, threads: 2 });
  opened.set(name, known);
  const ctx = new Context(await known);
  const model = new Transformer(ctx, tinyConfig());
  const random = new Random('engine weights');
  for (const p of model.params.list) model.params.write(p.name, random.normals(p.value.slice.length, 0.4));
  const engine = new Engine(ctx, model, options);
  return { ctx, model, engine, random };
}

const request = (seq: SeqId, stream: number, more: Partial<SampleRequest> = {}): SampleRequest => ({
  seq,
  maxTokens: 12,
  stopTokens: [],
  seed: 3,
  stream,
  ...more,
});

/** Log-probabilities and entropies of completions of one prompt by the packed forward, one after the other. */
async function score(ctx: Context, model: Transformer, prompt: Uint32Array, completions: Uint32Array[], temperature = 1) {
  const pack = packGroups([{ prompt, completions }]);
  const read = ctx.scope(() => {
    const h = model.forward(pack);
    const { logprobs, entropy } = lmHeadLogprobs(ctx, h, model.headWeight, pack.targets, { temperature });
    return Promise.all([ctx.read(logprobs), ctx.read(entropy)]);
  });
  const [logprobs, entropies] = await read;
  return { logprobs, entropies };
}

for (const name of ['reference', 'wasm', 'webgpu-software'] as const) {
  test(`engine ${name}: next-token probabilities equal the packed forward`, async () => {
    const { ctx, model, engine, random } = await build(name, { blockSize: 4, prefillRows: 20 });
    const prompts = [1, 3, 4, 5, 8, 17, 33].map((n) => random.ints(n, VOCAB));
    const seqs = engine.open(prompts);
    const got = await engine.probabilities(seqs, allIds);
    for (const [i, prompt] of prompts.entries()) {
      const everyToken = allIds.map((id) => Uint32Array.of(id));
      const { logprobs } = await score(ctx, model, prompt, everyToken);
      assertClose(got[i], logprobs.map(Math.exp), { rel: 1e-4, abs: 1e-6, label: `prompt of ${prompt.length}` });
    }
    engine.destroy();
    model.destroy();
  });

  test(`engine ${name}: sampled log-probabilities and entropies equal the packed forward`, async () => {
    const { ctx, model, engine, random } = await build(name, { blockSize: 4, maxBatch: 3 });
    const prompts = Array.from({ length: 5 }, (_, i) => random.ints(i + 1, VOCAB));
    const seqs = engine.open(prompts);
    const done = await engine.sample(
      seqs.map((seq, i) => request(seq, i, { maxTokens: 3 + 4 * i })),
      { temperature: 0.8 },
    );
    for (const [i, { tokens, logprobs, entropies, finished }] of done.entries()) {
      expect([tokens.length, finished]).toEqual([3 + 4 * i, 'length']);
      const want = await score(ctx, model, prompts[i], [tokens], 0.8);
      assertClose(logprobs, want.logprobs, { rel: 1e-4, abs: 1e-5, label: 'logprobs' });
      assertClose(entropies, want.entropies, { rel: 1e-4, abs: 1e-5, label: 'entropies' });
      expect(engine.length(seqs[i])).toBe(prompts[i].length + tokens.length);
    }
    engine.destroy();
    model.destroy();
  });
}

test.each(['wasm', 'webgpu-software'] as const)('engine %s: a draw does not depend on the batch', async (name) => {
  const { model, engine, random } = await build(name, { blockSize: 4 });
  const count = name === 'wasm' ? 70 : 20;
  const prompts = Array.from({ length: count }, (_, i) => random.ints(1 + (i % 9), VOCAB));
  const together = await engine.sample(engine.open(prompts).map((seq, i) => request(seq, i)));
  const [first] = engine.open([prompts[7]]);
  const [alone] = await engine.sample([request(first, 7)]);
  expect(alone).toEqual(together[7]);
  const small = await build(name, { blockSize: 4, maxBatch: Math.ceil(count / 2) + 1, prefillRows: 50 });
  const queued = await small.engine.sample(small.engine.open(prompts).map((seq, i) => request(seq, i)));
  expect(queued).toEqual(together);
  expect(new Set(together.map((c) => c.tokens.join())).size).toBeGreaterThan(0.8 * count);
  for (const e of [engine, small.engine]) e.destroy();
  for (const m of [model, small.model]) m.destroy();
});

test.each(['wasm', 'webgpu-software'] as const)('engine %s: forks copy on write and equal sequences of their own', async (name) => {
  const { model, engine, random } = await build(name, { blockSize: 4 });
  // 10 tokens: 9 in the cache, so the third block is half full and shared.
  const prompt = random.ints(10, VOCAB);
  const [parent] = engine.open([prompt]);
  const forks = [1, 2, 3].map(() => engine.fork(parent));
  const done = await engine.sample([parent, ...forks].map((seq, i) => request(seq, i)));
  const fresh = engine.open([prompt, prompt, prompt, prompt]);
  expect(await engine.sample(fresh.map((seq, i) => request(seq, i)))).toEqual(done);
  // A second generation: forced tokens on a fork of a fork, then more; the same as one long prompt.
  const [child, sibling] = [engine.fork(forks[0]), engine.fork(forks[0])];
  const forced = random.ints(6, VOCAB);
  engine.append([{ seq: child, tokens: forced }]);
  const [long] = engine.open([Uint32Array.of(...prompt, ...done[1].tokens, ...forced)]);
  const continued = await engine.sample([request(child, 9), request(sibling, 10)]);
  expect(await engine.sample([request(long, 9)])).toEqual([continued[0]]);
  const [again] = engine.open([Uint32Array.of(...prompt, ...done[1].tokens)]);
  expect(await engine.sample([request(again, 10)])).toEqual([continued[1]]);
  engine.destroy();
  model.destroy();
});

test('engine: the same tokens with and without a look at the probabilities', async () => {
  const { model, engine, random } = await build('wasm');
  const prompt = random.ints(5, VOCAB);
  const [a, b] = engine.open([prompt, prompt]);
  await engine.probabilities([a], [1, 2]);
  const [x, y] = await engine.sample([request(a, 1), request(b, 1)]);
  expect(x).toEqual(y);
  engine.destroy();
  model.destroy();
});

test.each(['wasm', 'webgpu-software'] as const)('engine %s: stops at a stop token, keeps it, and goes on from there', async (name) => {
  const { model, engine, random } = await build(name);
  const prompt = random.ints(4, VOCAB);
  const [free, stopped] = engine.open([prompt, prompt]);
  const [whole] = await engine.sample([request(free, 5, { maxTokens: 20 })]);
  const stopToken = whole.tokens[6];
  const at = whole.tokens.indexOf(stopToken);
  const [cut] = await engine.sample([request(stopped, 5, { maxTokens: 20, stopTokens: [VOCAB + 1, stopToken] })]);
  expect([cut.finished, [...cut.tokens]]).toEqual(['stop', [...whole.tokens.subarray(0, at + 1)]]);
  expect(engine.length(stopped)).toBe(4 + at + 1);
  const [rest] = await engine.sample([request(stopped, 5, { maxTokens: 20 - at - 1 })]);
  expect([...cut.tokens, ...rest.tokens]).toEqual([...whole.tokens]);
  engine.destroy();
  model.destroy();
});

test('engine: greedy takes the most probable token', async () => {
  const { model, engine, random } = await build('wasm');
  const [seq] = engine.open([random.ints(6, VOCAB)]);
  const [probabilities] = await engine.probabilities([seq], allIds);
  const [{ tokens }] = await engine.sample([request(seq, 0, { maxTokens: 1 })], { temperature: 0 });
  expect(tokens[0]).toBe(probabilities.indexOf(Math.max(...probabilities)));
  engine.destroy();
  model.destroy();
});

test('engine: released blocks are used again, the cache grows once, destroy leaves nothing', async () => {
  const { ctx, model } = await build('wasm');
  const start = ctx.backend.stats.liveBytes;
  const engine = new Engine(ctx, model, { blockSize: 4 });
  const random = new Random('release');
  let bytes = 0;
  for (let round = 0; round < 5; round++) {
    // 12 sequences of up to 12 blocks: more than the first 64 blocks.
    const seqs = engine.open(Array.from({ length: 12 }, () => random.ints(30, VOCAB)));
    await engine.sample(seqs.map((seq, i) => request(seq, i, { maxTokens: 15 })));
    for (const s of seqs) engine.release(s);
    if (round === 0) bytes = ctx.backend.stats.liveBytes;
    else expect(ctx.backend.stats.liveBytes).toBe(bytes);
  }
  engine.destroy();
  expect(ctx.backend.stats.liveBytes).toBe(start);
  model.destroy();
});

test('engine: every limit has its error, before any work', async () => {
  // Two layers, 2 kv heads of 8, f32: 4 tokens take 1,024 bytes; 10 blocks in all.
  const { model, engine, random } = await build('wasm', { blockSize: 4, maxCacheBytes: 10 * 1024 });
  const open = (n: number) => engine.open([random.ints(n, VOCAB)]);
  expect(() => engine.open([new Uint32Array(0)])).toThrow(/prompt 0 is empty/);
  expect(() => engine.open([Uint32Array.of(VOCAB)])).toThrow(/token 37 is outside the vocabulary of 37/);
  expect(() => open(97)).toThrow(/97 tokens exceed the context of 96/);
  expect(() => open(42)).toThrow(/needs 11 cache blocks of 4 tokens, 10 of 10 are free/);
  const [seq] = open(33);
  await expect(engine.sample([request(seq, 0, { maxTokens: 10 })])).rejects.toThrow(/needs 3 cache blocks of 4 tokens, 2 of 10 are free/);
  await expect(engine.sample([request(seq, 0, { maxTokens: 64 })])).rejects.toThrow(/97 tokens exceed the context/);
  await expect(engine.sample([request(seq, 0, { maxTokens: 0 })])).rejects.toThrow(/maxTokens is 0/);
  await expect(engine.sample([request(seq, 0), request(seq, 1)])).rejects.toThrow(/named twice/);
  expect(() => engine.append([{ seq, tokens: new Uint32Array(9) }])).toThrow(EngineError);
  const [done] = await engine.sample([request(seq, 0, { maxTokens: 8 })]);
  expect(done.tokens.length).toBe(8);
  engine.release(seq);
  expect(() => engine.length(seq)).toThrow(/not open/);
  expect(open(41)).toHaveLength(1);
  engine.destroy();
  model.destroy();
});
