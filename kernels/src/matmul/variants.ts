/** Ways to compute a product on WebGPU, and which to take where nobody measured. What each is worth: README.md. */
import { BLOCKS, busy, filled } from '../common/blocks.ts';
import { MATRICES, sizedName, sizeFor, type TileSize, tileBytes, tileOf } from '../common/matrices.ts';
import { type AdapterFacts, ceilDiv, grid1d, type Pass, type Rule, type SubgroupMatrix, type Variant } from '../common/spec.ts';
import { BUSY, STAGED, stagedVariants, tiles } from '../common/staged.ts';
import { DEFAULT_VARIANT, SUBGROUP_MATRIX } from '../common/variants.ts';
import gemv from '../gen/matmul.gemv.wgsl.ts';
import gemvNt from '../gen/matmul.gemv_nt.wgsl.ts';
import matrix8 from '../gen/matmul.matrix_8.wgsl.ts';
import matrix16 from '../gen/matmul.matrix_16.wgsl.ts';
import quad from '../gen/matmul.quad.wgsl.ts';
import slicesSum from '../gen/matmul.slices_sum.wgsl.ts';
import small from '../gen/matmul.small.wgsl.ts';
import stagedNt from '../gen/matmul.staged_nt.wgsl.ts';
import subgroupMatrix8 from '../gen/matmul.subgroup_matrix_8.wgsl.ts';
import subgroupMatrix16 from '../gen/matmul.subgroup_matrix_16.wgsl.ts';
import tile from '../gen/matmul.tile.wgsl.ts';
import tileRagged from '../gen/matmul.tile_ragged.wgsl.ts';

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

/** Parts of K in `sliced` variants. */
const SLICES = 8;

const SLICES_SUM: Pass = {
  wgsl: slicesSum,
  entry: 'matmul_slices_sum',
  constants: { slices: SLICES },
  grid: ({ batch, m, n }: Shape) => grid1d(ceilDiv(batch * m * n, 64)),
};

/** Lines along memory, and lines of c, of vec4. */
function inVectors(form: Form, { m, n, k, stride_a, stride_b, stride_c }: Shape): boolean {
  const lines = { nn: [n, k], nt: [n, k], tn: [m, n] }[form];
  return fours(stride_a, stride_b, stride_c, ...lines);
}

/** `tile`, and for any shape `ragged`; `sliced` of either: split-K over the same tiles. */
function blockTiles(form: Form, code: number): Variant[] {
  return BLOCKS.flatMap(({ rows, columns, size, ...block }) => {
    const constants = { form: code, ...block.constants };
    const count = tiles(rows, columns);
    const whole = (wgsl: string): Pass => ({ wgsl, entry: 'matmul_tile', constants, grid: (s: Shape) => grid1d(count(s)) });
    const slice = (wgsl: string): Pass => ({
      wgsl,
      entry: 'matmul_tile_slice',
      constants: { ...constants, slices: SLICES },
      grid: (s: Shape) => grid1d(SLICES * count(s)),
    });
    return [
      { kind: '', wgsl: tile, suits: (s: Shape) => inVectors(form, s) },
      { kind: 'ragged_', wgsl: tileRagged, suits: () => true },
    ].flatMap(({ kind, wgsl, suits }) => [
      { name: `${kind}tile_${size}`, applies: (s: Shape) => many(s) && suits(s), ordered: true, passes: [whole(wgsl)] },
      ...(form === 'nt'
        ? []
        : [
            {
              name: `${kind}sliced_${size}`,
              // Fewer than four k for a slice are not worth a pass over its sums; outputs so many have tiles enough.
              applies: (s: Shape) => many(s) && suits(s) && s.k >= 4 * SLICES && SLICES * s.batch * s.m * s.n <= MOST_PARTS,
              ordered: false,
              passes: [slice(wgsl), SLICES_SUM],
              scratch: ({ batch, m, n }: Shape) => SLICES * batch * m * n,
            },
          ]),
    ]);
  });
}

/** Rows of op(a), columns of op(b) per workgroup of `matmul_exponents`: common/subgroup_matrix.wgsl. */
const lineGroups = (count: number, neighbours: boolean) => (neighbours ? count : ceilDiv(count, 16));

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

/** The largest first; `LEAST`: tiles from which on a size is taken. */
const TILE_SIZES: readonly TileSize[] = [
  { tall: 4, wide: 4, down: 4, across: 2, deep: 1, copies: 1 },
  { tall: 2, wide: 2, down: 2, across: 2, deep: 1, copies: 1 },
  { tall: 2, wide: 2, down: 2, across: 2, deep: 2, copies: 1 },
];
const LEAST = [BUSY, 2 * BUSY];

/** Those of an adapter: where a matrix is less than a load of a subgroup, two of them along k make one. */
const sizesOf = ({ side, lanes }: SubgroupMatrix): readonly TileSize[] =>
  lanes > 2 * side ? TILE_SIZES.filter(({ deep }) => deep === 1).map((size) => ({ ...size, deep: 2 })) : TILE_SIZES;

