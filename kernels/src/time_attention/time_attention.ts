import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import wasm from '../gen/time_attention.wasm.ts';
import wgsl from '../gen/time_attention.wgsl.ts';
import * as ref from './time_attention.ref.ts';

interface Shape {
  features: number;
  batch: number;
  /** Sum of the patients' visits. */
  visits: number;
  hidden: number;
  key_dim: number;
}
const params = { features: 'u32', batch: 'u32', visits: 'u32', hidden: 'u32', key_dim: 'u32' } as const;

const items = ({ features, batch }: Shape) => features * batch;

/** Sizes of everything the first three entries bind. starts: batch + 1 offsets into the visits. */
function sizes({ features, batch, visits, hidden, key_dim }: Shape) {
  const steps = features * visits;
  const context = features * batch * hidden;
  return { context, h: steps * hidden, qk: steps * 2 * key_dim, weights: 2 * steps, ddot: steps, rate: features, starts: batch + 1 };
}

/**
 * ConCare's attention over a patient's visits, weighed by their age. `time_attention_fwd` saves `weights` (s, alpha); backward is
 * `_bwd` (dh, and the gradients of the dot products and of the rate per patient), then `_bwd_qk` and `_bwd_rate`.
 */
export const timeAttention = {
  name: 'time_attention',
  wgsl,
  wasm,
  ref,
  entries: {
    time_attention_fwd: {
      bindings: [f32('context', 'write'), f32('weights', 'write'), f32('h'), f32('qk'), f32('rate'), u32('starts')],
      params,
      size: (p: Shape) => {
        const { context, weights, h, qk, rate, starts } = sizes(p);
        return { context, weights, h, qk, rate, starts };
      },
      grid: (p: Shape) => grid1d(items(p)),
      work: items,
      flops: ({ features, visits, hidden, key_dim }: Shape) => features * visits * (2 * hidden + 2 * key_dim + 20),
      bytes: (p: Shape) => 4 * (sizes(p).context + sizes(p).weights + sizes(p).h + sizes(p).qk),
    },
    time_attention_bwd: {
      bindings: [
        f32('dh', 'write'),
        f32('ddot', 'write'),
        f32('rate_terms', 'write'),
        f32('dcontext'),
        f32('h'),
        f32('weights'),
        f32('rate'),
        u32('starts'),
      ],
      params,
      size: (p: Shape) => {
        const { context, weights, h, ddot, rate, starts } = sizes(p);
        return { dh: h, ddot, rate_terms: items(p), dcontext: context, h, weights, rate, starts };
      },
      grid: (p: Shape) => grid1d(items(p)),
      work: items,
      flops: ({ features, visits, hidden }: Shape) => features * visits * (3 * hidden + 30),
      bytes: (p: Shape) => 4 * (sizes(p).context + sizes(p).weights + 2 * sizes(p).h + sizes(p).ddot),
    },
    time_attention_bwd_qk: {
      bindings: [f32('dqk', 'write'), f32('ddot'), f32('qk'), u32('starts')],
      params,
      size: (p: Shape) => ({ dqk: sizes(p).qk, ddot: sizes(p).ddot, qk: sizes(p).qk, starts: sizes(p).starts }),
      grid: (p: Shape) => grid1d(items(p)),
      work: items,
      flops: ({ features, visits, key_dim }: Shape) => features * visits * 3 * key_dim,
      bytes: (p: Shape) => 4 * (2 * sizes(p).qk + sizes(p).ddot),
    },
    time_attention_bwd_rate: {
      bindings: [f32('drate', 'read_write'), f32('rate_terms')],
      params: { features: 'u32', batch: 'u32' },
      size: (p: Shape) => ({ drate: p.features, rate_terms: items(p) }),
      grid: ({ features }: Shape) => [ceilDiv(features, 64), 1, 1] as const,
      work: ({ features }: Shape) => features,
      flops: items,
      bytes: (p: Shape) => 4 * (items(p) + 2 * p.features),
    },
  },
} satisfies KernelSpec;
