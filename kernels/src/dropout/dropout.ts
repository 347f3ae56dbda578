import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/dropout.wasm.ts';
import wgsl from '../gen/dropout.wgsl.ts';
import * as ref from './dropout.ref.ts';

interface Shape {
  n: number;
}

/** Threads per workgroup in dropout.wgsl and elements per work item in dropout.as.ts. */
const WG = 256;
const WIDTH = 64;

/** Dropout of n elements, its mask a function of (seed, stream, index); 0 <= rate < 1. Backward: the same entry on dy. */
export const dropout = {
  name: 'dropout',
  wgsl,
  wasm,
  ref,
  entries: {
    dropout_fwd: {
      bindings: [f32('y', 'write'), f32('x')],
      params: { n: 'u32', rate: 'f32', seed: 'u32', stream: 'u32' },
      size: ({ n }: Shape) => ({ y: n, x: n }),
      grid: ({ n }: Shape) => grid1d(ceilDiv(n, WG)),
      work: ({ n }: Shape) => ceilDiv(n, WIDTH),
      flops: ({ n }: Shape) => 2 * n,
      bytes: ({ n }: Shape) => 8 * n,
    },
  },
} satisfies KernelSpec;
