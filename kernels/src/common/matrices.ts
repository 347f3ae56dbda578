/** Sizes of products on subgroup matrices: common/matrix_tile.wgsl. */
import type { SubgroupMatrix } from './spec.ts';
import { type Product, tiles } from './staged.ts';

/** Sizes of matrices that adapters are known to have: lavapipe 26; Apple; NVIDIA. */
export const MATRICES: readonly SubgroupMatrix[] = [
  { side: 8, lanes: 8 },
  { side: 8, lanes: 32 },
  { side: 16, lanes: 32 },
];

/** Matrices of a subgroup, subgroups of a workgroup, matrices along k in a turn, copies of the tile: the WGSL's overrides. */
export interface TileSize {
  readonly tall: number;
  readonly wide: number;
  readonly down: number;
  readonly across: number;
  readonly deep: number;
  readonly copies: number;
}

/** Rows and columns of a tile. */
export const tileOf = ({ tall, wide, down, across }: TileSize, { side }: SubgroupMatrix) =>
  [down * tall * side, across * wide * side] as const;

/** `subgroup_matrix_16_32_128x64_4_2x1`: side and threads, tile, subgroups, matrices along k and copies. */
export function sizedName(size: TileSize, matrix: SubgroupMatrix): string {
  const [rows, columns] = tileOf(size, matrix);
  return `subgroup_matrix_${matrix.side}_${matrix.lanes}_${rows}x${columns}_${size.down * size.across}_${size.deep}x${size.copies}`;
}

/** Workgroup memory of a tile whose numbers are so many f16 each. */
export function tileBytes(size: TileSize, matrix: SubgroupMatrix, partsA: number, partsB: number): number {
  const { side } = matrix;
  const [rows, columns] = tileOf(size, matrix);
  const matrices = ((rows * partsA + columns * partsB) / side) * size.deep * size.copies;
  return 16 * matrices * side * ((side / 8) | 1) + 4 * size.down * size.across * side * side;
}

/** The first size of which there are at least so many tiles, the largest first; none: the last. Measured: matmul/README.md. */
export function sizeFor(sizes: readonly TileSize[], least: readonly number[], matrix: SubgroupMatrix, s: Product): number {
  const at = sizes.findIndex((size, i) => tiles(...tileOf(size, matrix))(s) >= least[i]);
  return at < 0 ? sizes.length - 1 : at;
}
