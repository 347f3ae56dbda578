import { ceilDiv, f32, grid1d, type KernelEntry, type KernelSpec } from '../common/spec.ts';
import wasm from '../gen/matmul.wasm.ts';
import wgsl from '../gen/matmul.wgsl.ts';
import * as ref from './matmul.ref.ts';
import { FEW, type Form, rules, type Shape, TILE, variants } from './variants.ts';

/** Outputs per work item, k-rows per packing item, columns per direct item: matmul.as.ts. */
const WA = 12;
const NC = 256;
const PACK_K = 32;
const STRIP = 32;
/** Multiply-adds that a thread takes at a time, about 10 us of them (what is stored counts as eight): so many tiles as have them, else the last ones leave the others idle. */
const GRAIN = 2 ** 18;
/**
 * Rows up to which WebAssembly reads B in place (N 704, K 256, relaxed): 2 x 4 dot products of NT give 38-41 GFLOP/s where the packed
 * form reaches 28 with 8 rows and 34 with 24; the NN and TN strip reads B once per row, 18 GFLOP/s, and meets the packed form at 4 rows.
 */
const DIRECT_ROWS = { nn: 3, nt: 24, tn: 3 } as const;

function entry(form: Form): KernelEntry {
  const direct = ({ m }: Shape) => m <= DIRECT_ROWS[form];
  /** Copies of B to pack: one when all batches share it. */
  const copies = ({ batch, stride_b }: Shape) => (stride_b === 0 ? 1 : batch);
  const packItems = ({ n, k }: Shape) => (form === 'nt' ? ceilDiv(n, 8) : ceilDiv(k, PACK_K));
  return {
    bindings: [f32('c', 'read_write'), f32('a'), f32('b'), f32('bias'), f32('aux')],
    params: {
      m: 'u32',
      n: 'u32',
      k: 'u32',
      batch: 'u32',
      stride_a: 'u32',
      stride_b: 'u32',
      stride_c: 'u32',
      alpha: 'f32',
      accumulate: 'u32',
      has_bias: 'u32',
      epilogue: 'u32',
    },
    size: ({ m, n, k, batch, stride_a, stride_b, stride_c, has_bias, epilogue }: Shape) => ({
      c: (batch - 1) * stride_c + m * n,
      a: (batch - 1) * stride_a + m * k,
      b: (batch - 1) * stride_b + k * n,
      bias: has_bias ? n : 0,
      aux: epilogue ? (batch - 1) * stride_c + m * n : 0,
    }),
    grid: ({ m, n, batch }: Shape) => grid1d(batch * (m <= FEW ? ceilDiv(n, 8) : ceilDiv(m, TILE) * ceilDiv(n, TILE))),
    phases: [
      { export: `matmul_${form}_pack`, work: (s: Shape) => (direct(s) ? 0 : copies(s) * packItems(s)) },
      {
        export: `matmul_${form}`,
        work: (s: Shape) => (direct(s) ? 0 : s.batch * ceilDiv(s.m, WA) * ceilDiv(s.n, NC)),
        grain: ({ n, k }: Shape) => ceilDiv(GRAIN, WA * Math.min(n, NC) * Math.max(8, k)),
      },
      { export: `matmul_${form}_direct`, work: (s: Shape) => (direct(s) ? s.batch * ceilDiv(s.n, STRIP) : 0) },
    ],
    scratch: (s: Shape) => (direct(s) ? 0 : copies(s) * ceilDiv(s.n, 8) * 8 * s.k),
    variants: variants(form),
    rules: rules(form),
    shape: ({ m, n, k, batch }: Shape) => `${m}x${n}x${k}x${batch}`,
    flops: ({ m, n, k, batch }: Shape) => 2 * batch * m * n * k,
    bytes: ({ m, n, k, batch, accumulate, epilogue, stride_a, stride_b }: Shape) => {
      const outputs = 1 + (accumulate ? 1 : 0) + (epilogue ? 1 : 0);
      return 4 * ((stride_a ? batch : 1) * m * k + (stride_b ? batch : 1) * k * n + outputs * batch * m * n);
    },
  };
}

/**
 * Matrix product, c (M,N) = alpha op(a) op(b) [+ bias (N)] [+ c], for each of `batch` matrices that lie `stride_*` elements apart
 * (0: one matrix for all batches; c never 0 when batch > 1). NN: a (M,K), b (K,N). NT: a (M,K), b (N,K). TN: a (K,M), b (K,N).
 * With accumulate = 0 what c holds is never read. Then the epilogue, if there is one (common/epilogue.ts); aux as large as c. WebAssembly packs b
 * into scratch of its own size.
 */
export const matmul = {
  name: 'matmul',
  wgsl,
  wasm,
  ref,
  entries: { matmul_nn: entry('nn'), matmul_nt: entry('nt'), matmul_tn: entry('tn') },
} satisfies KernelSpec;
