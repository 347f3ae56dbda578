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

/** The variants of both, where the rules of the first find none the second's. */
export const orElse = (first: Hardware, second: Hardware): Hardware => ({
  variants: [...first.variants, ...second.variants],
  rules: [...first.rules, ...second.rules],
});

interface PerRow {
  readonly entry: string;
  /** The kernel's form that takes WIDE columns at a time. */
  readonly wide: string;
  /** The kernel's own WGSL, for any number of columns; without it the variants end with `wide`. */
  readonly wgsl?: string;
  /** They are taken from so many rows on; default: what keeps the cores of a CPU busy with a thread each. */
  readonly fewest?: number;
  /** What GPUs have in their place. */
  readonly hardware?: Hardware;
}

/** Variants for GPUs, and which of them to take there. */
export interface Hardware {
  readonly variants: readonly Variant[];
  readonly rules: readonly Rule[];
}

/** One variant, always taken. */
export const always = (variant: Variant): Hardware => ({ variants: [variant], rules: [{ variant: variant.name, when: () => true }] });

/** Threads of a row on hardware: what common/row_lanes.wgsl is compiled for. */
const LANES = [32, 64, 128, 256] as const;

/** Threads of a workgroup: rows of few threads come in pairs. */
const groupOf = (lanes: number): number => Math.max(lanes, 64);

const rowsGrid =
  (lanes: number) =>
  ({ rows }: Rows): readonly [number, number, number] =>
    grid1d(ceilDiv(rows, groupOf(lanes) / lanes));

/**
 * A row in the registers of `lanes` threads, up to eight vec4 each (x.held.wgsl): read once, every load on its way at once. The rules take the fewest
 * threads that hold the row: those have the most loads each, and most rows are on their way. The number of rows has no say: a row's bits are the same
 * in any batch.
 */
export function heldRows(wgsl: string, entry: string): Hardware {
  const name = (lanes: number) => `held_${lanes}`;
  return {
    variants: LANES.map((lanes) => ({
      name: name(lanes),
      applies: (p: Rows) => columns(p) % 4 === 0 && columns(p) <= 32 * lanes,
      ordered: false,
      passes: [{ wgsl, entry, constants: { WG: groupOf(lanes), lanes }, grid: rowsGrid(lanes) }],
    })),
    rules: LANES.map((lanes) => ({ variant: name(lanes), when: () => true })),
  };
}

/**
 * Rows of any length, 32 columns to a thread at a time (x.strips.wgsl), for hardware: 64 threads for what they read in one turn, 256 beyond. As with
 * heldRows the number of rows has no say.
 */
export function stripRows(wgsl: string, entry: string): Hardware {
  const sizes = [64, 256] as const;
  const name = (lanes: number) => `strips_${lanes}`;
  return {
    variants: sizes.map((lanes) => ({
      name: name(lanes),
      applies: () => true,
      ordered: false,
      passes: [{ wgsl, entry, constants: { WG: lanes, lanes }, grid: rowsGrid(lanes) }],
    })),
    rules: sizes.map((lanes) => ({ variant: name(lanes), when: (p: Rows) => lanes === 256 || columns(p) <= 32 * lanes })),
  };
}

/** Columns that common/wide.wgsl takes at a time. */
const WIDE = 16;

const columns = ({ cols, vocab }: Rows): number => cols ?? vocab;

/**
 * Variants of a row kernel with a thread per row and no barrier, for adapters that compute on the CPU: these switch between all threads of a
 * workgroup at each barrier, and pay for a load by the instruction. Workgroups of 64 threads.
 */
export function threadPerRow({
  entry,
  wide,
  wgsl,
  fewest = 32,
  hardware,
}: PerRow): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
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
  const perRow = wgsl === undefined ? [wideOne] : [wideOne, plain(wgsl)];
  const rules = perRow.map(({ name }): Rule => ({ variant: name, when: ({ rows }: Rows) => rows >= fewest }));
  return {
    variants: [...perRow, ...(hardware?.variants ?? [])],
    rules: ({ software }: AdapterFacts) => (software ? rules : (hardware?.rules ?? [])),
    shape: (p: Rows) => `${p.rows}x${columns(p)}`,
  };
}

/** Columns that a workgroup of common/column_sums.wgsl takes. */
const ACROSS = 16;

/** Sums over rows for each column, on hardware: the rows of a few columns are shared by the threads of a workgroup. */
export const columnSums = (wgsl: string, entry: string): Hardware =>
  always({
    name: 'across',
    applies: ({ cols }: Rows) => cols % 4 === 0,
    ordered: false,
    passes: [{ wgsl, entry, grid: ({ cols }: Rows) => grid1d(ceilDiv(cols, ACROSS)) }],
  });
