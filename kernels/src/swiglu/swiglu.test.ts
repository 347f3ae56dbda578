/**
 * Plan. Forward and backward against the oracle on every backend; n at 1 and on both sides of the SIMD width 4, the workgroup 256 and
 * the work item 1024; the fused form in rows of odd widths and of fours. Hostile gates: 0, saturated either way, beyond exp's range. The oracle's backward against finite differences.
 */
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { swiglu } from './swiglu.ts';

const SIZES = [1, 3, 4, 5, 255, 256, 257, 1023, 1024, 1025, 3079, 1028, 2052];
const HOSTILE = Float32Array.of(0, -0, 20, -20, 87, -87, 89, -89, 200, -200, 1e-20, -1e-20, 1e4, -1e4, 1, -1);

const forward: KernelCase[] = [
  ...SIZES.map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ gate: r.normals(n, 3), up: r.normals(n) }),
    tolerance: TOLERANCE.transcendental,
  })),
  {
    title: 'zero and saturated gates',
    params: { n: HOSTILE.length },
    inputs: (r: Random) => ({ gate: HOSTILE, up: r.normals(HOSTILE.length) }),
    tolerance: TOLERANCE.transcendental,
  },
];
testKernel(swiglu, 'swiglu_fwd', forward);
testVariant(swiglu, 'swiglu_fwd', 'vec4', forward);

const backward: KernelCase[] = [
  ...SIZES.map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ dy: r.normals(n), gate: r.normals(n, 3), up: r.normals(n) }),
    tolerance: TOLERANCE.transcendental,
  })),
  {
    title: 'zero and saturated gates',
    params: { n: HOSTILE.length },
    inputs: (r: Random) => ({ dy: r.normals(HOSTILE.length), gate: HOSTILE, up: r.normals(HOSTILE.length) }),
    tolerance: TOLERANCE.transcendental,
  },
];
testKernel(swiglu, 'swiglu_bwd', backward);
testVariant(swiglu, 'swiglu_bwd', 'vec4', backward);

const ROWS = [
  [1, 1],
  [3, 5],
  [5, 4],
  [2, 255],
  [3, 704],
  [257, 8],
];
const fusedInputs = { swiglu_fused_fwd: ['gate_up'], swiglu_fused_bwd: ['dy', 'gate_up'] };
for (const [entry, names] of Object.entries(fusedInputs)) {
  const fused: KernelCase[] = [
    ...ROWS.map(([rows, cols]) => ({
      title: `rows=${rows} cols=${cols}`,
      params: { rows, cols },
      inputs: (r: Random) => Object.fromEntries(names.map((n) => [n, r.normals(rows * cols * (n === 'dy' ? 1 : 2), n === 'dy' ? 1 : 3)])),
      tolerance: TOLERANCE.transcendental,
    })),
    {
      title: 'zero and saturated gates',
      params: { rows: 1, cols: HOSTILE.length },
      inputs: (r: Random) => {
        const all = { dy: r.normals(HOSTILE.length), gate_up: Float32Array.of(...HOSTILE, ...r.normals(HOSTILE.length)) };
        return Object.fromEntries(Object.entries(all).filter(([n]) => names.includes(n)));
      },
      tolerance: TOLERANCE.transcendental,
    },
  ];
  testKernel(swiglu, entry, fused);
  testVariant(swiglu, entry, 'vec4', fused);
}

test('swiglu_fused ref is swiglu row by row, gate before up', () => {
  const r = new Random('swiglu fused');
  const [gate, up, dy] = [2, 1, 1].map((scale) => Float64Array.from(r.normals(6, scale)));
  const rows = (a: Float64Array, b: Float64Array) => Float64Array.of(...a.slice(0, 3), ...b.slice(0, 3), ...a.slice(3), ...b.slice(3));
  const [y, want, dgate, dup] = [6, 6, 6, 6].map((n) => new Float64Array(n));
  const dgate_up = new Float64Array(12);
  const shape = { rows: 2, cols: 3 };
  swiglu.ref.swiglu_fused_fwd({ y, gate_up: rows(gate, up) }, shape);
  swiglu.ref.swiglu_fwd({ y: want, gate, up }, { n: 6 });
  expect(y).toEqual(want);
  swiglu.ref.swiglu_fused_bwd({ dgate_up, dy, gate_up: rows(gate, up) }, shape);
  swiglu.ref.swiglu_bwd({ dgate, dup, dy, gate, up }, { n: 6 });
  expect(dgate_up).toEqual(rows(dgate, dup));
});

test('swiglu_bwd ref equals finite differences of swiglu_fwd ref', () => {
  const r = new Random('swiglu fd');
  const n = 7;
  const [gate, up, dy] = [2, 1, 1].map((scale) => Float64Array.from(r.normals(n, scale)));
  const loss = (g: Float64Array, u: Float64Array) => {
    const y = new Float64Array(n);
    swiglu.ref.swiglu_fwd({ y, gate: g, up: u }, { n });
    return y.reduce((s, v, i) => s + v * dy[i], 0);
  };
  const nudge = (v: Float64Array, at: number, d: number) => v.map((e, i) => (i === at ? e + d : e));
  const [dgate, dup] = [new Float64Array(n), new Float64Array(n)];
  swiglu.ref.swiglu_bwd({ dgate, dup, dy, gate, up }, { n });
  const h = 1e-5;
  const wantGate = gate.map((_, i) => (loss(nudge(gate, i, h), up) - loss(nudge(gate, i, -h), up)) / (2 * h));
  const wantUp = up.map((_, i) => (loss(gate, nudge(up, i, h)) - loss(gate, nudge(up, i, -h))) / (2 * h));
  assertClose(dgate, wantGate, TOLERANCE.finiteDifference);
  assertClose(dup, wantUp, TOLERANCE.finiteDifference);
});
