/** Workgroups of row kernels on WebGPU; twin of row_lanes in block_reduce.wgsl. */
import { type AdapterFacts, ceilDiv, grid1d, type KernelEntry, type Rule, type Variant } from './spec.ts';

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

interface PerRow {
  readonly entry: string;
  /** The kernel's form that takes WIDE columns at a time. */
  readonly wide: string;
  /** The kernel's own WGSL, for any number of columns; without it the variants end with `wide`. */
  readonly wgsl?: string;
  /** They are taken from so many rows on; default: what keeps the cores of a CPU busy with a thread each. */
  readonly fewest?: number;
}

/** Columns that common/wide.wgsl takes at a time. */
const WIDE = 16;

const columns = ({ cols, vocab }: Rows): number => cols ?? vocab;

/**
 * Variants of a row kernel with a thread per row and no barrier, for adapters that compute on the CPU: these switch between all threads of a
 * workgroup at each barrier, and pay for a load by the instruction. Workgroups of 64 threads.
 */
export function threadPerRow({ entry, wide, wgsl, fewest = 32 }: PerRow): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
  const grid = ({ rows }: Rows) => grid1d(ceilDiv(rows, 64));
  const wideOne: Variant = {
    name: 'thread_per_row_wide',
    applies: (p: Rows) => columns(p) % WIDE === 0,
    ordered: false,
    passes: [{ wgsl: wide, entry, grid }],
  };
  const plain = (own: string): Variant => ({
    name: 'thread_per_row',
    applies: () => true,
    ordered: false,
    passes: [{ wgsl: own, entry, constants: { one_thread: 1 }, grid }],
  });
  const variants = wgsl === undefined ? [wideOne] : [wideOne, plain(wgsl)];
  const rules = variants.map(({ name }): Rule => ({ variant: name, when: ({ rows }: Rows) => rows >= fewest }));
  return {
    variants,
    rules: ({ software }: AdapterFacts) => (software ? rules : []),
    shape: (p: Rows) => `${p.rows}x${columns(p)}`,
  };
}
