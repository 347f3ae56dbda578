import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/elementwise.wasm.ts';
import wgsl from '../gen/elementwise.wgsl.ts';
import * as ref from './elementwise.ref.ts';

/** Elements per workgroup, and per work item: elementwise.wgsl, elementwise.as.ts. */
const sizes = { group: 256, block: 4096 } as const;
const s = { s: 'f32' } as const;

/** fill y = value, add y = a + b, add_inplace y += x, scale_inplace y *= s, scaled_add_inplace y += s x; over n elements. */
export const elementwise = {
  name: 'elementwise',
  wgsl,
  wasm,
  ref,
  entries: {
    fill: perElement([f32('y', 'write')], { flops: 0, ...sizes, params: { value: 'f32' } }),
    add: perElement([f32('y', 'write'), f32('a'), f32('b')], { flops: 1, ...sizes }),
    add_inplace: perElement([f32('y', 'read_write'), f32('x')], { flops: 1, ...sizes }),
    scale_inplace: perElement([f32('y', 'read_write')], { flops: 1, ...sizes, params: s }),
    scaled_add_inplace: perElement([f32('y', 'read_write'), f32('x')], { flops: 2, ...sizes, params: s }),
  },
} satisfies KernelSpec;
