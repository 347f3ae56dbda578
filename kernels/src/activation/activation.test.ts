/**
 * Plan. Each entry against the oracle on every backend: sizes on both sides of the SIMD width 4 and of the workgroup size 64; tanh at 0,
 * near 0 and where e^2x overflows; ReLU at 0 of both signs. The oracle's backward against finite differences of its forward, away from
 * the kink of ReLU.
 */
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { activation } from './activation.ts';

const sizes = [128, 1, 3, 4, 5, 63, 65, 259];

for (const [name, tolerance] of [
  ['tanh', TOLERANCE.transcendental],
  ['relu', TOLERANCE.elementwise],
] as const) {
  testKernel(activation, `${name}_fwd`, [
    ...sizes.map((n) => ({ title: `n=${n}`, params: { n }, inputs: (r: Random) => ({ x: r.normals(n, 2) }), tolerance })),
    {
      title: 'zeros, tiny and huge values',
      params: { n: 9 },
      inputs: () => ({ x: Float32Array.of(0, -0, 1e-20, -1e-4, 20, -20, 1e30, -1e30, 0.5) }),
      tolerance,
    },
  ]);
  testKernel(
    activation,
    `${name}_bwd`,
    sizes.map((n) => ({
      title: `n=${n}`,
      params: { n },
      inputs: (r: Random) => ({ dy: r.normals(n), y: r.uniforms(n, -1, 1).map((v, i) => (i % 5 === 0 ? 0 : v)) }),
      tolerance,
    })),
  );

  test(`${name} ref: backward equals finite differences of the forward`, () => {
    const n = 8;
    const r = new Random(`${name} fd`);
    const x = Float64Array.from(r.normals(n), (v) => v + Math.sign(v) * 0.01);
    const dy = Float64Array.from(r.normals(n));
    const forward = (v: Float64Array) => {
      const y = new Float64Array(n);
      activation.ref[`${name}_fwd`]({ y, x: v }, { n });
      return y;
    };
    const dx = new Float64Array(n);
    activation.ref[`${name}_bwd`]({ dx, dy, y: forward(x) }, { n });
    const loss = (v: Float64Array) => forward(v).reduce((s, y, i) => s + y * dy[i], 0);
    assertClose(dx, centralDifferences(loss, x), TOLERANCE.finiteDifference);
  });
}
