/**
 * Plan. Forward, backward and parameter gradients against the oracle on every backend. Hidden sizes on both sides of the SIMD width 4,
 * the panel width 8 and the workgroup size 64; batches on both sides of the row block 4; patients of 0, 1 and many visits, one long.
 * Parameter gradients start from given values. Saturated gates (inputs of 50). The oracle's backward against finite differences of its
 * forward, for x-independent parameters and for h through time.
 */
import { launchRef } from '@eagrl/kernels';
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { test } from 'vitest';
import { gru } from './gru.ts';

interface Case {
  features: number;
  hidden: number;
  lengths: number[];
}
const cases: Case[] = [
  { features: 3, hidden: 16, lengths: [3, 1, 5, 2, 4] },
  { features: 1, hidden: 1, lengths: [1] },
  { features: 2, hidden: 3, lengths: [2, 3] },
  { features: 2, hidden: 7, lengths: [0, 4, 1, 1] },
  { features: 1, hidden: 8, lengths: [6, 2, 0] },
  { features: 1, hidden: 9, lengths: [1, 1, 1, 1] },
  { features: 1, hidden: 63, lengths: [2, 3, 1] },
  { features: 1, hidden: 65, lengths: [3, 4] },
  { features: 1, hidden: 5, lengths: [70] },
];
const visitsOf = ({ lengths }: Case) => lengths.reduce((a, b) => a + b, 0);
const startsOf = ({ lengths }: Case) => Uint32Array.from([0, ...lengths.map((_, i) => lengths.slice(0, i + 1).reduce((a, b) => a + b))]);
const paramsOf = (c: Case) => ({ features: c.features, batch: c.lengths.length, visits: visitsOf(c), hidden: c.hidden });
const titleOf = ({ features, hidden, lengths }: Case) => `features=${features} hidden=${hidden} lengths=${lengths}`;

function inputsOf(c: Case, r: Random, scale = 1) {
  const rows = 3 * c.features * c.hidden;
  return {
    x: r.normals(c.features * visitsOf(c), scale),
    w_ih: r.normals(rows, 0.7),
    w_hh: r.normals(rows * c.hidden, 1 / Math.sqrt(c.hidden)),
    b_ih: r.normals(rows, 0.3),
    b_hh: r.normals(rows, 0.3),
    starts: startsOf(c),
  };
}
const f32of = (a: Float64Array) => Float32Array.from(a);

function backwardInputs(c: Case, r: Random) {
  const inputs = inputsOf(c, r);
  const { h, gates } = launchRef(gru, 'gru_fwd', inputs, paramsOf(c));
  return { dh: r.normals(h.length), gates: f32of(gates), h: f32of(h), w_hh: inputs.w_hh, starts: inputs.starts };
}

testKernel(gru, 'gru_fwd', [
  ...cases.map((c) => ({
    title: titleOf(c),
    params: paramsOf(c),
    inputs: (r: Random) => inputsOf(c, r),
    tolerance: TOLERANCE.chained,
  })),
  {
    title: 'inputs of 50 saturate the gates',
    params: paramsOf(cases[0]),
    inputs: (r: Random) => inputsOf(cases[0], r, 50),
    tolerance: TOLERANCE.chained,
  },
]);

testKernel(
  gru,
  'gru_bwd',
  cases.map((c) => ({
    title: titleOf(c),
    params: paramsOf(c),
    inputs: (r: Random) => backwardInputs(c, r),
    tolerance: TOLERANCE.chained,
  })),
);

testKernel(
  gru,
  'gru_bwd_params',
  [...cases, { features: 2, hidden: 4, lengths: [4095, 4, 300] }].map((c) => ({
    title: titleOf(c),
    params: paramsOf(c),
    inputs: (r: Random) => {
      const steps = c.features * visitsOf(c) * c.hidden;
      const rows = 3 * c.features * c.hidden;
      return {
        dw_hh: r.normals(rows * c.hidden),
        dw_ih: r.normals(rows),
        db_ih: r.normals(rows),
        db_hh: r.normals(rows),
        // Scaled so that sums over all visits stay of order 1.
        dgates: r.normals(4 * steps, 1 / Math.sqrt(visitsOf(c))),
        h: r.uniforms(steps, -1, 1),
        x: r.normals(c.features * visitsOf(c)),
        starts: startsOf(c),
      };
    },
    tolerance: TOLERANCE.reduction,
  })),
);

test('gru ref: gradients of all parameters equal finite differences of the forward', () => {
  const c: Case = { features: 2, hidden: 3, lengths: [3, 1, 2] };
  const r = new Random('gru fd');
  const p = paramsOf(c);
  const inputs = Object.fromEntries(Object.entries(inputsOf(c, r)).map(([k, v]) => [k, Float64Array.from(v)])) as Record<
    string,
    Float64Array
  >;
  const steps = p.features * p.visits * p.hidden;
  const weight = Float64Array.from(r.normals(steps));
  const forward = (name: string, value: Float64Array) => {
    const out = { h: new Float64Array(steps), gates: new Float64Array(4 * steps) };
    gru.ref.gru_fwd({ ...out, ...inputs, [name]: value }, p);
    return out;
  };
  const loss = (name: string) => (value: Float64Array) => forward(name, value).h.reduce((s, h, i) => s + h * weight[i], 0);
  const { h, gates } = forward('x', inputs['x']);
  const dh = weight.slice();
  gru.ref.gru_bwd({ dh, gates, h, w_hh: inputs['w_hh'], starts: inputs['starts'] }, p);
  const grads: Record<string, Float64Array> = {};
  for (const name of ['w_hh', 'w_ih', 'b_ih', 'b_hh']) grads[`d${name}`] = new Float64Array(inputs[name].length);
  gru.ref.gru_bwd_params({ ...grads, dgates: gates, h, x: inputs['x'], starts: inputs['starts'] }, p);
  for (const name of ['w_hh', 'w_ih', 'b_ih', 'b_hh']) {
    assertClose(grads[`d${name}`], centralDifferences(loss(name), inputs[name]), { ...TOLERANCE.finiteDifference, label: `d${name}` });
  }
});
