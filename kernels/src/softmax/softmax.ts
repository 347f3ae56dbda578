import { heldRows, rowGrid, threadPerRow } from '../common/lanes.ts';
import { f32, type KernelSpec } from '../common/spec.ts';
import held from '../gen/softmax.held.wgsl.ts';
import wasm from '../gen/softmax.wasm.ts';
import wgsl from '../gen/softmax.wgsl.ts';
import wide from '../gen/softmax.wide.wgsl.ts';
import * as ref from './softmax.ref.ts';

interface Shape {
  rows: number;
  cols: number;
}
const params = { rows: 'u32', cols: 'u32' } as const;

/** Softmax over the last dim of (rows, cols). Backward needs y. */
export const softmax = {
  name: 'softmax',
  wgsl,
  wasm,
  ref,
  entries: {
    softmax_fwd: {
      bindings: [f32('y', 'write'), f32('x')],
      params,
      size: ({ rows, cols }: Shape) => ({ y: rows * cols, x: rows * cols }),
      ...threadPerRow({ entry: 'softmax_fwd', wide, wgsl, hardware: heldRows(held, 'softmax_fwd') }),
      grid: ({ rows, cols }: Shape) => rowGrid(rows, cols, 64),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, cols }: Shape) => 5 * rows * cols,
      bytes: ({ rows, cols }: Shape) => 8 * rows * cols,
    },
    softmax_bwd: {
      bindings: [f32('dx', 'write'), f32('dy'), f32('y')],
      params,
      size: ({ rows, cols }: Shape) => ({ dx: rows * cols, dy: rows * cols, y: rows * cols }),
      ...threadPerRow({ entry: 'softmax_bwd', wide, wgsl, hardware: heldRows(held, 'softmax_bwd') }),
      grid: ({ rows, cols }: Shape) => rowGrid(rows, cols, 64),
      work: ({ rows }: Shape) => rows,
      flops: ({ rows, cols }: Shape) => 4 * rows * cols,
      bytes: ({ rows, cols }: Shape) => 12 * rows * cols,
    },
  },
} satisfies KernelSpec;
