import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/dropout.wasm.ts';
import wgsl from '../gen/dropout.wgsl.ts';
import * as ref from './dropout.ref.ts';

/** Elements per workgroup, and per work item: dropout.wgsl, dropout.as.ts. */
const sizes = { group: 256, block: 64 } as const;

/**
 * Dropout of n elements, its mask a function of (seed, stream, index); 0 <= rate < 1; y is assigned, or added to where accumulate is 1 (with 0 what it
 * holds is never read). Backward: the same entry on dy.
 */
export const dropout = {
  name: 'dropout',
  wgsl,
  wasm,
  ref,
  entries: {
    dropout_fwd: {
      ...perElement([f32('y', 'read_write'), f32('x')], {
        flops: 2,
        ...sizes,
        params: { rate: 'f32', seed: 'u32', stream: 'u32', accumulate: 'u32' },
      }),
      bytes: ({ n, accumulate }: { n: number; accumulate: number }) => 4 * (2 + accumulate) * n,
    },
  },
} satisfies KernelSpec;