/** As `onMatrices`, bits and all, but the operands are split in a pass of their own: larger tiles that load what they multiply. */
function onPackedMatrices(form: Form, code: number, matrix: SubgroupMatrix, size: TileSize): Variant {
  const { side, lanes } = matrix;
  const wgsl = { 8: matrix8, 16: matrix16 }[side] as string;
  const [rows, columns] = tileOf(size, matrix);
  // An operand that all batches share is packed once.
  const copiesOf = ({ batch, stride_a, stride_b }: Shape) => [stride_a === 0 ? 1 : batch, stride_b === 0 ? 1 : batch] as const;
  const groups = (lines: number, neighbours: boolean) => ceilDiv(lines, neighbours ? 4 : 16);
  const count = tiles(rows, columns);
  return {
    name: sizedName(size, matrix),
    features: ['shader-f16', 'subgroups', SUBGROUP_MATRIX],
    workgroupBytes: tileBytes(size, matrix, 2, 2) + 4 * (rows + columns),
    matrix,
    applies: many,
    ordered: false,
    alone: form === 'nt',
    passes: [
      {
        wgsl,
        entry: 'matrix_split',
        constants: { form: code },
        grid: (s: Shape) => {
          const [ofA, ofB] = copiesOf(s);
          return grid1d(groups(ofA * s.m, form !== 'tn') + groups(ofB * s.n, form === 'nt'));
        },
      },
      {
        wgsl,
        entry: 'matrix_product',
        constants: { form: code, lanes, ...size },
        grid: (s: Shape) => grid1d(count(s)),
      },
    ],
    scratch: (s: Shape) => {
      const [ofA, ofB] = copiesOf(s);
      const numbers = (ofA * ceilDiv(s.m, side) + ofB * ceilDiv(s.n, side)) * side * ceilDiv(s.k, 2 * side) * 2 * side;
      return 4 * (ofA * s.m + ofB * s.n) + numbers; // hi and lo are one element
    },
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
  return [
    form === 'nt' ? GEMV_NT : gemvAlongN(code),
    smallTile(code, 2),
    smallTile(code, 4),
    smallTile(code, 16),
    {
      name: 'quad',
      features: ['subgroups'],
      applies: (s: Shape) => many(s) && inQuads(form, s),
      ordered: true,
      passes: [{ wgsl: quad, entry: 'matmul_quad', constants: { form: code }, grid: (s: Shape) => grid1d(tiles(32, 64)(s)) }],
    },
    ...blockTiles(form, code),
    ...(form === 'nt' ? STAGED_NT : []),
    ...MATRICES.flatMap((matrix) => [
      onMatrices(form, code, matrix),
      ...sizesOf(matrix).map((size) => onPackedMatrices(form, code, matrix, size)),
    ]),
  ];
}

/** 64 x 64 tiles of a gradient from which on subgroup matrices win: on an H200 not at 64, as split-K at 112. */
const WORTH_MATRICES = 96;

/** Which to take where nobody tuned: as measured on an H200, on SwiftShader and on lavapipe (README.md). */
export const rules =
  (form: Form) =>
  ({ software, matrix }: AdapterFacts): readonly Rule[] => {
    const others = software ? SOFTWARE : form === 'nt' ? ORDERED : FREE;
    if (matrix === undefined) return others;
    // A pass over both operands goes before the product, so few k leave it no gain, and few tiles are behind split-K. NT has one order for
    // all rows, so no choice but of tiles.
    const gains = (s: Shape) => (software ? Math.min(s.m, s.n) >= TILE : Math.min(s.m, s.k) > TILE && squareTiles(s) >= WORTH_MATRICES);
    const worth = (s: Shape) => form === 'nt' || gains(s);
    const unpacked = `subgroup_matrix_${matrix.side}_${matrix.lanes}`;
    const sized = sizesOf(matrix).map((size, at) => ({
      variant: sizedName(size, matrix),
      when: (s: Shape) => worth(s) && s.m > TILE && sizeFor(sizesOf(matrix), LEAST, matrix, s) === at,
    }));
    return [...(software ? [] : sized), { variant: unpacked, when: worth }, ...others];
  };

/** NT adds in one order; of few outputs the tiles of common/staged.ts. */
const ORDERED: readonly Rule[] = [
  { variant: 'gemv', when: () => true },
  { variant: 'tile_128x128', when: filled(128, 2) },
  { variant: 'tile_64x64', when: filled(64) },
  ...STAGED,
  { variant: 'ragged_tile_128x128', when: filled(128, 2) },
  { variant: 'ragged_tile_64x64', when: () => true },
];

/** NN and TN are gradients: of few outputs split-K. */
const FREE: readonly Rule[] = [
  { variant: 'gemv', when: () => true },
  { variant: 'tile_128x128', when: filled(128, 2) },
  { variant: 'tile_64x64', when: busy(64, 2) },
  { variant: 'sliced_128x128', when: filled(128, 1 / SLICES) },
  { variant: 'sliced_64x64', when: () => true },
  { variant: 'ragged_tile_128x128', when: filled(128, 2) },
  { variant: 'ragged_tile_64x64', when: busy(64, 2) },
  { variant: 'ragged_sliced_128x128', when: filled(128, 1 / SLICES) },
  { variant: 'ragged_sliced_64x64', when: () => true },
  { variant: 'ragged_tile_64x64', when: () => true },
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
