import { vec4ForHardware } from '../common/per_element.ts';
import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import vec4 from '../gen/rope.vec4.wgsl.ts';
import wasm from '../gen/rope.wasm.ts';
import wgsl from '../gen/rope.wgsl.ts';
import * as ref from './rope.ref.ts';

interface Shape {
  tokens: number;
  heads: number;
  head_dim: number;
  max_pos: number;
}

interface Fused {
  tokens: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  max_pos: number;
}

/** Pairs per workgroup: rope.wgsl. */
const WG = 64;
const count = ({ tokens, heads, head_dim }: Shape) => tokens * heads * head_dim;
const countQ = ({ tokens, heads, head_dim }: Fused) => tokens * heads * head_dim;
const countKv = ({ tokens, kv_heads, head_dim }: Fused) => tokens * kv_heads * head_dim;
const countAll = (s: Fused) => countQ(s) + 2 * countKv(s);

const fused = (entry: string) => ({
  params: { tokens: 'u32', heads: 'u32', kv_heads: 'u32', head_dim: 'u32', max_pos: 'u32' } as const,
  ...vec4ForHardware(
    { wgsl: vec4, entry, grid: (s: Fused) => grid1d(ceilDiv(countAll(s) / 8, WG)) },
    ({ head_dim }: Fused) => head_dim % 8 === 0,
    ({ tokens, heads, kv_heads, head_dim }: Fused) => `${tokens}x${heads}x${kv_heads}x${head_dim}`,
  ),
  grid: (s: Fused) => grid1d(ceilDiv(countAll(s) / 2, WG)),
  work: ({ tokens }: Fused) => tokens,
  flops: (s: Fused) => 3 * (countQ(s) + countKv(s)),
  bytes: (s: Fused) => 4 * (2 * countAll(s) + s.tokens * (1 + s.head_dim)),
});
const turning = (s: Fused) => ({ positions: s.tokens, cos_sin: s.max_pos * s.head_dim });

/**
 * Rotary position embedding of x (tokens, heads, head_dim even), rotate-half pairing; cos_sin (max_pos, head_dim) holds head_dim/2
 * cosines, then head_dim/2 sines. sign = 1 is the forward, sign = -1 the backward. A position >= max_pos gives zeros.
 * `rope_qkv_*`: of a fused projection qkv (tokens, heads + 2 kv_heads, head_dim), which the forward takes apart and the backward puts together; v is
 * copied.
 */
export const rope = {
  name: 'rope',
  wgsl,
  wasm,
  ref,
  entries: {
    rope_fwd: {
      bindings: [f32('y', 'write'), f32('x'), u32('positions'), f32('cos_sin')],
      params: { tokens: 'u32', heads: 'u32', head_dim: 'u32', max_pos: 'u32', sign: 'f32' },
      size: (s: Shape) => ({ y: count(s), x: count(s), positions: s.tokens, cos_sin: s.max_pos * s.head_dim }),
      ...vec4ForHardware(
        { wgsl: vec4, entry: 'rope_fwd', grid: (s: Shape) => grid1d(ceilDiv(count(s) / 8, WG)) },
        ({ head_dim }: Shape) => head_dim % 8 === 0,
        ({ tokens, heads, head_dim }: Shape) => `${tokens}x${heads}x${head_dim}`,
      ),
      grid: (s: Shape) => grid1d(ceilDiv(count(s) / 2, WG)),
      work: ({ tokens }: Shape) => tokens,
      flops: (s: Shape) => 3 * count(s),
      bytes: (s: Shape) => 4 * (2 * count(s) + s.tokens * (1 + s.head_dim)),
    },
    rope_qkv_fwd: {
      bindings: [f32('q', 'write'), f32('k', 'write'), f32('v', 'write'), f32('qkv'), u32('positions'), f32('cos_sin')],
      size: (s: Fused) => ({ q: countQ(s), k: countKv(s), v: countKv(s), qkv: countAll(s), ...turning(s) }),
      ...fused('rope_qkv_fwd'),
    },
    rope_qkv_bwd: {
      bindings: [f32('dqkv', 'write'), f32('dq'), f32('dk'), f32('dv'), u32('positions'), f32('cos_sin')],
      size: (s: Fused) => ({ dqkv: countAll(s), dq: countQ(s), dk: countKv(s), dv: countKv(s), ...turning(s) }),
      ...fused('rope_qkv_bwd'),
    },
  },
} satisfies KernelSpec;
