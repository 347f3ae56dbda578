import { MATRICES, sizedName, sizeFor, type TileSize, tileBytes, tileOf } from '../common/matrices.ts';
import {
  type AdapterFacts,
  ceilDiv,
  f32,
  grid1d,
  type KernelSpec,
  type Rule,
  type SubgroupMatrix,
  u32,
  type Variant,
} from '../common/spec.ts';
import { BUSY, tiles } from '../common/staged.ts';
import { SUBGROUP_MATRIX } from '../common/variants.ts';
import matrix8 from '../gen/matmul_f16.matrix_8.wgsl.ts';
import matrix16 from '../gen/matmul_f16.matrix_16.wgsl.ts';
import wasm from '../gen/matmul_f16.wasm.ts';
import wgsl from '../gen/matmul_f16.wgsl.ts';
import { rowWords } from '../qmatmul/format.ts';
import * as ref from './matmul_f16.ref.ts';

interface Shape {
  m: number;
  n: number;
  k: number;
}

/** Rows of c per work item: matmul_f16.as.ts. */
const ROWS = 8;

const LARGE: TileSize = { tall: 4, wide: 4, down: 4, across: 2, deep: 1, copies: 2 };
const SMALL: TileSize = { tall: 4, wide: 2, down: 2, across: 2, deep: 2, copies: 1 };

function onMatrices(matrix: SubgroupMatrix, size: TileSize): Variant {
  const { side, lanes } = matrix;
  const count = tiles(...tileOf(size, matrix));
  return {
    name: sizedName(size, matrix),
    features: ['shader-f16', 'subgroups', SUBGROUP_MATRIX],
    workgroupBytes: tileBytes(size, matrix, 1, 1),
    matrix,
    applies: () => true,
    ordered: false,
    passes: [
      {
        wgsl: { 8: matrix8, 16: matrix16 }[side] as string,
        entry: 'matrix_f16',
        constants: { lanes, ...size, parts_a: 1, parts_b: 1 },
        grid: (s: Shape) => grid1d(count(s)),
      },
    ],
  };
}

/** Sizes of an adapter, the largest first. Where a matrix is less than a load of a subgroup, four of them along k make one. */
const sizesOf = ({ side, lanes }: SubgroupMatrix): readonly TileSize[] =>
  lanes > 2 * side ? [{ ...LARGE, copies: 1 }, SMALL].map((size) => ({ ...size, deep: 4 })) : [LARGE, SMALL];

function rules({ software, matrix }: AdapterFacts): readonly Rule[] {
  if (software || matrix === undefined) return [];
  const sizes = sizesOf(matrix);
  return sizes.map((size, at) => ({
    variant: sizedName(size, matrix),
    when: (s: Shape) => sizeFor(sizes, [BUSY], matrix, s) === at,
  }));
}

/**
 * c (m, n) = a (m, k) b^T (n, k) of operands kept as f16 (qmatmul/format.ts), products and sums in f32: what f16 matrix units do at their full rate.
 * Nothing is rounded to f16 here; whoever keeps an operand so has chosen to.
 */
export const matmulF16 = {
  name: 'matmul_f16',
  wgsl,
  wasm,
  ref,
  entries: {
    matmul_f16_nt: {
      bindings: [f32('c', 'write'), u32('a'), u32('b')],
      params: { m: 'u32', n: 'u32', k: 'u32' },
      size: ({ m, n, k }: Shape) => ({ c: m * n, a: m * rowWords('f16', k), b: n * rowWords('f16', k) }),
      main: { entry: 'matmul_f16_nt', constants: { tall: 4, wide: 4, turn: 8 } },
      grid: (s: Shape) => grid1d(tiles(32, 32)(s)),
      work: ({ m }: Shape) => ceilDiv(m, ROWS),
      variants: MATRICES.flatMap((matrix) => [...sizesOf(matrix).map((size) => onMatrices(matrix, size))]),
      rules,
      shape: ({ m, n, k }: Shape) => `${m}x${n}x${k}`,
      flops: ({ m, n, k }: Shape) => 2 * m * n * k,
      bytes: ({ m, n, k }: Shape) => 4 * (m * n + (m + n) * rowWords('f16', k)),
    },
  },
} satisfies KernelSpec;
