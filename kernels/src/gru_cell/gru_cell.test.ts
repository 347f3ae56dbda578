/**
 * Plan. Forward and backward against the oracle on every backend; hidden sizes on both sides of the SIMD width 4, elements on both sides of
 * the workgroup 64, rows 1 and many. Hostile products: 0, saturated gates, beyond exp's range. The oracle's backward against finite
 * differences of its forward.
 */
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import type { HostBuffers } from '../common/launch.ts';
import { gruCell } from './gru_cell.ts';

const SHAPES = [
  [1, 1],
  [2, 3],
  [5, 4],
  [3, 21],
  [4, 16],
  [7, 33],
  [130, 8],
] as const;
const HOSTILE = Float32Array.of(0, -0, 20, -20, 89, -89, 200, -200, 1e-20, -1e-20, 1e4, -1e4);

for (const entry of ['gru_cell_fwd', 'gru_cell_bwd'] as const) {
  const dy = (r: Random, n: number): HostBuffers => (entry === 'gru_cell_bwd' ? { dy: r.normals(n) } : {});
  testKernel(gruCell, entry, [
    ...SHAPES.map(([rows, hidden]) => ({
      title: `rows=${rows} hidden=${hidden}`,
      params: { rows, hidden },
      inputs: (r: Random) => {
        const n = rows * hidden;
        return { ...dy(r, n), gi: r.normals(3 * n, 2), gh: r.normals(3 * n, 2), h: r.uniforms(n, -1, 1) };
      },
      tolerance: TOLERANCE.transcendental,
    })),
    {
      title: 'zero and saturated gates',
      params: { rows: 4, hidden: 1 },
      inputs: (r: Random) => ({ ...dy(r, 4), gi: HOSTILE, gh: HOSTILE.map((v) => v / 2), h: r.uniforms(4, -1, 1) }),
      tolerance: TOLERANCE.transcendental,
    },
  ]);
}

test('gru_cell_bwd ref equals finite differences of gru_cell_fwd ref', () => {
  const r = new Random('gru_cell fd');
  const shape = { rows: 2, hidden: 3 };
  const [gi, gh] = [18, 18].map((n) => Float64Array.from(r.normals(n)));
  const [h, dy] = [6, 6].map((n) => Float64Array.from(r.normals(n)));
  const loss = (a: Float64Array, b: Float64Array, c: Float64Array) => {
    const y = new Float64Array(6);
    gruCell.ref.gru_cell_fwd({ y, gi: a, gh: b, h: c }, shape);
    return y.reduce((s, v, i) => s + v * dy[i], 0);
  };
  const [dgi, dgh, dh] = [new Float64Array(18), new Float64Array(18), new Float64Array(6)];
  gruCell.ref.gru_cell_bwd({ dgi, dgh, dh, dy, gi, gh, h }, shape);
  for (const [got, want] of [
    [dgi, centralDifferences((v) => loss(v, gh, h), gi)],
    [dgh, centralDifferences((v) => loss(gi, v, h), gh)],
    [dh, centralDifferences((v) => loss(gi, gh, v), h)],
  ] as const) {
    assertClose(got, want, TOLERANCE.finiteDifference);
  }
});
