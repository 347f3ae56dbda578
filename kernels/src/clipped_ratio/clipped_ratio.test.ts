/**
 * Plan. Both entries against the oracle on every backend; n on both sides of the SIMD width 4 and of the block of 256.
 * Hostile values: equal policies (ratio exactly 1), ratios far beyond the bound of 20 both ways, tokens of weight 0 that carry
 * NaN and a rollout out of range, advantage 0, KL near 0 where exp(q) - q - 1 cancels.
 * Gradient against finite differences of the oracle's loss, on both sides of each of the four kinks and with each sign of A;
 * which side is flat is checked by name. One row by hand.
 */
import { launchRef } from '@eagrl/kernels';
import { assertClose, type KernelCase, type Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { clippedRatio } from './clipped_ratio.ts';

/** log-ratios are drawn at least 1e-3 from the clip's edges, where f32 and f64 could take different branches. */
function tokens(r: Random, n: number, num_rollouts: number, clip_low: number) {
  const table = new Float32Array(2 * num_rollouts);
  for (let i = 0; i < num_rollouts; i++) table.set([i === 1 ? 0 : r.normal(), 0.2 + 0.2 * r.next()], 2 * i);
  const rollout = r.ints(n, num_rollouts);
  const old_logprobs = r.uniforms(n, -4, 0);
  const logprobs = old_logprobs.map((old, i) => {
    const edges = [Math.log(1 - clip_low), Math.log(1 + table[2 * rollout[i] + 1])];
    for (;;) {
      const d = 0.3 * r.normal();
      if (edges.every((e) => Math.abs(d - e) > 1e-3)) return old + d;
    }
  });
  const ref_logprobs = logprobs.map((v) => v + 0.3 * r.normal());
  const weights = r.uniforms(n).map((v, i) => (i % 5 === 3 ? 0 : v));
  return { logprobs, old_logprobs, ref_logprobs, rollout, table, weights };
}

const cases: KernelCase[] = [
  ...[1, 3, 4, 5, 255, 256, 257, 511, 1000].map((n) => ({
    title: `n=${n}`,
    params: { n, num_rollouts: 8, clip_low: 0.2, kl_beta: 0.04 },
    inputs: (r: Random) => tokens(r, n, 8, 0.2),
    tolerance: TOLERANCE.reduction,
  })),
  {
    title: 'equal policies, kl_beta=0',
    params: { n: 70, num_rollouts: 3, clip_low: 0.2, kl_beta: 0 },
    inputs: (r: Random) => {
      const t = tokens(r, 70, 3, 0.2);
      return { ...t, logprobs: t.old_logprobs, ref_logprobs: t.old_logprobs };
    },
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'ratios beyond the bound',
    params: { n: 8, num_rollouts: 2, clip_low: 0.2, kl_beta: 1e-6 },
    inputs: () => ({
      logprobs: Float32Array.of(-1, -60, -0.5, -90, -1, -60, -0.5, -90),
      old_logprobs: Float32Array.of(-60, -1, -90, -0.5, -60, -1, -90, -0.5),
      ref_logprobs: Float32Array.of(-90, -1, -0.5, -0.5, -90, -1, -0.5, -0.5),
      rollout: Uint32Array.of(0, 0, 0, 0, 1, 1, 1, 1),
      table: Float32Array.of(1, 0.3, -1, 0.3),
      weights: Float32Array.of(1, 1, 1, 1, 1e-8, 1, 1e-8, 1),
    }),
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'weight 0 with NaN and a rollout out of range',
    params: { n: 6, num_rollouts: 1, clip_low: 0.2, kl_beta: 0.1 },
    inputs: () => {
      const hole = (v: number) => Float32Array.of(v, Number.NaN, v, v, v, Number.NaN);
      return {
        logprobs: hole(-1),
        old_logprobs: hole(-1.1),
        ref_logprobs: hole(-1.05),
        rollout: Uint32Array.of(0, 0xffffffff, 0, 0, 0, 0x7fffffff),
        table: Float32Array.of(-2, 0.3),
        weights: Float32Array.of(1, 0, 1, 0.5, 1, 0),
      };
    },
    tolerance: TOLERANCE.reduction,
  },
  {
    title: 'KL near 0',
    params: { n: 12, num_rollouts: 1, clip_low: 0.2, kl_beta: 1 },
    inputs: () => {
      // Dyadic steps, so that the f32 differences are exact and the relative error is the kernel's own.
      const ref_logprobs = Float32Array.from({ length: 12 }, (_, i) => (i % 2 ? -1 : 1) * 2 ** -i);
      const zeros = new Float32Array(12);
      return {
        logprobs: zeros,
        old_logprobs: zeros,
        ref_logprobs,
        rollout: new Uint32Array(12),
        table: Float32Array.of(0, 0.2),
        weights: new Float32Array(12).fill(1),
      };
    },
    tolerance: { rel: 1e-5, abs: 1e-12 },
  },
];
testKernel(clippedRatio, 'clipped_ratio', cases);
testVariant(clippedRatio, 'clipped_ratio', 'tree', cases);

const reductions = [1, 2, 7, 300].map((blocks) => ({
  title: `blocks=${blocks}`,
  params: { blocks },
  inputs: (r: Random) => ({ partials: r.uniforms(blocks * 8) }),
  tolerance: TOLERANCE.reduction,
}));
testKernel(clippedRatio, 'clipped_ratio_reduce', reductions);
testVariant(clippedRatio, 'clipped_ratio_reduce', 'tree', reductions);

test('clipped_ratio ref gradient equals finite differences of its loss on both sides of every kink', () => {
  const params = { n: 16, num_rollouts: 2, clip_low: 0.2, kl_beta: 0.07 };
  // Just below and just above 1 - clip_low, 1 + eps_high and the two bounds of the exponent; each with A > 0 and A < 0.
  const kinks = [Math.log(0.8), Math.log(1.3), -20, 20];
  const diffs = kinks.flatMap((k) => [k - 1e-3, k + 1e-3, k - 1e-3, k + 1e-3]);
  const rollout = Float64Array.from({ length: 16 }, (_, i) => (i % 4 < 2 ? 0 : 1));
  const old_logprobs = new Float64Array(16).fill(-1);
  const logprobs = Float64Array.from(diffs, (d) => d - 1);
  const ref_logprobs = logprobs.map((v, i) => v + (i % 3) - 1);
  // The loss grows like e^20 on the branch that is not clipped: its weight keeps the differences in f64's range.
  const weights = Float64Array.from(diffs, (d) => (d > 10 ? 1e-6 : 0.5));
  const table = Float64Array.of(1.5, 0.3, -0.7, 0.3);
  const run = (lp: Float64Array) => {
    const out = { dlogprobs: new Float64Array(16), partials: new Float64Array(8) };
    clippedRatio.ref.clipped_ratio({ ...out, logprobs: lp, old_logprobs, ref_logprobs, rollout, table, weights }, params);
    return out;
  };
  const { dlogprobs } = run(logprobs);
  const h = 1e-5;
  for (let i = 0; i < 16; i++) {
    // One token at a time: the others' terms would drown its differences.
    const at = (d: number) => {
      const out = { dlogprobs: new Float64Array(1), partials: new Float64Array(8) };
      const one = (a: Float64Array) => a.slice(i, i + 1);
      const moved = Float64Array.of(logprobs[i] + d);
      const rest = {
        old_logprobs: one(old_logprobs),
        ref_logprobs: one(ref_logprobs),
        rollout: one(rollout),
        table,
        weights: one(weights),
      };
      clippedRatio.ref.clipped_ratio({ ...out, logprobs: moved, ...rest }, { ...params, n: 1 });
      return out.partials[0];
    };
    assertClose([dlogprobs[i]], [(at(h) - at(-h)) / (2 * h)], { ...TOLERANCE.finiteDifference, label: `token ${i}` });
  }
  const noKl = launchRef(
    clippedRatio,
    'clipped_ratio',
    {
      logprobs: Float32Array.from(logprobs),
      old_logprobs: Float32Array.from(old_logprobs),
      ref_logprobs: Float32Array.from(ref_logprobs),
      rollout: Uint32Array.from(rollout),
      table: Float32Array.from(table),
      weights: Float32Array.from(weights),
    },
    { ...params, kl_beta: 0 },
  );
  const flat = Array.from(noKl.dlogprobs, (g) => g === 0);
  expect(flat).toEqual([
    ...[false, false, true, false], // 1 - clip_low: flat below it, for A < 0 only
    ...[false, true, false, false], // 1 + eps_high: flat above it, for A > 0 only
    ...[true, false, true, true], // -20: flat below; above, A < 0 is clipped already
    ...[true, true, false, true], // +20: flat above; below, A > 0 is clipped already
  ]);
});

test('clipped_ratio: one block by hand', () => {
  const ln = Math.log;
  const { dlogprobs, partials } = launchRef(
    clippedRatio,
    'clipped_ratio',
    {
      logprobs: Float32Array.of(ln(0.5), ln(0.2), 0),
      old_logprobs: Float32Array.of(ln(0.25), ln(0.4), 0),
      ref_logprobs: Float32Array.of(ln(0.5), ln(0.2), 0),
      rollout: Uint32Array.of(0, 1, 1),
      table: Float32Array.of(1, 0.25, -2, 0.25),
      weights: Float32Array.of(0.5, 0.5, 0),
    },
    { n: 3, num_rollouts: 2, clip_low: 0.25, kl_beta: 1 },
  );
  // ratios 2 and 0.5, clipped to 1.25 and 0.75: surr = 1.25 and -1.5, loss = 0.5 (-1.25 + 1.5).
  assertClose(dlogprobs, [0, 0, 0], TOLERANCE.elementwise);
  assertClose(partials, [0.125, 0, 1, 1, 2.5, 2 * ln(2), 2, ln(2)], TOLERANCE.elementwise);
});
