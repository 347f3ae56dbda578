/**
 * Plan. What peers without grouped heads are given for attention, put through a plain f64 softmax(q kt scale + mask) v, is our
 * reference's output once tokens come first again; two query heads share a key-value head.
 */
import { attention, launchRef } from '@eagrl/kernels';
import { expect, test } from 'vitest';
import { Draw } from '../lib/case.ts';
import { relativeRms } from '../lib/check.ts';
import { outputOf, plainAttention, tokensFirst } from './job.ts';

test('attention as peers get it is the attention of the reference', () => {
  const [tokens, heads, kvHeads, headDim] = [5, 4, 2, 8];
  const d = new Draw('peer attention');
  const params = { tokens, heads, kv_heads: kvHeads, head_dim: headDim, scale: 0.3 };
  const inputs = {
    q: d.normals(tokens * heads * headDim),
    k: d.normals(tokens * kvHeads * headDim),
    v: d.normals(tokens * kvHeads * headDim),
    seg: Uint32Array.from({ length: 4 * tokens }, (_, i) => (i % 4 === 3 ? tokens : 0)),
  };
  const plain = plainAttention({ entry: 'attention_fwd', params, inputs });
  const out = new Float32Array(heads * tokens * headDim);
  for (let h = 0; h < heads; h++) {
    for (let t = 0; t < tokens; t++) {
      const scores = Array.from({ length: tokens }, (_, s) => {
        let dot = 0;
        for (let i = 0; i < headDim; i++) dot += plain.q[(h * tokens + t) * headDim + i] * plain.kt[(h * headDim + i) * tokens + s];
        return Math.exp(dot * plain.scale + plain.mask[t * tokens + s]);
      });
      const sum = scores.reduce((a, b) => a + b);
      for (let i = 0; i < headDim; i++) {
        const values = scores.map((p, s) => (p / sum) * plain.v[(h * tokens + s) * headDim + i]);
        out[(h * tokens + t) * headDim + i] = values.reduce((a, b) => a + b);
      }
    }
  }
  expect(relativeRms(tokensFirst(out, plain), launchRef(attention, 'attention_fwd', inputs, params).o)).toBeLessThan(1e-6);
  expect(outputOf({ entry: 'attention_fwd' }, 'tfjs')).toBe('o');
  expect([outputOf({ entry: 'adamw' }, 'tfjs'), outputOf({ entry: 'adamw' }, 'torch')]).toEqual([undefined, 'param']);
});
