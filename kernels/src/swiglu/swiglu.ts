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

interface Fused {
  rows: number;
  cols: number;
}
const count = ({ rows, cols }: Fused) => rows * cols;

const fused = (entry: string, flops: number, moved: number) => ({
  params: { rows: 'u32', cols: 'u32' } as const,
  ...vec4ForHardware(
    { wgsl: vec4, entry, grid: (s: Fused) => grid1d(ceilDiv(count(s), 4 * sizes.group)) },
    ({ cols }: Fused) => cols % 4 === 0,
    ({ rows, cols }: Fused) => `${rows}x${cols}`,
  ),
  grid: (s: Fused) => grid1d(ceilDiv(count(s), sizes.group)),
  work: ({ rows }: Fused) => rows,
  flops: (s: Fused) => flops * count(s),
  bytes: (s: Fused) => 4 * moved * count(s),
});

/**
 * y = gate sigmoid(gate) up over n elements. Backward needs gate and up and assigns both gradients. `swiglu_fused_*`: gate and up from one product, side
 * by side in each row of gate_up (rows, 2 cols).
 */
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
    swiglu_fused_fwd: {
      bindings: [f32('y', 'write'), f32('gate_up')],
      size: (s: Fused) => ({ y: count(s), gate_up: 2 * count(s) }),
      ...fused('swiglu_fused_fwd', 5, 3),
    },
    swiglu_fused_bwd: {
      bindings: [f32('dgate_up', 'write'), f32('dy'), f32('gate_up')],
      size: (s: Fused) => ({ dgate_up: 2 * count(s), dy: count(s), gate_up: 2 * count(s) }),
      ...fused('swiglu_fused_bwd', 10, 5),
    },
  },
} satisfies KernelSpec;
