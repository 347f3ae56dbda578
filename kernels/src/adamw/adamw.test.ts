/**
 * Plan. The three entries against the oracle on every backend; n on both sides of the SIMD width, of the decay block 64, of the
 * workgroup size 256 and of the chunk 4096. Hostile: zero gradients with zero moments (0 / eps), tiny and large gradients, one NaN
 * or infinity among many (must reach the norm and skip the step bit for bit), a norm under, over and without its limit.
 * Ten steps from zero moments against torch.optim.AdamW's published recurrence written out for one element.
 */
import { launchRef, launchWasm, launchWebgpu } from '@eagrl/kernels';
import { assertClose, type Random, TOLERANCE, testDevice, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { adamw } from './adamw.ts';

const partials = [
  ...[1, 7, 8, 9, 16, 255, 257, 4080, 4095, 4096, 4097, 4112, 10_000].map((n) => ({
    title: `n=${n}`,
    params: { n },
    inputs: (r: Random) => ({ grad: r.normals(n) }),
    tolerance: TOLERANCE.reduction,
  })),
  ...[Number.NaN, Number.POSITIVE_INFINITY, 1e30].map((bad) => ({
    title: `one ${bad} in the second chunk`,
    params: { n: 9008 },
    inputs: (r: Random) => {
      const grad = r.normals(9008);
      grad[5000] = bad;
      // Given, so that a NaN cannot be the poison of an element that was not written.
      return { grad, partials: new Float32Array(3) };
    },
    // Squares beyond the f32 range count as infinite: 1e30 is compared below.
    compare: (name: string) => (name === 'partials' && bad === 1e30 ? ([2, 3] as const) : undefined),
    tolerance: TOLERANCE.reduction,
  })),
];
testKernel(adamw, 'grad_norm_partial', partials);
for (const variant of ['thread_per_chunk', 'held']) testVariant(adamw, 'grad_norm_partial', variant, partials);

const norms = [
  ...[1, 3, 4, 5, 255, 256, 257, 900, 8192, 8193].map((count) => ({
    title: `count=${count}`,
    params: { count, max_norm: 1 },
    inputs: (r: Random) => ({ partials: r.uniforms(count) }),
    tolerance: TOLERANCE.reduction,
  })),
  ...[
    { title: 'under the limit', max_norm: 100, value: 4 },
    { title: 'no limit', max_norm: 0, value: 1e6 },
    { title: 'zero gradient', max_norm: 1, value: 0 },
    { title: 'NaN', max_norm: 1, value: Number.NaN },
    { title: 'infinity', max_norm: 1, value: Number.POSITIVE_INFINITY },
  ].map(({ title, max_norm, value }) => ({
    title,
    params: { count: 6, max_norm },
    inputs: () => ({ partials: Float32Array.of(1, 0, 0, 0, value, 0), norm: new Float32Array(2) }),
    tolerance: TOLERANCE.reduction,
  })),
];
testKernel(adamw, 'grad_norm_finish', norms);
testVariant(adamw, 'grad_norm_finish', 'strips', norms);

const hyper = (step: number) => {
  const [beta1, beta2] = [Math.fround(0.9), Math.fround(0.999)];
  return {
    lr: Math.fround(1e-2),
    beta1,
    beta2,
    eps: Math.fround(1e-8),
    weight_decay: Math.fround(0.1),
    bias_correction1: 1 - beta1 ** step,
    bias_correction2: 1 - beta2 ** step,
  };
};

const state = (r: Random, n: number, scale = 1) => ({
  param: r.normals(n),
  m: r.normals(n, scale),
  v: r.uniforms(n, 0, scale * scale),
  grad: r.normals(n, scale),
  decay: Float32Array.from({ length: Math.ceil(n / 64) }, (_, i) => [1, 0, 0.5][i % 3]),
});

const updates = [
  ...[1, 3, 4, 16, 63, 64, 65, 255, 257, 1000, 2052, 4112].map((n) => ({
    title: `n=${n}`,
    params: { n, ...hyper(3) },
    inputs: (r: Random) => ({ ...state(r, n), norm: Float32Array.of(5, 0.2) }),
    tolerance: TOLERANCE.transcendental,
  })),
  ...[70, 72, 80].flatMap((n) => [
    ...[1e-12, 1e8].map((scale) => ({
      title: `gradients of ${scale}, n=${n}`,
      params: { n, ...hyper(1000) },
      inputs: (r: Random) => ({ ...state(r, n, scale), norm: Float32Array.of(1, 1) }),
      // v runs from 1e-24 to 1e16: only a relative bound says anything.
      tolerance: { rel: 1e-5, abs: 1e-30 },
    })),
    {
      title: `first step, some gradients zero, n=${n}`,
      params: { n, ...hyper(1) },
      inputs: (r: Random) => ({
        ...state(r, n),
        grad: r.normals(n).map((g, i) => (i % 3 ? g : 0)),
        m: new Float32Array(n),
        v: new Float32Array(n),
        norm: Float32Array.of(1, 1),
      }),
      tolerance: TOLERANCE.transcendental,
    },
  ]),
];
testKernel(adamw, 'adamw', updates);
const UPDATES = ['vec4', 'matrix'];
for (const variant of UPDATES) testVariant(adamw, 'adamw', variant, updates);

for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
  for (const backend of ['wasm', 'default', ...UPDATES]) {
    test(`adamw ${backend} leaves param, m and v untouched when the norm is ${bad}`, async () => {
      const n = 80;
      const params = { n, ...hyper(2) };
      const before = {
        param: new Float32Array(n).fill(1),
        m: new Float32Array(n).fill(2),
        v: new Float32Array(n).fill(3),
        grad: new Float32Array(n).fill(bad),
        decay: new Float32Array(2).fill(1),
        norm: Float32Array.of(bad, 0),
      };
      const after =
        backend === 'wasm'
          ? launchWasm(adamw, 'adamw', before, params)
          : await launchWebgpu(await testDevice(), adamw, 'adamw', before, params, backend);
      for (const name of ['param', 'm', 'v'] as const) expect(after[name]).toEqual(before[name]);
    });
  }
}

