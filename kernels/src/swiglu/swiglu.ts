import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/swiglu.wasm.ts';
import wgsl from '../gen/swiglu.wgsl.ts';
import * as ref from './swiglu.ref.ts';

interface Shape {
  n: number;
}
const params = { n: 'u32' } as const;

/** Elements per workgroup: swiglu.wgsl. */
const WG = 256;
/** Elements per work item: swiglu.as.ts. */
const BLOCK = 1024;

const grid = ({ n }: Shape) => grid1d(ceilDiv(n, WG));
const work = ({ n }: Shape) => ceilDiv(n, BLOCK);

/** y = gate sigmoid(gate) up over n elements. Backward needs gate and up and assigns both gradients. */
export const swiglu = {
  name: 'swiglu',
  wgsl,
  wasm,
  ref,
  entries: {
    swiglu_fwd: {
      bindings: [f32('y', 'write'), f32('gate'), f32('up')],
      params,
      size: ({ n }: Shape) => ({ y: n, gate: n, up: n }),
      grid,
      work,
      flops: ({ n }: Shape) => 5 * n,
      bytes: ({ n }: Shape) => 12 * n,
    },
    swiglu_bwd: {
      bindings: [f32('dgate', 'write'), f32('dup', 'write'), f32('dy'), f32('gate'), f32('up')],
      params,
      size: ({ n }: Shape) => ({ dgate: n, dup: n, dy: n, gate: n, up: n }),
      grid,
      work,
      flops: ({ n }: Shape) => 10 * n,
      bytes: ({ n }: Shape) => 20 * n,
    },
  },
} satisfies KernelSpec;
