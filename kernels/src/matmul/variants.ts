/** Ways to compute a product on WebGPU, and which to take where nobody measured. What each is worth: README.md. */
import { type AdapterFacts, ceilDiv, grid1d, type Rule, type SubgroupMatrix, type Variant } from '../common/spec.ts';
import { BUSY, STAGED, stagedVariants, tiles } from '../common/staged.ts';
import { DEFAULT_VARIANT, SUBGROUP_MATRIX } from '../common/variants.ts';
import gemv from '../gen/matmul.gemv.wgsl.ts';
import gemvNt from '../gen/matmul.gemv_nt.wgsl.ts';
import quad from '../gen/matmul.quad.wgsl.ts';
import shared from '../gen/matmul.shared.wgsl.ts';
import small from '../gen/matmul.small.wgsl.ts';
import splitK from '../gen/matmul.split_k.wgsl.ts';
import stagedNt from '../gen/matmul.staged_nt.wgsl.ts';
import subgroupMatrix8 from '../gen/matmul.subgroup_matrix_8.wgsl.ts';
import subgroupMatrix16 from '../gen/matmul.subgroup_matrix_16.wgsl.ts';

export type Form = 'nn' | 'nt' | 'tn';

export interface Shape {
  m: number;
  n: number;
  k: number;
  batch: number;
  stride_a: number;
  stride_b: number;
  stride_c: number;
  alpha: number;
  accumulate: number;
  has_bias: number;
  epilogue: number;
}

/** Outputs per workgroup and the row count up to which columns are shared out instead: matmul.wgsl. */
export const TILE = 64;
export const FEW = 4;
/** Elements of split-K's scratch at the most: 64 MiB. */
const MOST_PARTS = 2 ** 24;

const squareTiles = tiles(TILE, TILE);
/** Up to FEW rows matmul.wgsl adds in another order, so an ordered variant leaves them to it. */
const many = ({ m }: Shape) => m > FEW;

/** `down` threads one above the other, 4 x 4 outputs each, 64 threads. */
function smallTile(form: number, down: number): Variant {
  const [rows, columns] = [4 * down, 256 / down];
  const count = tiles(rows, columns);
  const grid = (s: Shape) => grid1d(count(s));
  return {
    name: `small_${rows}x${columns}`,
    applies: many,
    ordered: true,
    passes: [{ wgsl: small, entry: 'matmul_small', constants: { form, down }, grid }],
  };
}

function split(form: number, slices: number): Variant {
  const constants = { form, slices };
  return {
    name: `split_k_${slices}`,
    // Fewer than four k for a slice are not worth a pass over its sums; outputs so many have tiles enough.
    applies: (s: Shape) => many(s) && s.k >= 4 * slices && slices * s.batch * s.m * s.n <= MOST_PARTS,
    ordered: false,
    passes: [
      { wgsl: splitK, entry: 'matmul_split_k', constants, grid: (s: Shape) => grid1d(slices * squareTiles(s)) },
      {
        wgsl: splitK,
        entry: 'matmul_split_k_sum',
        constants: { slices },
        grid: ({ batch, m, n }: Shape) => grid1d(ceilDiv(batch * m * n, 64)),
      },
    ],
    scratch: ({ batch, m, n }: Shape) => slices * batch * m * n,
  };
}

/** Rows of op(a), columns of op(b) per workgroup of `matmul_exponents`: common/subgroup_matrix.wgsl. */
const lineGroups = (count: number, neighbours: boolean) => (neighbours ? count : ceilDiv(count, 16));

/** Sizes that adapters are known to have: lavapipe 26; Apple; NVIDIA. */
const MATRICES: readonly SubgroupMatrix[] = [
  { side: 8, lanes: 8 },
  { side: 8, lanes: 32 },
  { side: 16, lanes: 32 },
];

/** On f16 units, each f32 as the sum of two f16. */
function onMatrices(form: Form, code: number, matrix: SubgroupMatrix): Variant {
  const wgsl = { 8: subgroupMatrix8, 16: subgroupMatrix16 }[matrix.side] as string;
  const constants = { form: code };
  return {
    name: `subgroup_matrix_${matrix.side}_${matrix.lanes}`,
    features: ['shader-f16', 'subgroups', SUBGROUP_MATRIX],
    matrix,
    applies: many,
    ordered: false,
    alone: form === 'nt',
    passes: [
      {
        wgsl,
        entry: 'matmul_exponents',
        constants,
        grid: ({ m, n, batch }: Shape) => grid1d(lineGroups(batch * m, form !== 'tn') + lineGroups(batch * n, form === 'nt')),
      },
      {
        wgsl,
        entry: 'matmul_subgroup_matrix',
        constants: { ...constants, lanes: matrix.lanes },
        grid: (s: Shape) => grid1d(squareTiles(s)),
      },
    ],
    scratch: ({ m, n, batch }: Shape) => batch * (m + n),
  };
}

const few = ({ m }: Shape) => m <= FEW;
const fours = (...numbers: number[]) => numbers.every((x) => x % 4 === 0);

