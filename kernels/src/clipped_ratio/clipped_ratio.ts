import { ceilDiv, f32, grid1d, type KernelEntry, type KernelSpec, u32, type Variant } from '../common/spec.ts';
import tree from '../gen/clipped_ratio.tree.wgsl.ts';
import wasm from '../gen/clipped_ratio.wasm.ts';
import wgsl from '../gen/clipped_ratio.wgsl.ts';
import * as ref from './clipped_ratio.ref.ts';

interface Shape {
  n: number;
  num_rollouts: number;
}

/** Tokens per row of `partials`. */
const BLOCK = 256;

/** For hardware: all statistics reduced at once. */
function onHardware(entry: string, grid: Variant['passes'][0]['grid'], shape: (p: any) => string): Partial<KernelEntry> {
  const variant: Variant = { name: 'tree', applies: () => true, ordered: false, passes: [{ wgsl: tree, entry, grid }] };
  return { variants: [variant], rules: ({ software }) => (software ? [] : [{ variant: variant.name, when: () => true }]), shape };
}
const blocksOf = ({ n }: Shape) => grid1d(ceilDiv(n, BLOCK));

/**
 * Clipped-ratio policy loss over n tokens: gradient per token, and loss and statistics as partials (ceil(n / 256), 8), which
 * clipped_ratio_reduce sums to stats (8): [loss, kl, low clipped, high clipped, ratio, |logp - old|, tokens, max |logp - old|].
 * table (num_rollouts, 2): advantage and upper clip of each rollout. kl_beta 0 drops the penalty; ref_logprobs is read all the same.
 */
export const clippedRatio = {
  name: 'clipped_ratio',
  wgsl,
  wasm,
  ref,
  entries: {
    clipped_ratio: {
      bindings: [
        f32('dlogprobs', 'write'),
        f32('partials', 'write'),
        f32('logprobs'),
        f32('old_logprobs'),
        f32('ref_logprobs'),
        u32('rollout'),
        f32('table'),
        f32('weights'),
      ],
      params: { n: 'u32', num_rollouts: 'u32', clip_low: 'f32', kl_beta: 'f32' },
      size: ({ n, num_rollouts }: Shape) => ({
        dlogprobs: n,
        partials: ceilDiv(n, BLOCK) * 8,
        logprobs: n,
        old_logprobs: n,
        ref_logprobs: n,
        rollout: n,
        table: 2 * num_rollouts,
        weights: n,
      }),
      ...onHardware('clipped_ratio', blocksOf, ({ n }: Shape) => `${n}`),
      grid: blocksOf,
      work: ({ n }: Shape) => ceilDiv(n, BLOCK),
      flops: ({ n }: Shape) => 36 * n,
      bytes: ({ n, num_rollouts }: Shape) => 24 * n + 8 * num_rollouts + 32 * ceilDiv(n, BLOCK),
    },
    clipped_ratio_reduce: {
      bindings: [f32('stats', 'write'), f32('partials')],
      params: { blocks: 'u32' },
      size: ({ blocks }: { blocks: number }) => ({ stats: 8, partials: blocks * 8 }),
      ...onHardware(
        'clipped_ratio_reduce',
        () => [1, 1, 1],
        ({ blocks }: { blocks: number }) => `${blocks}`,
      ),
      grid: () => [1, 1, 1],
      work: () => 1,
      flops: ({ blocks }: { blocks: number }) => 8 * blocks,
      bytes: ({ blocks }: { blocks: number }) => 32 * blocks + 32,
    },
  },
} satisfies KernelSpec;
