import { perElement } from '../common/per_element.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/activation.wasm.ts';
import wgsl from '../gen/activation.wgsl.ts';
import * as ref from './activation.ref.ts';

/** Elements per workgroup, and per work item: activation.wgsl, activation.as.ts. */
const sizes = { group: 64, block: 4 } as const;

const forward = (flops: number) => perElement([f32('y', 'write'), f32('x')], { flops, ...sizes });
const backward = (flops: number) => perElement([f32('dx', 'write'), f32('dy'), f32('y')], { flops, ...sizes });

/** tanh and ReLU over n elements. Backward needs y. */
export const activation = {
  name: 'activation',
  wgsl,
  wasm,
  ref,
  entries: { tanh_fwd: forward(10), tanh_bwd: backward(3), relu_fwd: forward(1), relu_bwd: backward(1) },
} satisfies KernelSpec;
