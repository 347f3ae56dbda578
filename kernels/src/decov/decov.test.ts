/**
 * Plan. Both entries against the oracle on every backend; channels and columns on both sides of the SIMD width 4 and of the workgroup
 * size 64; a batch of one (all centred values are 0); an offset of 1,000 that centring must take out. The gradient formula
 * 2 / (B - 1) xc Co against finite differences of the loss computed by plain loops.
 */
import { assertClose, centralDifferences, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { decov } from './decov.ts';

const centred: KernelCase[] = [
  ...[
    [3, 8, 16],
    [1, 1, 1],
    [1, 5, 63],
    [64, 2, 1],
    [5, 3, 13],
    [1, 140, 65],
    [2, 256, 17],
    [1, 257, 3],
  ].map(([tokens, batch, channels]) => ({
    title: `tokens=${tokens} batch=${batch} channels=${channels}`,
    params: { tokens, batch, channels },
    inputs: (r: Random) => ({ x: r.normals(tokens * batch * channels) }),
    tolerance: TOLERANCE.reduction,
  })),
  {
    title: 'offset of 1000',
    params: { tokens: 2, batch: 16, channels: 7 },
    inputs: (r: Random) => ({ x: r.normals(224).map((v) => v + 1000) }),
    // 16 roundings of sums around 16,000 leave an error of 2^-24 of that in the mean.
    tolerance: { rel: 2e-5, abs: 5e-4 },
  },
];
testKernel(decov, 'decov_center', centred);
testVariant(decov, 'decov_center', 'held', centred);

testKernel(
  decov,
  'decov_loss',
  [
    [3, 16],
    [1, 1],
    [2, 3],
    [1, 7],
    [1, 65],
    [65, 2],
  ].map(([tokens, channels]) => ({
    title: `tokens=${tokens} channels=${channels}`,
    params: { tokens, channels },
    inputs: (r: Random) => ({ cov: r.normals(tokens * channels * channels) }),
    tolerance: TOLERANCE.reduction,
  })),
);

test('decov: 2 / (B - 1) xc Co is the gradient of the loss', () => {
  const tokens = 2;
  const batch = 5;
  const channels = 3;
  const parts = (x: Float64Array) => {
    const xc = new Float64Array(x.length);
    decov.ref.decov_center({ xc, x }, { tokens, batch, channels });
    const cov = new Float64Array(tokens * channels * channels);
    for (let s = 0; s < tokens; s++)
      for (let i = 0; i < channels; i++)
        for (let j = 0; j < channels; j++)
          for (let b = 0; b < batch; b++) {
            const row = (s * batch + b) * channels;
            cov[(s * channels + i) * channels + j] += (xc[row + i] * xc[row + j]) / (batch - 1);
          }
    const losses = new Float64Array(tokens);
    decov.ref.decov_loss({ losses, cov }, { tokens, channels });
    return { xc, cov, loss: losses[0] + losses[1] };
  };
  const x = Float64Array.from(new Random('decov fd').normals(tokens * batch * channels));
  const { xc, cov } = parts(x);
  const dx = x.map((_, n) => {
    const row = n - (n % channels);
    const s = Math.floor(n / (batch * channels));
    let sum = 0;
    for (let j = 0; j < channels; j++) sum += xc[row + j] * cov[(s * channels + j) * channels + (n % channels)];
    return (2 * sum) / (batch - 1);
  });
  assertClose(
    dx,
    centralDifferences((v) => parts(v).loss, x),
    TOLERANCE.finiteDifference,
  );
});
