/**
 * Plan. The ops pass shapes and orders to their kernels (whose tests hold the mathematics): on wasm both equal the formula written out
 * here.
 */
import { assertClose, Random } from '@eagrl/testing';
import { afterAll, expect, test } from 'vitest';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { clipRange } from './clip_range.ts';
import { clippedRatio } from './clipped_ratio.ts';

const backend = await openDevice({ device: 'wasm', threads: 1 });
const ctx = new Context(backend);
afterAll(() => backend.destroy());

test('clippedRatio: gradient and statistics of 300 tokens in 3 rollouts', async () => {
  const random = new Random('clipped ratio op');
  const n = 300;
  const old = random.normals(n, 0.5);
  const now = old.map((v) => v + 0.3 * random.normal());
  const ref = old.map((v) => v + 0.2 * random.normal());
  const rollout = Uint32Array.from({ length: n }, (_, i) => Math.floor(i / 100));
  const weights = random.uniforms(n, 0.5, 1);
  const table = Float32Array.of(1, 0.2, -0.5, 0.4, 2, 0.3);
  const [clipLow, klBeta] = [0.2, 0.1];
  const { dlogprobs, stats } = clippedRatio(
    ctx,
    {
      logprobs: ctx.from(now),
      oldLogprobs: ctx.from(old),
      refLogprobs: ctx.from(ref),
      rollout: ctx.from(rollout),
      weights: ctx.from(weights),
      table: ctx.from(table, [3, 2]),
    },
    { clipLow, klBeta },
  );
  let loss = 0;
  let high = 0;
  const want = now.map((logp, i) => {
    const [advantage, clipHigh] = [table[2 * rollout[i]], table[2 * rollout[i] + 1]];
    const ratio = Math.exp(logp - old[i]);
    const clipped = Math.min(Math.max(ratio, 1 - clipLow), 1 + clipHigh);
    const d = ref[i] - logp;
    loss += weights[i] * (-Math.min(ratio * advantage, clipped * advantage) + klBeta * (Math.exp(d) - d - 1));
    if (ratio > 1 + clipHigh && advantage > 0) high++;
    const active = ratio * advantage <= clipped * advantage;
    return weights[i] * ((active ? -advantage * ratio : 0) + klBeta * (1 - Math.exp(d)));
  });
  assertClose(await ctx.read(dlogprobs), want, { rel: 1e-4, abs: 1e-5 });
  const got = await ctx.read(stats);
  assertClose([got[0]], [loss], { rel: 1e-4, abs: 1e-4 });
  expect([got[3], got[6]]).toEqual([high, n]);
  expect(high).toBeGreaterThan(0);
});

test('clipRange: the flattest rollout gets the widest clip', async () => {
  const entropy = ctx.from(Float32Array.of(1, 9, 2, 4, 3));
  const featureMask = ctx.from(Uint32Array.of(1, 0, 1, 1, 0));
  const rowStart = ctx.from(Uint32Array.of(0, 2, 4, 5));
  const { clipHigh, featureEntropy, range } = clipRange(
    ctx,
    { entropy, featureMask, rowStart },
    { epsilonHighMin: 0.2, epsilonHighMax: 0.4 },
  );
  assertClose(await ctx.read(featureEntropy), [1, 3, 3], { rel: 0, abs: 1e-6 });
  assertClose(await ctx.read(range), [1, 3], { rel: 0, abs: 1e-6 });
  assertClose(await ctx.read(clipHigh), [0.2, 0.4, 0.4], { rel: 0, abs: 1e-6 });
});
