import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/elementwise.wasm.ts';
import wgsl from '../gen/elementwise.wgsl.ts';
import * as ref from './elementwise.ref.ts';

interface Shape {
  n: number;
}

/** Elements per workgroup: elementwise.wgsl. */
const WG = 256;
/** Elements per work item: elementwise.as.ts. */
const BLOCK = 4096;

const grid = ({ n }: Shape) => grid1d(ceilDiv(n, WG));
const work = ({ n }: Shape) => ceilDiv(n, BLOCK);

/** fill y = value, add y = a + b, add_inplace y += x, scale_inplace y *= s, scaled_add_inplace y += s x; over n elements. */
export const elementwise = {
  name: 'elementwise',
  wgsl,
  wasm,
  ref,
  entries: {
    fill: {
      bindings: [f32('y', 'write')],
      params: { n: 'u32', value: 'f32' },
      size: ({ n }: Shape) => ({ y: n }),
      grid,
      work,
      flops: () => 0,
      bytes: ({ n }: Shape) => 4 * n,
    },
    add: {
      bindings: [f32('y', 'write'), f32('a'), f32('b')],
      params: { n: 'u32' },
      size: ({ n }: Shape) => ({ y: n, a: n, b: n }),
      grid,
      work,
      flops: ({ n }: Shape) => n,
      bytes: ({ n }: Shape) => 12 * n,
    },
    add_inplace: {
      bindings: [f32('y', 'read_write'), f32('x')],
      params: { n: 'u32' },
      size: ({ n }: Shape) => ({ y: n, x: n }),
      grid,
      work,
      flops: ({ n }: Shape) => n,
      bytes: ({ n }: Shape) => 12 * n,
    },
    scale_inplace: {
      bindings: [f32('y', 'read_write')],
      params: { n: 'u32', s: 'f32' },
      size: ({ n }: Shape) => ({ y: n }),
      grid,
      work,
      flops: ({ n }: Shape) => n,
      bytes: ({ n }: Shape) => 8 * n,
    },
    scaled_add_inplace: {
      bindings: [f32('y', 'read_write'), f32('x')],
      params: { n: 'u32', s: 'f32' },
      size: ({ n }: Shape) => ({ y: n, x: n }),
      grid,
      work,
      flops: ({ n }: Shape) => 2 * n,
      bytes: ({ n }: Shape) => 12 * n,
    },
  },
} satisfies KernelSpec;