test('ten steps of one element follow the recurrence of torch.optim.AdamW', () => {
  let param = Float32Array.of(0.5);
  let m = new Float32Array(1);
  let v = new Float32Array(1);
  let [p, em, ev] = [0.5, 0, 0];
  for (let step = 1; step <= 10; step++) {
    const { lr, beta1, beta2, eps, weight_decay } = hyper(step);
    const g = Math.fround(Math.sin(step));
    const inputs = { param, m, v, grad: Float32Array.of(g), decay: Float32Array.of(1), norm: Float32Array.of(Math.abs(g), 1) };
    ({ param, m, v } = launchWasm(adamw, 'adamw', inputs, { n: 1, ...hyper(step) }) as typeof inputs);
    p *= 1 - lr * weight_decay;
    em += (g - em) * (1 - beta1);
    ev = ev * beta2 + (1 - beta2) * g * g;
    p -= ((lr / (1 - beta1 ** step)) * em) / (Math.sqrt(ev) / Math.sqrt(1 - beta2 ** step) + eps);
  }
  assertClose(param, [p], TOLERANCE.transcendental);
});

test('norm and coefficient of a known gradient', () => {
  const grad = new Float32Array(5000).fill(0.1);
  const { partials } = launchRef(adamw, 'grad_norm_partial', { grad }, { n: 5000 });
  const { norm } = launchRef(adamw, 'grad_norm_finish', { partials: Float32Array.from(partials) }, { count: 2, max_norm: 1 });
  assertClose(norm, [Math.sqrt(50), 1 / Math.sqrt(50)], TOLERANCE.transcendental);
});
