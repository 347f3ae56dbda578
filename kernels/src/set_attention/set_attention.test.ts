/**
 * Plan. Forward and backward against the oracle on every backend: tokens on both sides of the SIMD width 4, of the 16 columns of the
 * inner loop and of the workgroup size 64; head sizes of 1, 3 and 32; one query over many tokens; scores beyond exp's range. Backward of
 * the oracle against finite differences of its forward. What does not fit the scratch is refused.
 */
import { checkSizes, launchRef } from '@eagrl/kernels';
import { assertClose, centralDifferences, Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { setAttention } from './set_attention.ts';

const shapes = [
  { queries: 6, tokens: 6, batch: 3, hidden: 16, heads: 4 },
  { queries: 1, tokens: 1, batch: 1, hidden: 1, heads: 1 },
  { queries: 3, tokens: 3, batch: 2, hidden: 6, heads: 2 },
  { queries: 5, tokens: 17, batch: 1, hidden: 10, heads: 2 },
  { queries: 1, tokens: 74, batch: 2, hidden: 128, heads: 1 },
  { queries: 63, tokens: 63, batch: 1, hidden: 8, heads: 1 },
  { queries: 65, tokens: 65, batch: 1, hidden: 32, heads: 1 },
].map((s) => ({ ...s, scale: 1 / Math.sqrt(s.hidden / s.heads) }));
type Shape = (typeof shapes)[number];
const titleOf = (s: Shape) => `queries=${s.queries} tokens=${s.tokens} batch=${s.batch} hidden=${s.hidden} heads=${s.heads}`;
const inputsOf = (s: Shape, r: Random, spread = 1) => ({
  q: r.normals(s.queries * s.batch * s.hidden, spread),
  k: r.normals(s.tokens * s.batch * s.hidden, spread),
  v: r.normals(s.tokens * s.batch * s.hidden),
});

testKernel(setAttention, 'set_attention_fwd', [
  ...shapes.map((s) => ({ title: titleOf(s), params: s, inputs: (r: Random) => inputsOf(s, r), tolerance: TOLERANCE.chained })),
  {
    title: 'scores of hundreds',
    params: shapes[0],
    inputs: (r: Random) => inputsOf(shapes[0], r, 20),
    // An error of 2^-24 of a score of 500 is 3e-5 of the weight.
    tolerance: TOLERANCE.chained,
  },
]);

testKernel(
  setAttention,
  'set_attention_bwd',
  shapes.map((s) => ({
    title: titleOf(s),
    params: s,
    inputs: (r: Random) => {
      const inputs = inputsOf(s, r);
      const { p } = launchRef(setAttention, 'set_attention_fwd', inputs, s);
      return { p: Float32Array.from(p), dout: r.normals(s.queries * s.batch * s.hidden), ...inputs };
    },
    tolerance: TOLERANCE.chained,
  })),
);

test('set_attention ref: gradients equal finite differences of the forward', () => {
  const s = { queries: 2, tokens: 3, batch: 2, hidden: 4, heads: 2, scale: 0.8 };
  const r = new Random('set attention fd');
  const inputs = Object.fromEntries(Object.entries(inputsOf(s, r)).map(([k, v]) => [k, Float64Array.from(v)]));
  const dout = Float64Array.from(r.normals(s.queries * s.batch * s.hidden));
  const forward = (name: string, value: Float64Array) => {
    const res = { out: new Float64Array(dout.length), p: new Float64Array(s.batch * s.heads * s.queries * s.tokens) };
    setAttention.ref.set_attention_fwd({ ...res, ...inputs, [name]: value }, s);
    return res;
  };
  const { p } = forward('q', inputs['q']);
  const grads = { dq: new Float64Array(dout.length), dk: inputs['k'].slice(), dv: inputs['v'].slice() };
  setAttention.ref.set_attention_bwd({ ...grads, p, dout, ...inputs }, s);
  for (const name of ['q', 'k', 'v'] as const) {
    const loss = (value: Float64Array) => forward(name, value).out.reduce((sum, y, i) => sum + y * dout[i], 0);
    assertClose(grads[`d${name}`], centralDifferences(loss, inputs[name]), { ...TOLERANCE.finiteDifference, label: `d${name}` });
  }
});

test('set_attention refuses shapes that cannot work', () => {
  const check = (s: Shape) => checkSizes(setAttention, 'set_attention_fwd', s, () => Number.POSITIVE_INFINITY);
  expect(() => check({ ...shapes[0], heads: 3 })).toThrow('hidden 16 is no multiple of heads 3');
  expect(() => check({ ...shapes[0], tokens: 1000, hidden: 64, heads: 1 })).toThrow('do not fit the scratch');
});
