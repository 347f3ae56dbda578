import { ceilDiv, f32, grid1d, type KernelSpec, type Variant } from '../common/spec.ts';
import held from '../gen/decov.held.wgsl.ts';
import wasm from '../gen/decov.wasm.ts';
import wgsl from '../gen/decov.wgsl.ts';
import * as ref from './decov.ref.ts';

interface CenterShape {
  tokens: number;
  batch: number;
  channels: number;
}
interface LossShape {
  tokens: number;
  channels: number;
}

/** For hardware: columns in registers. */
const HELD: Variant = {
  name: 'held',
  applies: ({ batch }: CenterShape) => batch <= 256,
  ordered: false,
  passes: [{ wgsl: held, entry: 'decov_center', grid: ({ tokens, channels }: CenterShape) => grid1d(tokens * ceilDiv(channels, 16)) }],
};

/**
 * DeCov around two matmuls: xc = decov_center(x); cov = matmul_tn(xc, xc) / (batch - 1) per token; decov_loss, which takes the diagonal
 * out of cov; dx = 2 / (batch - 1) matmul_nn(xc, cov).
 */
export const decov = {
  name: 'decov',
  wgsl,
  wasm,
  ref,
  entries: {
    decov_center: {
      bindings: [f32('xc', 'write'), f32('x')],
      params: { tokens: 'u32', batch: 'u32', channels: 'u32' },
      size: ({ tokens, batch, channels }: CenterShape) => ({ xc: tokens * batch * channels, x: tokens * batch * channels }),
      variants: [HELD],
      rules: ({ software }) => (software ? [] : [{ variant: HELD.name, when: () => true }]),
      shape: ({ tokens, batch, channels }: CenterShape) => `${tokens}x${batch}x${channels}`,
      grid: ({ tokens, channels }: CenterShape) => grid1d(ceilDiv(tokens * channels, 64)),
      work: ({ tokens }: CenterShape) => tokens,
      flops: ({ tokens, batch, channels }: CenterShape) => 2 * tokens * batch * channels,
      bytes: ({ tokens, batch, channels }: CenterShape) => 8 * tokens * batch * channels,
    },
    decov_loss: {
      bindings: [f32('losses', 'write'), f32('cov', 'read_write')],
      params: { tokens: 'u32', channels: 'u32' },
      size: ({ tokens, channels }: LossShape) => ({ losses: tokens, cov: tokens * channels * channels }),
      grid: ({ tokens }: LossShape) => grid1d(tokens),
      work: ({ tokens }: LossShape) => tokens,
      flops: ({ tokens, channels }: LossShape) => 2 * tokens * channels * channels,
      bytes: ({ tokens, channels }: LossShape) => 4 * tokens * (channels * channels + channels),
    },
  },
} satisfies KernelSpec;
