/** Workgroups of row kernels on WebGPU; twin of row_lanes in block_reduce.wgsl. */
import { type AdapterFacts, ceilDiv, grid1d, type KernelEntry, type Rule } from './spec.ts';

interface Rows {
  rows: number;
  cols: number;
  vocab: number;
}

/** Grid for `rows` rows of `cols` columns when a workgroup of `threads` gives each row about a thread per 16 columns. */
export function rowGrid(rows: number, cols: number, threads: number): readonly [number, number, number] {
  let lanes = threads <= 64 ? 8 : 16;
  while (lanes < threads && lanes * 16 < cols) lanes *= 2;
  return grid1d(ceilDiv(rows, threads / lanes));
}

/**
 * A variant of a row kernel with a thread per row and no barrier, for adapters that compute on the CPU, which switch between all threads of a
 * workgroup at each barrier; they take it from `fewest` rows on. Workgroups of 64 threads.
 */
export function threadPerRow(wgsl: string, entry: string, fewest: number): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
  const name = 'thread_per_row';
  const grid = ({ rows }: Rows) => grid1d(ceilDiv(rows, 64));
  const rule: Rule = { variant: name, when: ({ rows }: Rows) => rows >= fewest };
  return {
    variants: [{ name, applies: () => true, ordered: false, passes: [{ wgsl, entry, constants: { one_thread: 1 }, grid }] }],
    rules: ({ software }: AdapterFacts) => (software ? [rule] : []),
    shape: ({ rows, cols, vocab }: Rows) => `${rows}x${cols ?? vocab}`,
  };
}
