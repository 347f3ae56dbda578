/**
 * Plan. All four entries against the oracle on every backend. Hidden and key sizes on both sides of the SIMD width 4 and of the
 * workgroup size 64; patients of 0, 1, 2 and many visits; scores saturated at both ends; drate starts from given values. The whole
 * backward of the oracle against finite differences of its forward: h, qk and rate.
 */
import { launchRef } from '@eagrl/kernels';
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { timeAttention } from './time_attention.ts';

interface Case {
  features: number;
  hidden: number;
  key_dim: number;
  lengths: number[];
  scale?: number;
}
const cases: Case[] = [
  { features: 3, hidden: 16, key_dim: 8, lengths: [3, 1, 5, 2] },
  { features: 1, hidden: 1, key_dim: 1, lengths: [1] },
  { features: 2, hidden: 3, key_dim: 5, lengths: [2, 0, 7] },
  { features: 1, hidden: 63, key_dim: 4, lengths: [4] },
  { features: 1, hidden: 64, key_dim: 3, lengths: [2, 2] },
  { features: 1, hidden: 65, key_dim: 70, lengths: [3] },
  { features: 2, hidden: 8, key_dim: 8, lengths: [200, 1] },
  { features: 1, hidden: 8, key_dim: 8, lengths: [6, 3], scale: 6 },
];
const visitsOf = ({ lengths }: Case) => lengths.reduce((a, b) => a + b, 0);
const startsOf = ({ lengths }: Case) => Uint32Array.from([0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b))]);
const paramsOf = (c: Case) => ({
  features: c.features,
  batch: c.lengths.length,
  visits: visitsOf(c),
  hidden: c.hidden,
  key_dim: c.key_dim,
});
const titleOf = (c: Case) =>
  `features=${c.features} hidden=${c.hidden} key_dim=${c.key_dim} lengths=${c.lengths}${c.scale ? ` scale=${c.scale}` : ''}`;

const inputsOf = (c: Case, r: Random) => ({
  h: r.normals(c.features * visitsOf(c) * c.hidden),
  qk: r.normals(c.features * visitsOf(c) * 2 * c.key_dim, c.scale ?? 0.7),
  rate: r.normals(c.features),
  starts: startsOf(c),
});

testKernel(
  timeAttention,
  'time_attention_fwd',
  cases.map((c) => ({ title: titleOf(c), params: paramsOf(c), inputs: (r: Random) => inputsOf(c, r), tolerance: TOLERANCE.chained })),
);

testKernel(
  timeAttention,
  'time_attention_bwd',
  cases.map((c) => ({
    title: titleOf(c),
    params: paramsOf(c),
    inputs: (r: Random) => {
      const inputs = inputsOf(c, r);
      const { weights } = launchRef(timeAttention, 'time_attention_fwd', inputs, paramsOf(c));
      const { h, rate, starts } = inputs;
      return { dcontext: r.normals(c.features * c.lengths.length * c.hidden), h, weights: Float32Array.from(weights), rate, starts };
    },
    tolerance: TOLERANCE.chained,
  })),
);

testKernel(
  timeAttention,
  'time_attention_bwd_qk',
  cases.map((c) => ({
    title: titleOf(c),
    params: paramsOf(c),
    inputs: (r: Random) => ({ ddot: r.normals(c.features * visitsOf(c)), qk: inputsOf(c, r).qk, starts: startsOf(c) }),
    tolerance: TOLERANCE.reduction,
  })),
);

testKernel(
  timeAttention,
  'time_attention_bwd_rate',
  [
    [1, 1],
    [63, 2],
    [64, 3],
    [65, 140],
  ].map(([features, batch]) => ({
    title: `features=${features} batch=${batch}`,
    params: { features, batch },
    inputs: (r: Random) => ({ drate: r.normals(features), rate_terms: r.normals(features * batch) }),
    tolerance: TOLERANCE.reduction,
  })),
);

test('time_attention ref: gradients of h, qk and rate equal finite differences of the forward', () => {
  const c: Case = { features: 2, hidden: 3, key_dim: 2, lengths: [3, 1, 4] };
  const p = paramsOf(c);
  const r = new Random('time attention fd');
  const inputs = Object.fromEntries(Object.entries(inputsOf(c, r)).map(([k, v]) => [k, Float64Array.from(v)]));
  const dcontext = Float64Array.from(r.normals(c.features * c.lengths.length * c.hidden));
  const forward = (name: string, value: Float64Array) => {
    const out = { context: new Float64Array(dcontext.length), weights: new Float64Array(2 * c.features * p.visits) };
    timeAttention.ref.time_attention_fwd({ ...out, ...inputs, [name]: value }, p);
    return out;
  };
  const { weights } = forward('h', inputs['h']);
  const dh = new Float64Array(inputs['h'].length);
  const ddot = new Float64Array(c.features * p.visits);
  const rate_terms = new Float64Array(c.features * p.batch);
  const dqk = new Float64Array(inputs['qk'].length);
  const drate = new Float64Array(c.features);
  timeAttention.ref.time_attention_bwd({ ...inputs, dh, ddot, rate_terms, dcontext, weights }, p);
  timeAttention.ref.time_attention_bwd_qk({ ...inputs, dqk, ddot }, p);
  timeAttention.ref.time_attention_bwd_rate({ drate, rate_terms }, p);
  for (const [name, grad] of [
    ['h', dh],
    ['qk', dqk],
    ['rate', drate],
  ] as const) {
    const loss = (value: Float64Array) => forward(name, value).context.reduce((sum, v, i) => sum + v * dcontext[i], 0);
    assertClose(grad, centralDifferences(loss, inputs[name]), { ...TOLERANCE.finiteDifference, label: `d${name}` });
  }
});
