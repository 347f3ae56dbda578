import { ceilDiv, f32, grid1d, type KernelEntry, type KernelSpec, u32, type Variant } from '../common/spec.ts';
import spread from '../gen/sampling.spread.wgsl.ts';
import strips from '../gen/sampling.strips.wgsl.ts';
import wasm from '../gen/sampling.wasm.ts';
import wgsl from '../gen/sampling.wgsl.ts';
import * as ref from './sampling.ref.ts';

interface Shape {
  rows: number;
  vocab: number;
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
}
interface Penalty {
  rows: number;
  vocab: number;
}

/**
 * Sixteen threads per row instead of 256, for adapters that compute on the CPU: each barrier costs them a switch of every thread. Whatever the
 * number of rows, so that a sampled token does not depend on the batch.
 */
function narrow(entry: string, hardware: readonly Variant[]): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
  const grid = ({ rows }: Penalty) => grid1d(rows);
  return {
    variants: [
      { name: 'narrow', applies: () => true, ordered: false, passes: [{ wgsl, entry, constants: { WG: 16 }, grid }] },
      ...hardware,
    ],
    rules: ({ software }) =>
      software ? [{ variant: 'narrow', when: () => true }] : hardware.map(({ name }) => ({ variant: name, when: () => true })),
    shape: ({ rows, vocab }: Penalty) => `${rows}x${vocab}`,
  };
}

/** Deals of a row that the draw of sampling.strips.wgsl has room for. */
const MOST_DEALS = 128;

/** For hardware: so many threads per row, 16 columns to a thread at a time; a row in the registers of one of them, the last for what is longer. */
const STRIPS = [128, 256].map(
  (lanes): Variant => ({
    name: `strips_${lanes}`,
    applies: ({ vocab }: Shape) => vocab <= 16 * lanes * (lanes === 256 ? MOST_DEALS : 1),
    ordered: false,
    passes: [{ wgsl: strips, entry: 'sample', constants: { WG: lanes, lanes }, grid: ({ rows }: Shape) => grid1d(rows) }],
  }),
);

/** For hardware: a workgroup for each 1,024 columns. */
const SPREAD: Variant = {
  name: 'spread',
  applies: () => true,
  ordered: true,
  passes: [{ wgsl: spread, entry: 'repetition_penalty', grid: ({ rows, vocab }: Penalty) => grid1d(rows * ceilDiv(vocab, 1024)) }],
};

/** Bisection steps over f32 bit patterns. */
const STEPS = 32;

/**
 * Draws one token per row of logits (rows, vocab) by temperature (0: greedy), then top-k (0: off), top-p (1: off) and min-p (0: off).
 * state (rows, 4): [seed, stream, counter, active]: a draw depends on its own row and state only, so any token can be replayed.
 * tokens: 0xffffffff for inactive rows. logprobs: under the distribution drawn from. entropy: before the filters, nats.
 *
 * repetition_penalty: logits (rows, vocab) of tokens that are in `seen` or are the row's `ids` are divided by the penalty where they are at
 * least 0 and multiplied by it below. seen (rows, ceil(vocab / 32)) bits; the row's id is added to it.
 */
export const sampling = {
  name: 'sampling',
  wgsl,
  wasm,
  ref,
  entries: {
    sample: {
      bindings: [u32('tokens', 'write'), f32('logprobs', 'write'), f32('entropy', 'write'), f32('logits'), u32('state')],
      params: { rows: 'u32', vocab: 'u32', temperature: 'f32', top_k: 'u32', top_p: 'f32', min_p: 'f32' },
      size: ({ rows, vocab }: Shape) => ({ tokens: rows, logprobs: rows, entropy: rows, logits: rows * vocab, state: rows * 4 }),
      grid: ({ rows }: Shape) => grid1d(rows),
      ...narrow('sample', STRIPS),
      work: ({ rows }: Shape) => rows,
      scratch: ({ rows, vocab }: Shape) => rows * vocab,
      flops: ({ rows, vocab, top_k, top_p }: Shape) => (9 + (top_k > 0 ? STEPS : 0) + (top_p < 1 ? 2 * STEPS : 0)) * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 4 * rows * vocab + 28 * rows,
    },
    repetition_penalty: {
      bindings: [f32('logits', 'read_write'), u32('seen', 'read_write'), u32('ids')],
      params: { rows: 'u32', vocab: 'u32', penalty: 'f32' },
      size: ({ rows, vocab }: Penalty) => ({ logits: rows * vocab, seen: rows * ceilDiv(vocab, 32), ids: rows }),
      grid: ({ rows }: Penalty) => grid1d(rows),
      ...narrow('repetition_penalty', [SPREAD]),
      work: ({ rows }: Penalty) => rows,
      flops: ({ rows, vocab }: Penalty) => rows * vocab,
      bytes: ({ rows, vocab }: Penalty) => 8 * rows * vocab + 4 * rows * ceilDiv(vocab, 32),
    },
  },
} satisfies KernelSpec;
