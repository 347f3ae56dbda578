/**
 * Plan.
 *  - next-token probabilities of the cached path equal those of the packed forward, prompts at and around block and chunk borders;
 *  - log-probabilities and entropies of sampled tokens equal those of the packed forward over the finished sequence;
 *  - a draw does not depend on the batch: alone, among others and through a small maxBatch, bit for bit; webgpu reads every 8 steps
 *    and must give what single steps give; steps that webgpu replays have the bits of steps that go through the ops, while the cache grows too
 *  - forks share and copy on write: each equals a sequence of its own; appended tokens equal a longer prompt;
 *  - repetition penalty: what a sequence holds, through open, append, fork and earlier completions, is penalised as the packed forward's
 *    logits are by hand; alone and in a batch the same bits
 *  - `stopAfter` sees each token once, in order, and ends the sequence; a finished sequence's place is taken in the next step
 *  - what steps drew comes back by one read
 *  - prompts are read in chunks: the activations of a long one do not grow with it
 *  - whichever allocation of `open`, `append`, `sample` or `probabilities` fails: the sequences and the free blocks are those of before, and what follows
 *    has the bits of an engine where nothing failed
 *  - logits of NaN are an error, not a token, and the sequences go on once the weights are good again
 *  - stop tokens, lengths, continuation; released blocks are used again; growth; every limit has its error before work.
 */
import { assertClose, Random } from '@eagrl/testing';
import { expect, test, vi } from 'vitest';
import { Context } from '../context.ts';
import { type DeviceName, openDevice } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { failsAt, tinyConfig } from '../model/tiny.fixture.ts';
import { Transformer } from '../model/transformer.ts';
import { lmHeadLogprobs } from '../ops/lm_head.ts';
import { packGroups } from '../pack.ts';
import { Engine, type EngineOptions, type SampleRequest, type SeqId } from './engine.ts';
import { EngineError } from './engine_error.ts';

const device = sharedDevices(2);

const VOCAB = 37;
const allIds = Array.from({ length: VOCAB }, (_, i) => i);

