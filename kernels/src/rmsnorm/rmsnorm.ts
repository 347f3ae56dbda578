import { columnSums, heldRows, rowGrid, threadPerRow } from '../common/lanes.ts';
import { ceilDiv, f32, grid1d, type KernelSpec, type Variant } from '../common/spec.ts';
import across from '../gen/rmsnorm.across.wgsl.ts';
import held from '../gen/rmsnorm.held.wgsl.ts';
import wasm from '../gen/rmsnorm.wasm.ts';
import wgsl from '../gen/rmsnorm.wgsl.ts';
import wide from '../gen/rmsnorm.wide.wgsl.ts';
import * as ref from './rmsnorm.ref.ts';

interface Shape {
  rows: number;
  cols: number;
}
interface Dx extends Shape {
  accumulate: number;
}
const params = { rows: 'u32', cols: 'u32' } as const;

/** Columns per workgroup and per work item of dweight. */
const COLS = 16;

/** For adapters that compute on the CPU: no lanes of rows, so no barrier. */
const THREAD_PER_COLUMN: Variant = {
  name: 'thread_per_column',
  applies: () => true,
  ordered: false,
  passes: [{ wgsl, entry: 'rmsnorm_bwd_dweight', constants: { row_lanes_dw: 1 }, grid: ({ cols }: Shape) => grid1d(ceilDiv(cols, COLS)) }],
};

const ACROSS = columnSums(across, 'rmsnorm_bwd_dweight');

const grid = ({ rows, cols }: Shape) => rowGrid(rows, cols, 64);
const work = ({ rows }: Shape) => rows;

/**
 * RMSNorm over the last dim of (rows, cols), weight (cols). Backward needs x and rstd (rows); dx is assigned, or added
 * to where accumulate is 1 (with 0 what it holds is never read); dweight accumulates.
 */
export const rmsnorm = {
  name: 'rmsnorm',
  wgsl,
  wasm,
  ref,
  entries: {
    rmsnorm_fwd: {
      bindings: [f32('y', 'write'), f32('rstd', 'write'), f32('x'), f32('weight')],
      params: { ...params, eps: 'f32' },
      size: ({ rows, cols }: Shape) => ({ y: rows * cols, rstd: rows, x: rows * cols, weight: cols }),
      // Not by rows: a sampled token must not depend on who else is in the batch.
      ...threadPerRow({ entry: 'rmsnorm_fwd', wide, wgsl, fewest: 1, hardware: heldRows(held, 'rmsnorm_fwd') }),
      grid,
      work,
      flops: ({ rows, cols }: Shape) => 4 * rows * cols,
      bytes: ({ rows, cols }: Shape) => 4 * (2 * rows * cols + rows + cols),
    },
    rmsnorm_bwd_dx: {
      bindings: [f32('dx', 'read_write'), f32('dy'), f32('x'), f32('weight'), f32('rstd')],
      params: { ...params, accumulate: 'u32' },
      size: ({ rows, cols }: Shape) => ({ dx: rows * cols, dy: rows * cols, x: rows * cols, weight: cols, rstd: rows }),
      ...threadPerRow({ entry: 'rmsnorm_bwd_dx', wide, wgsl, fewest: 1, hardware: heldRows(held, 'rmsnorm_bwd_dx') }),
      grid,
      work,
      flops: ({ rows, cols, accumulate }: Dx) => (7 + accumulate) * rows * cols,
      bytes: ({ rows, cols, accumulate }: Dx) => 4 * ((3 + accumulate) * rows * cols + rows + cols),
    },
    rmsnorm_bwd_dweight: {
      bindings: [f32('dweight', 'read_write'), f32('dy'), f32('x'), f32('rstd')],
      params,
      size: ({ rows, cols }: Shape) => ({ dweight: cols, dy: rows * cols, x: rows * cols, rstd: rows }),
      variants: [THREAD_PER_COLUMN, ...ACROSS.variants],
      rules: ({ software }) => (software ? [{ variant: THREAD_PER_COLUMN.name, when: () => true }] : ACROSS.rules),
      shape: ({ rows, cols }: Shape) => `${rows}x${cols}`,
      grid: ({ cols }: Shape) => grid1d(ceilDiv(cols, COLS)),
      work: ({ cols }: Shape) => ceilDiv(cols, COLS),
      flops: ({ rows, cols }: Shape) => 3 * rows * cols,
      bytes: ({ rows, cols }: Shape) => 4 * (2 * rows * cols + rows + 2 * cols),
    },
  },
} satisfies KernelSpec;
