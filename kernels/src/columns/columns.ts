import { ceilDiv, f32, grid1d, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/columns.wasm.ts';
import wgsl from '../gen/columns.wgsl.ts';
import * as ref from './columns.ref.ts';

interface Shape {
  rows: number;
  cols: number;
  ld: number;
}

/** Elements per workgroup: columns.wgsl. */
const WG = 256;

/** y (rows, cols) = the first `cols` columns of x, whose rows lie `ld` elements apart. */
export const columns = {
  name: 'columns',
  wgsl,
  wasm,
  ref,
  entries: {
    columns: {
      bindings: [f32('y', 'write'), f32('x')],
      params: { rows: 'u32', cols: 'u32', ld: 'u32' },
      size: ({ rows, cols, ld }: Shape) => ({ y: rows * cols, x: (rows - 1) * ld + cols }),
      grid: ({ rows, cols }: Shape) => grid1d(ceilDiv(rows * cols, WG)),
      work: ({ rows }: Shape) => rows,
      flops: () => 0,
      bytes: ({ rows, cols }: Shape) => 8 * rows * cols,
    },
  },
} satisfies KernelSpec;
