/** Workgroups of row kernels on WebGPU; twin of row_lanes in block_reduce.wgsl. */
import { ceilDiv, grid1d } from './spec.ts';

/** Grid for `rows` rows of `cols` columns when a workgroup of `threads` gives each row about a thread per 16 columns. */
export function rowGrid(rows: number, cols: number, threads: number): readonly [number, number, number] {
  let lanes = threads <= 64 ? 8 : 16;
  while (lanes < threads && lanes * 16 < cols) lanes *= 2;
  return grid1d(ceilDiv(rows, threads / lanes));
}
