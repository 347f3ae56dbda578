/**
 * Plan. Forward and backward against the oracle on every backend; n at 1 and on both sides of the SIMD width 4, the workgroup 256 and
 * the work item 1024. Hostile z: 0, saturated either way, beyond exp's range. The oracle's backward against finite differences.
 */
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { gate } from './gate.ts';

const SIZES = [1, 3, 4, 5, 255, 256, 257, 1023, 1024, 1025, 3079];
const HOSTILE = Float32Array.of(0, -0, 20, -20, 87, -87, 89, -89, 200, -200, 1e-20, -1e-20, 1e4, -1e4);

testKernel(gate, 'gate_fwd', [
  ...SIZES.map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ x: r.normals(n), z: r.normals(n, 3) }),
    tolerance: TOLERANCE.transcendental,
  })),
  {
    title: 'zero and saturated gates',
    params: { n: HOSTILE.length },
    inputs: (r: Random) => ({ x: r.normals(HOSTILE.length), z: HOSTILE }),
    tolerance: TOLERANCE.transcendental,
  },
]);

testKernel(
  gate,
  'gate_bwd',
  SIZES.map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ dy: r.normals(n), x: r.normals(n), g: r.uniforms(n, 0, 1).map((v, i) => (i % 5 === 0 ? i % 2 : v)) }),
    tolerance: TOLERANCE.elementwise,
  })),
);

test('gate_bwd ref equals finite differences of gate_fwd ref', () => {
  const r = new Random('gate fd');
  const n = 7;
  const [x, z, dy] = [1, 2, 1].map((scale) => Float64Array.from(r.normals(n, scale)));
  const forward = (u: Float64Array, v: Float64Array) => {
    const [y, g] = [new Float64Array(n), new Float64Array(n)];
    gate.ref.gate_fwd({ y, g, x: u, z: v }, { n });
    return { g, loss: y.reduce((s, value, i) => s + value * dy[i], 0) };
  };
  const [dx, dz] = [new Float64Array(n), new Float64Array(n)];
  gate.ref.gate_bwd({ dx, dz, dy, x, g: forward(x, z).g }, { n });
  assertClose(
    dx,
    centralDifferences((u) => forward(u, z).loss, x),
    TOLERANCE.finiteDifference,
  );
  assertClose(
    dz,
    centralDifferences((v) => forward(x, v).loss, z),
    TOLERANCE.finiteDifference,
  );
});
