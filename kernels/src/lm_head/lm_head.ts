import { always, stripRows, threadPerRow } from '../common/lanes.ts';
import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import spread from '../gen/lm_head.spread.wgsl.ts';
import strips from '../gen/lm_head.strips.wgsl.ts';
import wasm from '../gen/lm_head.wasm.ts';
import wgsl from '../gen/lm_head.wgsl.ts';
import wide from '../gen/lm_head.wide.wgsl.ts';
import * as ref from './lm_head.ref.ts';

interface Shape {
  rows: number;
  vocab: number;
}
const params = { rows: 'u32', vocab: 'u32', inv_temperature: 'f32' } as const;

/** For hardware: a workgroup for each 1,024 columns. */
const SPREAD = always({
  name: 'spread',
  applies: () => true,
  ordered: true,
  passes: [{ wgsl: spread, entry: 'lm_head_dlogits', grid: ({ rows, vocab }: Shape) => grid1d(rows * ceilDiv(vocab, 1024)) }],
});

/**
 * What follows the LM head's matmul on a chunk of rows: logits (rows, vocab) and targets (rows) below vocab.
 * lm_head_logprob: logprobs, entropy (nats) and lse, each (rows). lm_head_dlogits turns the logits into their gradient, in place.
 */
export const lmHead = {
  name: 'lm_head',
  wgsl,
  wasm,
  ref,
  entries: {
    lm_head_logprob: {
      bindings: [f32('logprobs', 'write'), f32('entropy', 'write'), f32('lse', 'write'), f32('logits'), u32('targets')],
      params,
      size: ({ rows, vocab }: Shape) => ({ logprobs: rows, entropy: rows, lse: rows, logits: rows * vocab, targets: rows }),
      ...threadPerRow({ entry: 'lm_head_logprob', wide, hardware: stripRows(strips, 'lm_head_logprob') }),
      grid: ({ rows }: Shape) => grid1d(rows),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, vocab }: Shape) => 7 * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 4 * rows * vocab + 16 * rows,
    },
    lm_head_dlogits: {
      bindings: [f32('logits', 'read_write'), u32('targets'), f32('lse'), f32('dlogprobs')],
      params,
      size: ({ rows, vocab }: Shape) => ({ logits: rows * vocab, targets: rows, lse: rows, dlogprobs: rows }),
      ...threadPerRow({ entry: 'lm_head_dlogits', wide, hardware: SPREAD }),
      grid: ({ rows }: Shape) => grid1d(rows),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, vocab }: Shape) => 4 * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 8 * rows * vocab + 12 * rows,
    },
  },
} satisfies KernelSpec;