const GEMV_NT: Variant = {
  name: 'gemv',
  applies: (s: Shape) => few(s) && fours(s.k, s.stride_a, s.stride_b),
  ordered: false,
  passes: [{ wgsl: gemvNt, entry: 'matmul_gemv', grid: ({ n, batch }: Shape) => grid1d(batch * ceilDiv(n, 4)) }],
};

const gemvAlongN = (form: number): Variant => ({
  name: 'gemv',
  applies: (s: Shape) => few(s) && fours(s.n, s.stride_b),
  ordered: false,
  passes: [{ wgsl: gemv, entry: 'matmul_gemv', constants: { form }, grid: ({ n, batch }: Shape) => grid1d(batch * ceilDiv(n, 16)) }],
});

const STAGED_NT = stagedVariants({ wgsl: stagedNt, entry: 'matmul_staged' }, (s: Shape) => many(s) && fours(s.k, s.stride_a, s.stride_b));

/** Lines along memory in loads of four; along k, in turns of eight. */
function inQuads(form: Form, { m, n, k, stride_a, stride_b }: Shape): boolean {
  const lines = { nn: [n, k / 2], nt: [k / 2], tn: [m, n] }[form];
  return fours(stride_a, stride_b, ...lines);
}

/**
 * NT, the product of every forward pass, has ordered variants alone beyond FEW rows, so no split-K: how many rows share a launch must
 * not show in the bits of any of them, or a sampled token would depend on who else is in the batch. Subgroup matrices add in an order of
 * their own: where the device was opened with them, every NT product beyond FEW rows takes them.
 */
export function variants(form: Form): readonly Variant[] {
  const code = { nn: 0, nt: 1, tn: 2 }[form];
  const constants = { form: code };
  return [
    form === 'nt' ? GEMV_NT : gemvAlongN(code),
    smallTile(code, 2),
    smallTile(code, 4),
    smallTile(code, 8),
    smallTile(code, 16),
    {
      name: 'shared',
      applies: many,
      ordered: true,
      passes: [{ wgsl: shared, entry: 'matmul_shared', constants, grid: (s: Shape) => grid1d(squareTiles(s)) }],
    },
    {
      name: 'quad',
      features: ['subgroups'],
      applies: (s: Shape) => many(s) && inQuads(form, s),
      ordered: true,
      passes: [{ wgsl: quad, entry: 'matmul_quad', constants, grid: (s: Shape) => grid1d(tiles(32, 64)(s)) }],
    },
    ...(form === 'nt' ? STAGED_NT : [split(code, 4), split(code, 16)]),
    ...MATRICES.map((matrix) => onMatrices(form, code, matrix)),
  ];
}

/** Which to take where nobody tuned. Hardware: by what others measured, not yet by us. Software: measured, README.md. */
export const rules =
  (form: Form) =>
  ({ software, matrix }: AdapterFacts): readonly Rule[] => {
    const others = software ? SOFTWARE : [...(form === 'nt' ? STAGED : SPLIT), ...HARDWARE];
    if (matrix === undefined) return others;
    // Its tile is 64 x 64, and a pass over both operands goes before it. NT has one order for all rows, so no choice.
    const worth = ({ m, n }: Shape) => form === 'nt' || Math.min(m, n) >= TILE;
    return [{ variant: `subgroup_matrix_${matrix.side}_${matrix.lanes}`, when: worth }, ...others];
  };

const SPLIT: readonly Rule[] = [
  { variant: 'split_k_16', when: (s: Shape) => squareTiles(s) * 4 < BUSY && s.k >= 1024 },
  { variant: 'split_k_4', when: (s: Shape) => squareTiles(s) < BUSY && s.k >= 256 },
];

const HARDWARE: readonly Rule[] = [
  { variant: 'gemv', when: () => true },
  { variant: 'small_8x128', when: ({ m }: Shape) => m <= 8 },
  { variant: 'small_16x64', when: ({ m }: Shape) => m <= 16 },
  { variant: 'small_64x16', when: ({ n }: Shape) => n <= 16 },
  { variant: 'small_32x32', when: (s: Shape) => squareTiles(s) < BUSY },
  { variant: 'shared', when: () => true },
];

/**
 * A CPU has no lanes to keep busy, only work to avoid: `quad`, at a third of the default's time per output, wins in spite of padding. For shapes
 * that it cannot take: rows and columns of a tile, and CPU time per output of it, the default's being 1 (README.md).
 */
const COST: Readonly<Record<string, readonly [rows: number, columns: number, cost: number]>> = {
  default: [TILE, TILE, 1],
  small_8x128: [8, 128, 1.9],
  small_16x64: [16, 64, 1.9],
  small_64x16: [64, 16, 1.9],
};

const TILES = Object.entries(COST);

function cheapest({ m, n }: Shape): string {
  let best = DEFAULT_VARIANT;
  let least = Number.POSITIVE_INFINITY;
  for (const [name, [rows, columns, each]] of TILES) {
    const cost = ceilDiv(m, rows) * ceilDiv(n, columns) * rows * columns * each;
    if (cost < least) [best, least] = [name, cost];
  }
  return best;
}

const SOFTWARE: readonly Rule[] = [
  { variant: 'gemv', when: () => true },
  { variant: 'quad', when: () => true },
  ...TILES.map(([variant]) => ({ variant, when: (s: Shape) => cheapest(s) === variant })),
];
