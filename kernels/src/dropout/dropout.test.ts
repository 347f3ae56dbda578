/**
 * Plan. Against the oracle on every backend: n on both sides of the vector width 4, the work item 64 and the workgroup 256;
 * rates 0, small, half, near 1; seeds and streams with the top bit set. All 24 bits of the draw: a rate equal to one element's
 * draw keeps it, the next rate above drops it. y assigned and not read (NaN), or added to given values. Share of kept elements; another stream gives another mask; backward = the same mask.
 */
import { launchRef, launchWasm, launchWebgpu } from '@eagrl/kernels';
import { type Random, TOLERANCE, testDevice, testKernel } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { threefry2x32, uniform01 } from '../common/threefry.ref.ts';
import { dropout } from './dropout.ts';

const unread = (n: number) => new Float32Array(n).fill(Number.NaN);

testKernel(
  dropout,
  'dropout_fwd',
  [
    { n: 1, rate: 0.5, seed: 1, stream: 2 },
    { n: 3, rate: 0.1, seed: 0, stream: 0 },
    { n: 63, rate: 0.1, seed: 0xffffffff, stream: 0xffffffff },
    { n: 64, rate: 0, seed: 5, stream: 0x80000000 },
    { n: 65, rate: 0.99, seed: 0x13198a2e, stream: 0x03707344 },
    { n: 255, rate: 0.3, seed: 7, stream: 1 },
    { n: 256, rate: 0.3, seed: 7, stream: 2 },
    { n: 257, rate: 0.3, seed: 7, stream: 3 },
    { n: 70_003, rate: 0.1, seed: 11, stream: 12 },
    ...[1, 3, 64, 65, 257].map((n) => ({ n, rate: 0.3, seed: 7, stream: 4, accumulate: 1 })),
  ].map(({ accumulate = 0, ...p }: { n: number; rate: number; seed: number; stream: number; accumulate?: number }) => ({
    title: `n=${p.n} rate=${p.rate} seed=${p.seed} stream=${p.stream}${accumulate ? ' accumulate' : ''}`,
    params: { ...p, accumulate },
    inputs: (r: Random) => ({ x: r.normals(p.n, 3), y: accumulate ? r.normals(p.n) : unread(p.n) }),
    tolerance: TOLERANCE.elementwise,
  })),
);

test.each(['wasm', 'webgpu'] as const)('dropout_fwd %s compares all 24 bits of the draw', async (backend) => {
  const [seed, stream, n] = [0x9e3779b9, 3, 70];
  const x = new Float32Array(n).fill(1);
  const kept = async (rate: number, i: number) => {
    const params = { n, rate, seed, stream, accumulate: 0 };
    const inputs = { x, y: unread(n) };
    const { y } =
      backend === 'wasm'
        ? launchWasm(dropout, 'dropout_fwd', inputs, params)
        : await launchWebgpu(await testDevice(), dropout, 'dropout_fwd', inputs, params);
    return y[i] !== 0;
  };
  // Elements of the vector and of the scalar part; a draw plus 2^-24 is still exact in f32.
  for (const i of [0, 5, 6, 68, 69]) {
    const u = uniform01(threefry2x32(seed, stream, i, 0)[0]);
    expect(await kept(u, i), `element ${i} at its own draw`).toBe(true);
    expect(await kept(u + 2 ** -24, i), `element ${i} just above its draw`).toBe(false);
  }
});

test('dropout_fwd ref keeps 1 - rate of the elements, otherwise per stream', () => {
  const n = 40_000;
  const x = new Float32Array(n).fill(1);
  const mask = (stream: number) =>
    launchRef(dropout, 'dropout_fwd', { x, y: unread(n) }, { n, rate: 0.25, seed: 3, stream, accumulate: 0 }).y.map((v) => Math.sign(v));
  const a = mask(0);
  const b = mask(1);
  const share = (m: Float64Array) => m.reduce((s, v) => s + v, 0) / n;
  // Four standard deviations of a binomial share: 4 sqrt(0.25 * 0.75 / n) = 0.0087.
  expect(Math.abs(share(a) - 0.75)).toBeLessThan(0.0087);
  expect(Math.abs(share(a.map((v, i) => v * b[i])) - 0.5625)).toBeLessThan(0.01);
});
