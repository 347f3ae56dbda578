import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/gate.wasm.ts';
import wgsl from '../gen/gate.wgsl.ts';
import * as ref from './gate.ref.ts';

interface Shape {
  n: number;
}
const params = { n: 'u32' } as const;

/** Elements per workgroup: gate.wgsl. */
const WG = 256;
/** Elements per work item: gate.as.ts. */
const BLOCK = 1024;

const grid = ({ n }: Shape) => grid1d(ceilDiv(n, WG));
const work = ({ n }: Shape) => ceilDiv(n, BLOCK);

/** y = x g with g = sigmoid(z), over n elements; g is an output of its own. Backward needs x and g and assigns both gradients. */
export const gate = {
  name: 'gate',
  wgsl,
  wasm,
  ref,
  entries: {
    gate_fwd: {
      bindings: [f32('y', 'write'), f32('g', 'write'), f32('x'), f32('z')],
      params,
      size: ({ n }: Shape) => ({ y: n, g: n, x: n, z: n }),
      grid,
      work,
      flops: ({ n }: Shape) => 4 * n,
      bytes: ({ n }: Shape) => 16 * n,
    },
    gate_bwd: {
      bindings: [f32('dx', 'write'), f32('dz', 'write'), f32('dy'), f32('x'), f32('g')],
      params,
      size: ({ n }: Shape) => ({ dx: n, dz: n, dy: n, x: n, g: n }),
      grid,
      work,
      flops: ({ n }: Shape) => 4 * n,
      bytes: ({ n }: Shape) => 20 * n,
    },
  },
} satisfies KernelSpec;
