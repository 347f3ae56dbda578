import { f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import wasm from '../gen/sampling.wasm.ts';
import wgsl from '../gen/sampling.wgsl.ts';
import * as ref from './sampling.ref.ts';

interface Shape {
  rows: number;
  vocab: number;
  temperature: number;
  top_k: number;
  top_p: number;
}

/** Bisection steps over f32 bit patterns. */
const STEPS = 32;

/**
 * Draws one token per row of logits (rows, vocab) by temperature (0: greedy), then top-k (0: off), then top-p (1: off).
 * state (rows, 4): [seed, stream, counter, active]: a draw depends on its own row and state only, so any token can be replayed.
 * tokens: 0xffffffff for inactive rows. logprobs: under the distribution drawn from. entropy: before top-k and top-p, nats.
 */
export const sampling = {
  name: 'sampling',
  wgsl,
  wasm,
  ref,
  entries: {
    sample: {
      bindings: [u32('tokens', 'write'), f32('logprobs', 'write'), f32('entropy', 'write'), f32('logits'), u32('state')],
      params: { rows: 'u32', vocab: 'u32', temperature: 'f32', top_k: 'u32', top_p: 'f32' },
      size: ({ rows, vocab }: Shape) => ({ tokens: rows, logprobs: rows, entropy: rows, logits: rows * vocab, state: rows * 4 }),
      grid: ({ rows }: Shape) => grid1d(rows),
      work: ({ rows }: Shape) => rows,
      scratch: ({ rows, vocab }: Shape) => rows * vocab,
      flops: ({ rows, vocab, top_k, top_p }: Shape) => (9 + (top_k > 0 ? STEPS : 0) + (top_p < 1 ? 2 * STEPS : 0)) * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 4 * rows * vocab + 28 * rows,
    },
  },
} satisfies KernelSpec;
