import { BLOCKS, filled } from '../common/blocks.ts';
import { MATRICES, sizedName, sizeFor, type TileSize, tileBytes, tileOf } from '../common/matrices.ts';
import {
  type AdapterFacts,
  type Binding,
  ceilDiv,
  f32,
  grid1d,
  type KernelEntry,
  type KernelSpec,
  type Rule,
  type SubgroupMatrix,
  u32,
  type Variant,
} from '../common/spec.ts';
import { BUSY, STAGED, stagedVariants, tiles } from '../common/staged.ts';
import { SUBGROUP_MATRIX } from '../common/variants.ts';
import matrix8 from '../gen/qmatmul.matrix_8.wgsl.ts';
import matrix16 from '../gen/qmatmul.matrix_16.wgsl.ts';
import stagedNt from '../gen/qmatmul.staged_nt.wgsl.ts';
import tile from '../gen/qmatmul.tile.wgsl.ts';
import wasm from '../gen/qmatmul.wasm.ts';
import wgsl from '../gen/qmatmul.wgsl.ts';
import { rowWords, scaleWords, WEIGHT_TYPES, type WeightType } from './format.ts';
import * as ref from './qmatmul.ref.ts';

interface Shape {
  m: number;
  n: number;
  k: number;
  lda: number;
  ldc: number;
  accumulate: number;
  has_bias: number;
  epilogue: number;
}
interface Rows {
  tokens: number;
  k: number;
  n: number;
}

/** Forms and formats as qmatmul.wgsl and qmatmul.as.ts number them. */
const FORM = { nt: 0, nn: 1 } as const;
type Form = keyof typeof FORM;
const formatOf = (dtype: WeightType): number => WEIGHT_TYPES.indexOf(dtype);

/** Outputs per workgroup, rows up to which the sum is shared out instead, and columns per workgroup then: qmatmul.wgsl. */
const TILE = 64;
const FEW = 4;
const FEW_COLUMNS = { nt: 8, nn: 64 } as const;
/** Outputs per work item, and the rows up to which NT takes dot products, and columns per item then: qmatmul.as.ts. */
const MB = 288;
const NC = 64;
const DIRECT_ROWS = 4;
const STRIP = 32;

type Outputs = Pick<Shape, 'm' | 'n' | 'k'>;

/** As a product of m rows, n columns and k steps. */
const outputsOf = (form: Form, { m, n, k }: Outputs): Outputs => (form === 'nt' ? { m, n, k } : { m, n: k, k: n });

const weightBytes = (dtype: WeightType, n: number, k: number): number => 4 * n * (rowWords(dtype, k) + scaleWords(dtype, k));

const weights = (dtype: WeightType): Binding => (dtype === 'f32' ? f32('w') : u32('w'));

/** The largest first. */
const TILE_SIZES: readonly TileSize[] = [
  { tall: 4, wide: 4, down: 4, across: 2, deep: 1, copies: 1 },
  { tall: 2, wide: 2, down: 2, across: 2, deep: 1, copies: 1 },
];
/** Not where a matrix is less than a load of a subgroup. */
const WHOLE = MATRICES.filter(({ side, lanes }) => lanes <= 2 * side);

/** NN of f16 on matrix units: common/matrix_frozen.wgsl. A gradient, so its order of sums may go by shape. */
function onMatrices(matrix: SubgroupMatrix, size: TileSize): Variant {
  const { side, lanes } = matrix;
  const module = { 8: matrix8, 16: matrix16 }[side] as string;
  const [rows, columns] = tileOf(size, matrix);
  const constants = { form: FORM.nn, lanes, ...size, parts_b: 1, b_along_columns: 1 };
  return {
    name: sizedName(size, matrix),
    features: ['shader-f16', 'subgroups', SUBGROUP_MATRIX],
    workgroupBytes: tileBytes(size, matrix, 2, 1) + 4 * rows,
    matrix,
    applies: ({ m }: Shape) => m > FEW,
    ordered: false,
    passes: [
      { wgsl: module, entry: 'matrix_split', constants: { form: FORM.nn }, grid: ({ m }: Shape) => grid1d(ceilDiv(m, 4)) },
      { wgsl: module, entry: 'matrix_frozen', constants, grid: ({ m, k }: Shape) => grid1d(ceilDiv(m, rows) * ceilDiv(k, columns)) },
    ],
    scratch: ({ m, n }: Shape) => 4 * m + ceilDiv(m, side) * side * ceilDiv(n, 2 * side) * 2 * side,
  };
}

const blockTiles = (form: Form, format: number): readonly Variant[] =>
  BLOCKS.map(({ rows, columns, size, constants }) => {
    const grid = (s: Shape) => grid1d(tiles(rows, columns)(outputsOf(form, s)));
    return {
      name: `tile_${size}`,
      applies: ({ m }: Shape) => m > FEW,
      ordered: true,
      passes: [{ wgsl: tile, entry: 'qmatmul_tile', constants: { form: FORM[form], format, ...constants }, grid }],
    };
  });

