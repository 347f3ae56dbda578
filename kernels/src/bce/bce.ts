import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/bce.wasm.ts';
import wgsl from '../gen/bce.wgsl.ts';
import * as ref from './bce.ref.ts';

interface Shape {
  n: number;
}

/** Weighted binary cross-entropy from logits: losses, their gradient and the probabilities, all (n). */
export const bce = {
  name: 'bce',
  wgsl,
  wasm,
  ref,
  entries: {
    bce_logits: {
      bindings: [
        f32('losses', 'write'),
        f32('dlogits', 'write'),
        f32('probabilities', 'write'),
        f32('logits'),
        f32('labels'),
        f32('weights'),
      ],
      params: { n: 'u32' },
      size: ({ n }: Shape) => ({ losses: n, dlogits: n, probabilities: n, logits: n, labels: n, weights: n }),
      grid: ({ n }: Shape) => grid1d(ceilDiv(n, 64)),
      work: ({ n }: Shape) => n,
      flops: ({ n }: Shape) => 12 * n,
      bytes: ({ n }: Shape) => 24 * n,
    },
  },
} satisfies KernelSpec;
