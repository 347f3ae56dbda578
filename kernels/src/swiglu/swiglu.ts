import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/swiglu.wasm.ts';
import wgsl from '../gen/swiglu.wgsl.ts';
import * as ref from './swiglu.ref.ts';

/** Elements per workgroup, and per work item: swiglu.wgsl, swiglu.as.ts. */
const sizes = { group: 256, block: 1024 } as const;

/** y = gate sigmoid(gate) up over n elements. Backward needs gate and up and assigns both gradients. */
export const swiglu = {
  name: 'swiglu',
  wgsl,
  wasm,
  ref,
  entries: {
    swiglu_fwd: perElement([f32('y', 'write'), f32('gate'), f32('up')], { flops: 5, ...sizes }),
    swiglu_bwd: perElement([f32('dgate', 'write'), f32('dup', 'write'), f32('dy'), f32('gate'), f32('up')], { flops: 10, ...sizes }),
  },
} satisfies KernelSpec;