/** Beyond FEW rows all of NT add in one order, so a choice by the number of rows does not show in any of them. */
function choice(form: Form, dtype: WeightType): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
  const format = formatOf(dtype);
  const many = ({ m }: Shape) => m > FEW;
  const onUnits = form === 'nn' && dtype === 'f16';
  const when = (rule: (s: Outputs) => boolean) => (s: Shape) => rule(outputsOf(form, s));
  const tiled: readonly Rule[] = [
    { variant: 'tile_128x128', when: when(filled(128, 2)) },
    { variant: 'tile_64x64', when: form === 'nt' ? filled(64) : () => true },
  ];
  return {
    variants: [
      ...blockTiles(form, format),
      ...(form === 'nt' ? stagedVariants({ wgsl: stagedNt, entry: 'qmatmul_staged', constants: { format } }, many) : []),
      ...(onUnits ? WHOLE.flatMap((matrix) => TILE_SIZES.map((size) => onMatrices(matrix, size))) : []),
    ],
    rules: ({ software, matrix }: AdapterFacts) => {
      if (software) return [];
      const matrices =
        onUnits && matrix
          ? TILE_SIZES.map((size, at) => ({
              variant: sizedName(size, matrix),
              when: (s: Shape) => Math.min(s.m, s.k) >= TILE && sizeFor(TILE_SIZES, [BUSY], matrix, outputsOf(form, s)) === at,
            }))
          : [];
      return [...matrices, ...tiled, ...(form === 'nt' ? STAGED : [])];
    },
    shape: ({ m, n, k }: Shape) => `${m}x${n}x${k}`,
  };
}

function product(form: Form, dtype: WeightType): KernelEntry {
  const format = formatOf(dtype);
  const width = ({ n, k }: Shape) => (form === 'nt' ? n : k);
  const depth = ({ n, k }: Shape) => (form === 'nt' ? k : n);
  const direct = ({ m }: Shape) => form === 'nt' && m <= DIRECT_ROWS;
  return {
    bindings: [f32('c', 'read_write'), f32('a'), weights(dtype), u32('scales'), f32('bias'), f32('aux')],
    params: { m: 'u32', n: 'u32', k: 'u32', lda: 'u32', ldc: 'u32', accumulate: 'u32', has_bias: 'u32', epilogue: 'u32' },
    size: (s: Shape) => ({
      c: (s.m - 1) * s.ldc + width(s),
      a: (s.m - 1) * s.lda + depth(s),
      w: s.n * rowWords(dtype, s.k),
      scales: s.n * scaleWords(dtype, s.k),
      bias: s.has_bias ? width(s) : 0,
      aux: s.epilogue ? (s.m - 1) * s.ldc + width(s) : 0,
    }),
    main: { entry: 'qmatmul', constants: { form: FORM[form], format } },
    grid: (s: Shape) => grid1d(s.m <= FEW ? ceilDiv(width(s), FEW_COLUMNS[form]) : ceilDiv(s.m, TILE) * ceilDiv(width(s), TILE)),
    phases: [
      {
        export: 'qmatmul',
        constants: [FORM[form], format],
        work: (s: Shape) => (direct(s) ? 0 : ceilDiv(s.m, MB) * ceilDiv(width(s), NC)),
        grain: () => 1,
      },
      { export: 'qmatmul_direct', constants: [format], work: (s: Shape) => (direct(s) ? ceilDiv(s.n, STRIP) : 0) },
    ],
    ...choice(form, dtype),
    flops: ({ m, n, k }: Shape) => 2 * m * n * k,
    bytes: (s: Shape) => {
      const outputs = 1 + (s.accumulate ? 1 : 0) + (s.epilogue ? 1 : 0);
      return weightBytes(dtype, s.n, s.k) + 4 * s.m * (depth(s) + outputs * width(s));
    },
  };
}

function gather(dtype: WeightType): KernelEntry {
  const format = formatOf(dtype);
  return {
    bindings: [f32('y', 'read_write'), u32('ids'), weights(dtype), u32('scales')],
    params: { tokens: 'u32', k: 'u32', first: 'u32', n: 'u32', fill: 'u32' },
    size: ({ tokens, k, n }: Rows) => ({ y: tokens * k, ids: tokens, w: n * rowWords(dtype, k), scales: n * scaleWords(dtype, k) }),
    main: { entry: 'qgather', constants: { format } },
    grid: ({ tokens, k }: Rows) => grid1d(ceilDiv(tokens * ceilDiv(k, 4), 64)),
    phases: [{ export: 'qgather', constants: [format], work: ({ tokens }: Rows) => tokens }],
    flops: ({ tokens, k }: Rows) => tokens * k,
    bytes: ({ tokens, k }: Rows) => weightBytes(dtype, tokens, k) + 4 * tokens * (k + 1),
  };
}

/**
 * Products with a matrix W (n, k) kept as f32, f16, int8 or int4 (format.ts); it is dequantised inside, sums are f32.
 * `qmatmul_nt_*`: c (m, n) = a (m, k) W^T. `qmatmul_nn_*`: c (m, k) = a (m, n) W, the way back. Rows of a and c lie `lda` and `ldc` elements
 * apart, so that c, or a, may be some columns of a wider matrix: blocks of W's rows are multiplied one after the other. With
 * accumulate = 0 what c holds is not read. Then the epilogue, if there is one (common/epilogue.ts), with aux laid out as c. `qgather_*`: y (tokens, k) = rows ids - first of W; for ids outside of its n rows y is set
 * to 0 (fill = 1) or left as it is (0).
 */
export const qmatmul = {
  name: 'qmatmul',
  wgsl,
  wasm,
  ref,
  entries: Object.fromEntries(
    WEIGHT_TYPES.flatMap((t) => [
      [`qmatmul_nt_${t}`, product('nt', t)],
      [`qmatmul_nn_${t}`, product('nn', t)],
      [`qgather_${t}`, gather(t)],
    ]),
  ) as Readonly<Record<string, KernelEntry>>,
} satisfies KernelSpec;
