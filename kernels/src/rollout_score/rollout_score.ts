import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import wasm from '../gen/rollout_score.wasm.ts';
import wgsl from '../gen/rollout_score.wgsl.ts';
import * as ref from './rollout_score.ref.ts';

interface Shape {
  n: number;
  words: number;
  beta: number;
  floor: number;
}

/** Rewards of n rollouts from their answers and feature sets (bitsets of 32 features per word). */
export const rolloutScore = {
  name: 'rollout_score',
  wgsl,
  wasm,
  ref,
  entries: {
    rollout_score: {
      bindings: [f32('scores', 'write'), f32('answers'), f32('labels'), u32('named'), u32('expert')],
      params: { n: 'u32', words: 'u32', weight_classification: 'f32', weight_attention: 'f32', beta: 'f32', floor: 'f32' },
      size: ({ n, words }: Shape) => ({ scores: 4 * n, answers: 2 * n, labels: n, named: n * words, expert: n * words }),
      grid: ({ n }: Shape) => grid1d(ceilDiv(n, 64)),
      work: ({ n }: Shape) => n,
      flops: ({ n, words }: Shape) => n * (16 + 6 * words),
      bytes: ({ n, words }: Shape) => n * (28 + 8 * words),
    },
  },
} satisfies KernelSpec;
