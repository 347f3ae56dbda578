import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/activation.wasm.ts';
import wgsl from '../gen/activation.wgsl.ts';
import * as ref from './activation.ref.ts';

interface Shape {
  n: number;
}

const forward = (flops: number) => ({
  bindings: [f32('y', 'write'), f32('x')],
  params: { n: 'u32' } as const,
  size: ({ n }: Shape) => ({ y: n, x: n }),
  grid: ({ n }: Shape) => grid1d(ceilDiv(n, 64)),
  work: ({ n }: Shape) => ceilDiv(n, 4),
  flops: ({ n }: Shape) => flops * n,
  bytes: ({ n }: Shape) => 8 * n,
});

const backward = (flops: number) => ({
  bindings: [f32('dx', 'write'), f32('dy'), f32('y')],
  params: { n: 'u32' } as const,
  size: ({ n }: Shape) => ({ dx: n, dy: n, y: n }),
  grid: ({ n }: Shape) => grid1d(ceilDiv(n, 64)),
  work: ({ n }: Shape) => ceilDiv(n, 4),
  flops: ({ n }: Shape) => flops * n,
  bytes: ({ n }: Shape) => 12 * n,
});

/** tanh and ReLU over n elements. Backward needs y. */
export const activation = {
  name: 'activation',
  wgsl,
  wasm,
  ref,
  entries: { tanh_fwd: forward(10), tanh_bwd: backward(3), relu_fwd: forward(1), relu_bwd: backward(1) },
} satisfies KernelSpec;
