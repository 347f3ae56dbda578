/**
 * Plan. Against the oracle on every backend: head_dim / 2 around the SIMD width 4, pairs around the workgroup 64, both signs, positions
 * out of order, repeated, and beyond the table (zeros). The oracle's sign = -1 is the gradient (finite differences) and the inverse
 * of sign = 1; a hand-computed quarter turn fixes the pairing.
 */
import type { HostBuffers, Params } from '@eagrl/kernels';
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { rope } from './rope.ts';

/** Rows of real angles, theta 10,000. */
function table(maxPos: number, headDim: number): Float32Array<ArrayBuffer> {
  const half = headDim / 2;
  return Float32Array.from({ length: maxPos * headDim }, (_, i) => {
    const [position, d] = [Math.floor(i / headDim), i % headDim];
    const angle = position * 10_000 ** (-(d % half) / half);
    return d < half ? Math.cos(angle) : Math.sin(angle);
  });
}

function inputs(r: Random, { tokens, heads, head_dim, max_pos }: Params): HostBuffers {
  return { x: r.normals(tokens * heads * head_dim), positions: r.ints(tokens, max_pos), cos_sin: table(max_pos, head_dim) };
}

const SHAPES = [
  [5, 4, 64],
  [1, 1, 2],
  [3, 2, 6],
  [3, 2, 8],
  [7, 3, 10],
  [16, 1, 8],
  [65, 1, 2],
];

const cases: KernelCase[] = [
  ...SHAPES.flatMap(([tokens, heads, head_dim]) =>
    [1, -1].map((sign) => ({
      title: `tokens=${tokens} heads=${heads} head_dim=${head_dim} sign=${sign}`,
      params: { tokens, heads, head_dim, max_pos: 33, sign },
      inputs,
      tolerance: TOLERANCE.elementwise,
    })),
  ),
  ...[12, 16].map((head_dim) => ({
    title: `positions at and beyond the table, head_dim=${head_dim}`,
    params: { tokens: 4, heads: 2, head_dim, max_pos: 9, sign: 1 },
    inputs: (r: Random, p: Params) => ({ ...inputs(r, p), positions: Uint32Array.of(8, 9, 0xffffffff, 0) }),
    tolerance: TOLERANCE.elementwise,
  })),
];
testKernel(rope, 'rope_fwd', cases);
testVariant(rope, 'rope_fwd', 'vec4', cases);

test('rope_fwd ref: sign -1 is the gradient and the inverse of sign 1', () => {
  const r = new Random('rope fd');
  const shape = { tokens: 3, heads: 2, head_dim: 6, max_pos: 7 };
  const x = Float64Array.from(r.normals(36));
  const dy = Float64Array.from(r.normals(36));
  const positions = [4, 0, 6];
  const cos_sin = Float64Array.from({ length: 42 }, (_, i) => {
    const angle = Math.floor(i / 6) * (1 + (i % 3));
    return i % 6 < 3 ? Math.cos(angle) : Math.sin(angle);
  });
  const turn = (v: Float64Array, sign: number) => {
    const y = new Float64Array(36);
    rope.ref.rope_fwd({ y, x: v, positions, cos_sin }, { ...shape, sign });
    return y;
  };
  const h = 1e-5;
  const loss = (at: number, d: number) =>
    turn(
      x.map((v, i) => (i === at ? v + d : v)),
      1,
    ).reduce((s, v, i) => s + v * dy[i], 0);
  assertClose(
    turn(dy, -1),
    x.map((_, i) => (loss(i, h) - loss(i, -h)) / (2 * h)),
    TOLERANCE.finiteDifference,
  );
  assertClose(turn(turn(x, 1), -1), x, { rel: 1e-12, abs: 1e-12 });
});

test('rope_fwd ref: a quarter turn sends (a, b) to (-b, a), d paired with d + head_dim / 2', () => {
  const y = new Float64Array(4);
  const x = Float64Array.of(1, 2, 3, 4);
  const shape = { tokens: 1, heads: 1, head_dim: 4, max_pos: 1, sign: 1 };
  rope.ref.rope_fwd({ y, x, positions: [0], cos_sin: Float64Array.of(0, 1, 1, 0) }, shape);
  expect(Array.from(y)).toEqual([-3, 2, 1, 4]);
});
