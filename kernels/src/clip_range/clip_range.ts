import { f32, grid1d, type KernelSpec, u32, type Variant } from '../common/spec.ts';
import lanes from '../gen/clip_range.lanes.wgsl.ts';
import wasm from '../gen/clip_range.wasm.ts';
import wgsl from '../gen/clip_range.wgsl.ts';
import * as ref from './clip_range.ref.ts';

interface Shape {
  num_rollouts: number;
  n: number;
}

/** For hardware: a workgroup per rollout, then one for all. */
const LANES: Variant = {
  name: 'lanes',
  applies: () => true,
  ordered: false,
  passes: [
    {
      wgsl: lanes,
      entry: 'clip_range_entropy',
      constants: { WG: 64, lanes: 64 },
      grid: ({ num_rollouts }: Shape) => grid1d(num_rollouts),
    },
    { wgsl: lanes, entry: 'clip_range_finish', constants: { WG: 256, lanes: 256 }, grid: () => [1, 1, 1] },
  ],
};

/**
 * Entropy-aware upper clip per rollout (EAG-RL stage 2). entropy (n) in nats and feature_mask (n) over the tokens of all rollouts,
 * row_start (num_rollouts + 1) ascending from 0 to n. Writes clip_high and feature_entropy (num_rollouts) and range (2): its min, max.
 */
export const clipRange = {
  name: 'clip_range',
  wgsl,
  wasm,
  ref,
  entries: {
    clip_range: {
      bindings: [
        f32('clip_high', 'write'),
        f32('feature_entropy', 'write'),
        f32('range', 'write'),
        f32('entropy'),
        u32('feature_mask'),
        u32('row_start'),
      ],
      params: { num_rollouts: 'u32', n: 'u32', epsilon_high_min: 'f32', epsilon_high_max: 'f32' },
      size: ({ num_rollouts, n }: Shape) => ({
        clip_high: num_rollouts,
        feature_entropy: num_rollouts,
        range: 2,
        entropy: n,
        feature_mask: n,
        row_start: num_rollouts + 1,
      }),
      variants: [LANES],
      rules: ({ software }) => (software ? [] : [{ variant: LANES.name, when: () => true }]),
      shape: ({ num_rollouts, n }: Shape) => `${num_rollouts}x${n}`,
      grid: () => [1, 1, 1],
      phases: [
        { export: 'clip_range_entropy', work: ({ num_rollouts }: Shape) => num_rollouts },
        { export: 'clip_range_finish', work: () => 1 },
      ],
      flops: ({ num_rollouts, n }: Shape) => 2 * n + 6 * num_rollouts,
      bytes: ({ num_rollouts, n }: Shape) => 8 * n + 12 * num_rollouts + 12,
    },
  },
} satisfies KernelSpec;
