import { columnSums } from '../common/lanes.ts';
import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import across from '../gen/bias.across.wgsl.ts';
import wasm from '../gen/bias.wasm.ts';
import wgsl from '../gen/bias.wgsl.ts';
import * as ref from './bias.ref.ts';

interface Shape {
  rows: number;
  cols: number;
}

/** Columns per workgroup and per work item. */
const COLS = 16;

const ACROSS = columnSums(across, 'bias_bwd');

/** Gradient of a bias (cols) added to every row of (rows, cols); accumulates. The forward is the epilogue of matmul. */
export const bias = {
  name: 'bias',
  wgsl,
  wasm,
  ref,
  entries: {
    bias_bwd: {
      bindings: [f32('dbias', 'read_write'), f32('dy')],
      params: { rows: 'u32', cols: 'u32' },
      size: ({ rows, cols }: Shape) => ({ dbias: cols, dy: rows * cols }),
      variants: ACROSS.variants,
      rules: ({ software }) => (software ? [] : ACROSS.rules),
      shape: ({ rows, cols }: Shape) => `${rows}x${cols}`,
      grid: ({ cols }: Shape) => grid1d(ceilDiv(cols, COLS)),
      work: ({ cols }: Shape) => ceilDiv(cols, COLS),
      flops: ({ rows, cols }: Shape) => rows * cols,
      bytes: ({ rows, cols }: Shape) => 4 * (rows * cols + 2 * cols),
    },
  },
} satisfies KernelSpec;
