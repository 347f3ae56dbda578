import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/gate.wasm.ts';
import wgsl from '../gen/gate.wgsl.ts';
import * as ref from './gate.ref.ts';

/** Elements per workgroup, and per work item: gate.wgsl, gate.as.ts. */
const sizes = { group: 256, block: 1024 } as const;

/** y = x g with g = sigmoid(z), over n elements; g is an output of its own. Backward needs x and g and assigns both gradients. */
export const gate = {
  name: 'gate',
  wgsl,
  wasm,
  ref,
  entries: {
    gate_fwd: perElement([f32('y', 'write'), f32('g', 'write'), f32('x'), f32('z')], { flops: 4, ...sizes }),
    gate_bwd: perElement([f32('dx', 'write'), f32('dz', 'write'), f32('dy'), f32('x'), f32('g')], { flops: 4, ...sizes }),
  },
} satisfies KernelSpec;
