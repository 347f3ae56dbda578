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

/** Pairs per workgroup: rope.wgsl. */
const WG = 64;
const count = ({ tokens, heads, head_dim }: Shape) => tokens * heads * head_dim;

/**
 * Rotary position embedding of x (tokens, heads, head_dim even), rotate-half pairing; cos_sin (max_pos, head_dim) holds head_dim/2
 * cosines, then head_dim/2 sines. sign = 1 is the forward, sign = -1 the backward. A position >= max_pos gives zeros.
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
  },
} satisfies KernelSpec;