async function build(name: DeviceName, options: EngineOptions = {}) {
  const ctx = new Context(await device(name));
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

test.each(['wasm', 'webgpu-software'] as const)('engine %s: a repetition penalty on all that the sequence holds', async (name) => {
  const { ctx, model, engine, random } = await build(name, { blockSize: 4 });
  const sampling = { temperature: 0.9, minP: 0.02, repetitionPenalty: 1.5 };
  const [prompt, forced] = [random.ints(6, VOCAB), random.ints(3, VOCAB)];
  const [root] = engine.open([prompt]);
  const child = engine.fork(root);
  engine.append([{ seq: child, tokens: forced }]);
  const [first] = await engine.sample([request(child, 4)], sampling);
  const [second, other] = await engine.sample([request(child, 5), request(root, 6)], sampling);
  // By hand: the packed forward's log-probabilities are logits but for a constant, which the penalty would see, so the logits themselves.
  const whole = Uint32Array.of(...prompt, ...forced, ...first.tokens, ...second.tokens);
  const sampled = [...first.logprobs, ...second.logprobs];
  const start = prompt.length + forced.length;
  const pack = packGroups([{ prompt: whole.subarray(0, start), completions: [whole.subarray(start)] }]);
  const hidden = await ctx.scope(() => ctx.read(model.forward(pack)));
  const weight = await model.readWeight('model.embed_tokens.weight');
  const C = model.config.hidden_size;
  const want = sampled.map((_, n) => {
    const held = new Set(whole.subarray(0, start + n));
    const z = allIds.map((id) => {
      let logit = 0;
      for (let c = 0; c < C; c++) logit += hidden[n * C + c] * weight[id * C + c];
      return (held.has(id) ? (logit < 0 ? logit * 1.5 : logit / 1.5) : logit) / 0.9;
    });
    const m = Math.max(...z);
    const e = z.map((v) => Math.exp(v - m)).map((v) => (v < 0.02 ? 0 : v));
    return Math.log(e[whole[start + n]] / e.reduce((a, b) => a + b, 0));
  });
  assertClose(Float32Array.from(sampled), Float32Array.from(want), { rel: 1e-4, abs: 1e-4, label: 'penalised logprobs' });
  const [fresh] = engine.open([prompt]);
  expect(await engine.sample([request(fresh, 6)], sampling)).toEqual([other]);
  engine.destroy();
  model.destroy();
});

test.each(['wasm', 'webgpu-software'] as const)('engine %s: stopAfter sees each token once and ends the sequence', async (name) => {
  const { model, engine, random } = await build(name);
  const prompt = random.ints(4, VOCAB);
  const [free, asked] = engine.open([prompt, prompt]);
  const [whole] = await engine.sample([request(free, 5, { maxTokens: 12 })]);
  const seen: number[] = [];
  const stopAfter = (token: number) => seen.push(token) === 5;
  const [cut] = await engine.sample([request(asked, 5, { maxTokens: 12, stopAfter })]);
  expect([cut.finished, [...cut.tokens], seen]).toEqual(['stop', [...whole.tokens.subarray(0, 5)], [...whole.tokens.subarray(0, 5)]]);
  const [rest] = await engine.sample([request(asked, 5, { maxTokens: 7 })]);
  expect([...cut.tokens, ...rest.tokens]).toEqual([...whole.tokens]);
  engine.destroy();
  model.destroy();
});

test('engine webgpu-software: a replayed step has the bits of one through the ops', async () => {
  const sampled = async (replays: boolean) => {
    const { ctx, model, engine, random } = await build('webgpu-software', { blockSize: 2 });
    const { backend } = ctx;
    const record = backend.record;
    if (!record) throw new Error('webgpu without record');
    if (!replays) Object.assign(backend, { record: undefined });
    const launches = vi.spyOn(ctx, 'run');
    const live = backend.stats.liveBytes;
    try {
      // 12 sequences of up to 60 tokens leave one by one, and outgrow the first 256 blocks of the cache and a table's 32.
      const prompts = Array.from({ length: 12 }, (_, i) => random.ints(20 + i, VOCAB));
      const seqs = engine.open(prompts);
      const done = await engine.sample(
        seqs.map((seq, i) => request(seq, i, { maxTokens: 5 + 5 * i })),
        { temperature: 0.9, topK: 20, repetitionPenalty: 1.2 },
      );
      const { length } = launches.mock.calls.filter(([, entry]) => entry === 'sample');
      engine.destroy();
      expect(backend.stats.liveBytes).toBe(live);
      return { done, throughOps: length };
    } finally {
      Object.assign(backend, { record });
      launches.mockRestore();
      model.destroy();
    }
  };
  const through = await sampled(false);
  const replayed = await sampled(true);
  expect(replayed.done).toEqual(through.done);
  expect(through.throughOps).toBe(60);
  // Once for each number of rows (16, 8) and each width of the table (32, 64), and where the cache grows.
  expect(replayed.throughOps).toBeLessThanOrEqual(6);
});

test('engine: a step that gets no memory gives its own error, and leaves none taken', async () => {
  const { ctx, model, engine, random } = await build('wasm', { maxBatch: 40 });
  const seqs = engine.open(Array.from({ length: 40 }, (_, i) => random.ints(2 + (i % 3), VOCAB)));
  const live = ctx.backend.stats.liveBytes;
  const tensor = ctx.tensor.bind(ctx);
  let steps = 0;
  const spy = vi.spyOn(ctx, 'tensor').mockImplementation((shape, dtype) => {
    // A step's own output, three times 64 elements, comes right after its input. The second step is another, as fewer rows are left.
    const [before] = spy.mock.calls.at(-2) ?? [];
    if (shape[0] === 192 && dtype === 'u32' && before?.length === 1 && before[0] > 192 && ++steps === 2) throw new Error('no memory');
    return tensor(shape, dtype);
  });
  const requests = seqs.map((seq, i) => request(seq, i, { maxTokens: i === 0 ? 1 : 3 }));
  await expect(engine.sample(requests)).rejects.toThrow('no memory');
  spy.mockRestore();
  expect(steps).toBe(2);
  expect(ctx.backend.stats.liveBytes).toBe(live);
  engine.destroy();
  model.destroy();
});

test('engine: a call that gets no memory leaves all sequences as they were', async () => {
  const options = { blockSize: 2, prefillRows: 12 };
  const { ctx, model, engine, random } = await build('wasm', options);
  const other = new Engine(ctx, model, options);
  // The prompts take 252 blocks; the last of the parent is half full and shared with forks: their tokens copy it and outgrow the first 256.
  const prompts = Array.from({ length: 7 }, (_, i) => random.ints(72 + (i === 6 ? 1 : 0), VOCAB));
  const forced = random.ints(20, VOCAB);
  const sampling = { repetitionPenalty: 1.3 };
  const requests = (parent: SeqId, child: SeqId) => [request(parent, 1, { maxTokens: 2 }), request(child, 2, { maxTokens: 2 })];
  const [parent] = engine.open(prompts);
  const [otherParent] = other.open(prompts);
  const otherChild = other.fork(otherParent);
  other.append([{ seq: otherChild, tokens: forced }]);
  const [likely] = await other.probabilities([otherChild], allIds);
  const want = await other.sample(requests(other.fork(otherParent), otherChild), sampling);
  let failures = 0;
  for (let n = 0, more = true; more; n += n < 30 ? 1 : 7) {
    const dropped = engine.fork(parent);
    more = await failsAt(ctx.backend, n, () => engine.append([{ seq: dropped, tokens: forced }]));
    if (more) expect(engine.length(dropped)).toBe(72);
    engine.release(dropped);
    const [root, child] = [engine.fork(parent), engine.fork(parent)];
    if (await failsAt(ctx.backend, n, () => engine.append([{ seq: child, tokens: forced }])))
      engine.append([{ seq: child, tokens: forced }]);
    const asked = await failsAt(ctx.backend, n, () => engine.probabilities([child], allIds));
    expect((await engine.probabilities([child], allIds))[0]).toEqual(likely);
    let done = want;
    const sampled = await failsAt(ctx.backend, n, async () => {
      done = await engine.sample(requests(root, child), sampling);
    });
    expect([engine.length(root), engine.length(child)]).toEqual(sampled ? [72, 92] : [74, 94]);
    if (sampled) done = await engine.sample(requests(root, child), sampling);
    expect(done).toEqual(want);
    for (const seq of [root, child]) engine.release(seq);
    more ||= asked || sampled;
    failures += [more, asked, sampled].filter(Boolean).length;
  }
  expect(failures).toBeGreaterThan(50);
  expect(engine.cacheUse.blocks).toBeLessThanOrEqual(other.cacheUse.blocks);
  for (const e of [engine, other]) e.destroy();
  model.destroy();
});

test.each(['reference', 'wasm', 'webgpu-software'] as const)('engine %s: logits of NaN are an error', async (name) => {
  const { model, engine, random } = await build(name);
  const prompt = random.ints(5, VOCAB);
  const [seq, fresh] = engine.open([prompt, prompt]);
  const norm = await model.readWeight('model.norm.weight');
  model.params.write('model.norm.weight', norm.with(3, Number.NaN));
  for (const temperature of [0, 1]) {
    await expect(engine.sample([request(seq, 1)], { temperature })).rejects.toThrow(EngineError);
    await expect(engine.sample([request(seq, 1)], { temperature })).rejects.toThrow(/logits are not finite; load weights from before/);
  }
  model.params.write('model.norm.weight', norm);
  expect(await engine.sample([request(seq, 1)])).toEqual(await engine.sample([request(fresh, 1)]));
  engine.destroy();
  model.destroy();
});

test('engine: prompts that get no memory leave no blocks taken', async () => {
  // Two layers, 2 kv heads of 8, f32: 2 tokens take 512 bytes; room for these two prompts and no more.
  const { ctx, model, engine, random } = await build('wasm', { blockSize: 2, maxCacheBytes: 20 * 512, prefillRows: 12 });
  const prompts = [random.ints(21, VOCAB), random.ints(21, VOCAB)];
  let n = 0;
  while (await failsAt(ctx.backend, n, () => engine.open(prompts))) n++;
  expect(n).toBeGreaterThan(20);
  expect(engine.cacheUse.blocks).toBe(20);
  engine.destroy();
  model.destroy();
});

test('engine: a finished sequence makes room at once', async () => {
  const { ctx, model, engine, random } = await build('wasm', { maxBatch: 2 });
  const seqs = engine.open(Array.from({ length: 6 }, () => random.ints(3, VOCAB)));
  const launches = vi.spyOn(ctx, 'run');
  await engine.sample(seqs.map((seq, i) => request(seq, i, { maxTokens: i === 1 ? 12 : 2 })));
  // The long one takes 12 steps; beside it the other five take 2 each, one after the other. Batch by batch it would be 12 + 2 + 2.
  expect(launches.mock.calls.filter(([, entry]) => entry === 'sample')).toHaveLength(12);
  launches.mockRestore();
  engine.destroy();
  model.destroy();
});

test.each([
  ['wasm', 12],
  ['webgpu-software', 2],
] as const)('engine %s: 12 steps come back by %i reads', async (name, count) => {
  const { ctx, model, engine, random } = await build(name);
  const [seq] = engine.open([random.ints(3, VOCAB)]);
  const reads = vi.spyOn(ctx.backend, 'read');
  await engine.sample([request(seq, 0)]);
  expect(reads).toHaveBeenCalledTimes(count);
  reads.mockRestore();
  engine.destroy();
  model.destroy();
});

test('engine: memory while prompts are read is bounded by the chunk, not by the prompt', async () => {
  const peak = async (length: number, prefillRows: number) => {
    const backend = await openDevice({ device: 'wasm', threads: 1 });
    const ctx = new Context(backend);
    const model = new Transformer(ctx, { ...tinyConfig(), max_position_embeddings: 1024 });
    const engine = new Engine(ctx, model, { prefillRows });
    const before = backend.stats.peakBytes;
    engine.open([new Random('chunks').ints(length, VOCAB)]);
    const grown = backend.stats.peakBytes - before;
    await backend.destroy();
    return grown;
  };
  const whole = await peak(1000, 1000);
  const chunked = await peak(1000, 64);
  // Keys and values of 256 blocks: 4 B x 2 layers x 2 x 256 x 4 x 2 heads x 8.
  const cache = 4 * 2 * 2 * 256 * 4 * 16;
  expect(chunked - cache).toBeLessThan(0.15 * (whole - cache));
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
    // 30 sequences of up to 12 blocks: more than the first 256 blocks.
    const seqs = engine.open(Array.from({ length: 30 }, () => random.ints(30, VOCAB)));
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
  for (const [options, message] of [
    [{ temperature: -1 }, /temperature is -1; expected at least 0/],
    [{ topK: 1.5 }, /topK is 1.5; expected a whole number/],
    [{ topP: 0 }, /topP is 0; expected a share above 0/],
    [{ minP: Number.NaN }, /minP is NaN; expected a share/],
    [{ repetitionPenalty: 0 }, /repetitionPenalty is 0; expected a number above 0/],
  ] as const)
    await expect(engine.sample([request(seq, 0)], options)).rejects.toThrow(message);
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
