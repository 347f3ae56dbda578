import { heldRows, orElse, rowGrid, stripRows, threadPerRow } from '../common/lanes.ts';
import { f32, type KernelSpec, u32 } from '../common/spec.ts';
import held from '../gen/cross_entropy.held.wgsl.ts';
import strips from '../gen/cross_entropy.strips.wgsl.ts';
import stripsFwd from '../gen/cross_entropy.strips_fwd.wgsl.ts';
import wasm from '../gen/cross_entropy.wasm.ts';
import wgsl from '../gen/cross_entropy.wgsl.ts';
import wide from '../gen/cross_entropy.wide.wgsl.ts';
import * as ref from './cross_entropy.ref.ts';

interface Shape {
  rows: number;
  vocab: number;
}
const params = { rows: 'u32', vocab: 'u32' } as const;
const size = ({ rows, vocab }: Shape) => ({ losses: rows, logits: rows * vocab, targets: rows, weights: rows });

/**
 * Weighted cross-entropy of logits (rows, vocab) with targets (rows) below vocab; losses (rows) carry their weight.
 * cross_entropy also turns the logits into the gradient of the summed losses, in place; cross_entropy_fwd leaves them alone.
 */
export const crossEntropy = {
  name: 'cross_entropy',
  wgsl,
  wasm,
  ref,
  entries: {
    cross_entropy: {
      bindings: [f32('losses', 'write'), f32('logits', 'read_write'), u32('targets'), f32('weights')],
      params,
      size,
      ...threadPerRow({
        entry: 'cross_entropy',
        wide,
        wgsl,
        hardware: orElse(heldRows(held, 'cross_entropy'), stripRows(strips, 'cross_entropy')),
      }),
      grid: ({ rows, vocab }: Shape) => rowGrid(rows, vocab, 64),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, vocab }: Shape) => 5 * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 8 * rows * vocab + 12 * rows,
    },
    cross_entropy_fwd: {
      bindings: [f32('losses', 'write'), f32('logits'), u32('targets'), f32('weights')],
      params,
      size,
      ...threadPerRow({ entry: 'cross_entropy_fwd', wide, wgsl, hardware: stripRows(stripsFwd, 'cross_entropy_fwd') }),
      grid: ({ rows, vocab }: Shape) => rowGrid(rows, vocab, 64),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, vocab }: Shape) => 4 * rows * vocab,
      bytes: ({ rows, vocab }: Shape) => 4 * rows * vocab + 12 * rows,
    },
  },
} satisfies KernelSpec;
