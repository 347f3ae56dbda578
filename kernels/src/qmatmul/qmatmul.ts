import { type AdapterFacts, type Binding, ceilDiv, f32, grid1d, type KernelEntry, type KernelSpec, u32 } from '../common/spec.ts';
import { STAGED, stagedVariants } from '../common/staged.ts';
import stagedNt from '../gen/qmatmul.staged_nt.wgsl.ts';
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

const weightBytes = (dtype: WeightType, n: number, k: number): number => 4 * n * (rowWords(dtype, k) + scaleWords(dtype, k));

const weights = (dtype: WeightType): Binding => (dtype === 'f32' ? f32('w') : u32('w'));

/** Beyond FEW rows the tile and these add in one order, so a choice by the number of rows does not show in any of them. */
const forFewOutputs = (format: number): Pick<KernelEntry, 'variants' | 'rules' | 'shape'> => ({
  variants: stagedVariants({ wgsl: stagedNt, entry: 'qmatmul_staged', constants: { format } }, ({ m }: Shape) => m > FEW),
  rules: ({ software }: AdapterFacts) => (software ? [] : STAGED),
  shape: ({ m, n, k }: Shape) => `${m}x${n}x${k}`,
});

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
      },
      { export: 'qmatmul_direct', constants: [format], work: (s: Shape) => (direct(s) ? ceilDiv(s.n, STRIP) : 0) },
    ],
    ...(form === 'nt' && forFewOutputs(format)),
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
