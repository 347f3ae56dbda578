import { f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/set_attention.wasm.ts';
import wgsl from '../gen/set_attention.wgsl.ts';
import * as ref from './set_attention.ref.ts';

interface Shape {
  queries: number;
  tokens: number;
  batch: number;
  hidden: number;
  heads: number;
  scale: number;
}
const params = { queries: 'u32', tokens: 'u32', batch: 'u32', hidden: 'u32', heads: 'u32', scale: 'f32' } as const;

/** Floats of a thread's scratch on the WebAssembly side (TLS_BYTES / 4), shared by four blocks of tokens x head size. */
const SCRATCH = 65_536;

function sizes({ queries, tokens, batch, hidden, heads }: Shape) {
  if (hidden % heads !== 0) throw new Error(`set_attention: hidden ${hidden} is no multiple of heads ${heads}`);
  const width = 4 * Math.ceil(hidden / heads / 4);
  if ((4 * tokens + 16) * (width + 4) > SCRATCH) {
    throw new Error(`set_attention: ${tokens} tokens of head size ${hidden / heads} do not fit the scratch of a thread; use attention`);
  }
  return { q: queries * batch * hidden, k: tokens * batch * hidden, p: batch * heads * queries * tokens };
}

/** Full multi-head attention over (tokens, batch, hidden) that keeps its weights. Backward needs p, and leaves ds in its place. */
export const setAttention = {
  name: 'set_attention',
  wgsl,
  wasm,
  ref,
  entries: {
    set_attention_fwd: {
      bindings: [f32('out', 'write'), f32('p', 'write'), f32('q'), f32('k'), f32('v')],
      params,
      size: (s: Shape) => {
        const { q, k, p } = sizes(s);
        return { out: q, p, q, k, v: k };
      },
      grid: ({ batch, heads, queries }: Shape) => grid1d(batch * heads * queries),
      work: ({ batch, heads }: Shape) => batch * heads,
      flops: ({ queries, tokens, batch, hidden, heads }: Shape) => batch * queries * tokens * (4 * hidden + 5 * heads),
      bytes: (s: Shape) => 4 * (2 * sizes(s).q + 2 * sizes(s).k + sizes(s).p),
    },
    set_attention_bwd: {
      bindings: [
        f32('dq', 'write'),
        f32('dk', 'write'),
        f32('dv', 'write'),
        f32('p', 'read_write'),
        f32('dout'),
        f32('q'),
        f32('k'),
        f32('v'),
      ],
      params,
      size: (s: Shape) => {
        const { q, k, p } = sizes(s);
        return { dq: q, dk: k, dv: k, p, dout: q, q, k, v: k };
      },
      grid: ({ batch, heads }: Shape) => grid1d(batch * heads),
      work: ({ batch, heads }: Shape) => batch * heads,
      flops: ({ queries, tokens, batch, hidden, heads }: Shape) => batch * queries * tokens * (8 * hidden + 5 * heads),
      bytes: (s: Shape) => 4 * (3 * sizes(s).q + 4 * sizes(s).k + 2 * sizes(s).p),
    },
  },
} satisfies KernelSpec;
