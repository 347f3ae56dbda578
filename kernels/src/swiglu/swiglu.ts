import { perElement, vec4ForHardware } from '../common/per_element.ts';
import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import vec4 from '../gen/swiglu.vec4.wgsl.ts';
import wasm from '../gen/swiglu.wasm.ts';
import wgsl from '../gen/swiglu.wgsl.ts';
import * as ref from './swiglu.ref.ts';

/** Elements per workgroup, and per work item: swiglu.wgsl, swiglu.as.ts. */
const sizes = { group: 256, block: 1024 } as const;

interface Flat {
  n: number;
}

const four = (entry: string) =>
  vec4ForHardware(
    { wgsl: vec4, entry, grid: ({ n }: Flat) => grid1d(ceilDiv(n, 4 * sizes.group)) },
    ({ n }: Flat) => n % 4 === 0,
    ({ n }: Flat) => `${n}`,
  );

/** y = gate sigmoid(gate) up over n elements. Backward needs gate and up and assigns both gradients. */
export const swiglu = {
  name: 'swiglu',
  wgsl,
  wasm,
  ref,
  entries: {
    swiglu_fwd: { ...perElement([f32('y', 'write'), f32('gate'), f32('up')], { flops: 5, ...sizes }), ...four('swiglu_fwd') },
    swiglu_bwd: {
      ...perElement([f32('dgate', 'write'), f32('dup', 'write'), f32('dy'), f32('gate'), f32('up')], { flops: 10, ...sizes }),
      ...four('swiglu_bwd'),
    },
  },
} satisfies KernelSpec;
