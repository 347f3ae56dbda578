/**
 * Plan. Losses, gradient and probabilities against the oracle on every backend: sizes on both sides of the workgroup size 64; weights
 * of 0; logits where e^z overflows; soft labels. The oracle's gradient against finite differences of its losses.
 */
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { bce } from './bce.ts';

testKernel(bce, 'bce_logits', [
  ...[128, 1, 63, 64, 65, 257].map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ logits: r.normals(n, 3), labels: Float32Array.from(r.ints(n, 2)), weights: r.uniforms(n, 0, 2) }),
    tolerance: TOLERANCE.transcendental,
  })),
  {
    title: 'logits of +-200, zero weights and soft labels',
    params: { n: 6 },
    inputs: () => ({
      logits: Float32Array.of(200, -200, 200, -200, 0, 5),
      labels: Float32Array.of(1, 0, 0, 1, 0.5, 0.3),
      weights: Float32Array.of(1, 1, 1, 1, 1, 0),
    }),
    tolerance: TOLERANCE.transcendental,
  },
]);

test('bce ref: dlogits equals finite differences of the summed losses', () => {
  const n = 5;
  const r = new Random('bce fd');
  const [labels, weights, x] = [r.uniforms(n), r.uniforms(n), r.normals(n, 2)].map((v) => Float64Array.from(v));
  const run = (logits: Float64Array) => {
    const out = { losses: new Float64Array(n), dlogits: new Float64Array(n), probabilities: new Float64Array(n) };
    bce.ref.bce_logits({ ...out, logits, labels, weights }, { n });
    return out;
  };
  const loss = (z: Float64Array) => run(z).losses.reduce((a, b) => a + b, 0);
  assertClose(run(x).dlogits, centralDifferences(loss, x), TOLERANCE.finiteDifference);
});
