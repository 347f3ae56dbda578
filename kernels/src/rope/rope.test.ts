/**
 * Plan. Against the oracle on every backend: head_dim / 2 around the SIMD width 4, pairs around the workgroup 64, both signs, positions
 * out of order, repeated, and beyond the table (zeros). The oracle's sign = -1 is the gradient (finite differences) and the inverse
 * of sign = 1; a hand-computed quarter turn fixes the pairing. The fused projection: one and several heads to a kv head; its oracle is rope_fwd's on
 * each part, its backward the transpose (it is linear).
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

const FUSED_SHAPES = [
  [5, 4, 2, 64],
  [1, 1, 1, 2],
  [3, 3, 1, 6],
  [3, 4, 2, 8],
  [7, 2, 2, 10],
  [33, 1, 1, 16],
];
const parts: Readonly<Record<string, readonly string[]>> = { rope_qkv_fwd: ['qkv'], rope_qkv_bwd: ['dq', 'dk', 'dv'] };
for (const [entry, names] of Object.entries(parts)) {
  const fusedInputs = (r: Random, p: Params): HostBuffers => {
    const need: Readonly<Record<string, number>> = rope.entries.rope_qkv_fwd.size(p as never);
    const length = (name: string) => need[name === 'qkv' ? name : name.slice(1)];
    const given = Object.fromEntries(names.map((name) => [name, r.normals(length(name))]));
    return { ...given, positions: r.ints(p.tokens, p.max_pos), cos_sin: table(p.max_pos, p.head_dim) };
  };
  const fusedCases: KernelCase[] = [
    ...FUSED_SHAPES.map(([tokens, heads, kv_heads, head_dim]) => ({
      title: `tokens=${tokens} heads=${heads} kv_heads=${kv_heads} head_dim=${head_dim}`,
      params: { tokens, heads, kv_heads, head_dim, max_pos: 33 },
      inputs: fusedInputs,
      tolerance: TOLERANCE.elementwise,
    })),
    ...[12, 16].map((head_dim) => ({
      title: `positions at and beyond the table, head_dim=${head_dim}`,
      params: { tokens: 4, heads: 2, kv_heads: 1, head_dim, max_pos: 9 },
      inputs: (r: Random, p: Params) => ({ ...fusedInputs(r, p), positions: Uint32Array.of(8, 9, 0xffffffff, 0) }),
      tolerance: TOLERANCE.elementwise,
    })),
  ];
  testKernel(rope, entry, fusedCases);
  testVariant(rope, entry, 'vec4', fusedCases);
}

test('rope_qkv ref: rows of q, k and v one after the other, and the backward is the transpose', () => {
  const r = new Random('rope qkv');
  const shape = { tokens: 2, heads: 2, kv_heads: 1, head_dim: 4, max_pos: 5 };
  const turn = { positions: [3, 1], cos_sin: Float64Array.from(table(5, 4)) };
  const fwd = (qkv: Float64Array) => {
    const [q, k, v] = [16, 8, 8].map((n) => new Float64Array(n));
    rope.ref.rope_qkv_fwd({ q, k, v, qkv, ...turn }, shape);
    return { q, k, v };
  };
  // Token 0 holds q of 8, k of 4, v of 4.
  const qkv = Float64Array.from(r.normals(32));
  const { q, k, v } = fwd(qkv);
  const head = new Float64Array(4);
  rope.ref.rope_fwd({ y: head, x: qkv.slice(16 + 8, 16 + 12), ...turn, positions: [1] }, { ...shape, tokens: 1, heads: 1, sign: 1 });
  expect(Array.from(k.slice(4))).toEqual(Array.from(head));
  expect(Array.from(v)).toEqual([...qkv.slice(12, 16), ...qkv.slice(28, 32)]);
  const [dq, dk, dv] = [16, 8, 8].map((n) => Float64Array.from(r.normals(n)));
  const dqkv = new Float64Array(32);
  rope.ref.rope_qkv_bwd({ dqkv, dq, dk, dv, ...turn }, shape);
  const dot = (a: Float64Array, b: Float64Array) => a.reduce((s, x, i) => s + x * b[i], 0);
  expect(dot(dqkv, qkv)).toBeCloseTo(dot(dq, q) + dot(dk, k) + dot(dv, v), 12);
});

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
