/**
 * Sizes of real models, square sweeps, and rows so many that no cache holds them. Qwen2.5-0.5B: hidden 896, 14 heads over 2 of 64, MLP
 * 4864. Qwen2.5-1.5B: hidden 1536, 12 heads over 2 of 128, MLP 8960. Qwen2.5-7B: hidden 3584, 28 heads over 4 of 128, MLP 18,944 (config.json of
 * the three). 512 tokens. The LM head over 151,936 words is left out: one f64 copy of its weight, for the reference, is 1 GB.
 */
import { attention, crossEntropy, type HostBuffers, rmsnorm } from '@eagrl/kernels';
import { type BenchCase, Draw, rowsOf } from '../lib/case.ts';
import { product, softmaxForward } from './policy.ts';
import { update } from './training.ts';

const T = 512;

function attend(heads: number, kvHeads: number, headDim: number): BenchCase {
  return {
    spec: attention,
    entry: 'attention_fwd',
    shape: `${T}x${heads}x${kvHeads}x${headDim}`,
    params: { tokens: T, heads, kv_heads: kvHeads, head_dim: headDim, scale: 1 / Math.sqrt(headDim) },
    inputs: (d) => ({
      q: d.normals(T * heads * headDim),
      k: d.normals(T * kvHeads * headDim),
      v: d.normals(T * kvHeads * headDim),
      seg: Uint32Array.from({ length: 4 * T }, (_, i) => (i % 4 === 3 ? T : 0)),
    }),
    from: 'full',
  };
}

/** Rows of a product that are checked. */
const CHECKED = 64;

/** A product as large as a GPU wants it; the f64 reference would take minutes for more than some rows. */
export function largeProduct(form: 'nn' | 'nt', m: number, n: number, k: number): BenchCase {
  const c = product(form, m, n, k, 'full');
  const rows = [...new Draw('rows of a large product').ints(CHECKED, m)];
  const inputs = ({ a, ...all }: HostBuffers) => ({ ...all, a: rowsOf(a, rows, k), c: new Float32Array(CHECKED * n) });
  return { ...c, hardwareOnly: true, sample: { output: 'c', width: n, rows, params: { ...c.params, m: CHECKED }, inputs } };
}

const norm = (rows: number, cols: number, from: 'normal' | 'full'): BenchCase => ({
  spec: rmsnorm,
  entry: 'rmsnorm_fwd',
  shape: `${rows}x${cols}`,
  params: { rows, cols, eps: 1e-6 },
  inputs: (d) => ({ x: d.normals(rows * cols), weight: d.normals(cols) }),
  from,
});

const loss = (rows: number, vocab: number, from: 'normal' | 'full'): BenchCase => ({
  spec: crossEntropy,
  entry: 'cross_entropy',
  shape: `${rows}x${vocab}`,
  params: { rows, vocab },
  inputs: (d) => ({ logits: d.normals(rows * vocab, 2), targets: d.ints(rows, vocab), weights: d.uniforms(rows, 0.5, 1) }),
  from,
});

/** Of tens of MiB, more than most cores have to themselves; then 256 MiB, more than most processors share. */
const large: BenchCase[] = [
  norm(8192, 896, 'normal'),
  loss(2048, 1408, 'normal'),
  softmaxForward(16_384, 2048, 'full'),
  norm(32_768, 1024, 'full'),
  loss(32_768, 2048, 'full'),
  update(2 ** 24, 'full'),
];

export const models: readonly BenchCase[] = [
  ...[64, 128, 256].map((n) => product('nn', n, n, n)),
  product('nn', 2048, 2048, 2048, 'full'),
  largeProduct('nn', 4096, 4096, 4096),
  // Qwen2.5-0.5B: up, down, the gradient of up's weight, one decode step of 16 rows.
  product('nt', T, 4864, 896, 'full'),
  product('nt', T, 896, 4864, 'full'),
  product('tn', 4864, 896, T, 'full'),
  product('nt', 16, 4864, 896, 'full'),
  // Qwen2.5-1.5B: query and output projection, up, one decode step.
  product('nt', T, 1536, 1536, 'full'),
  product('nt', T, 8960, 1536, 'full'),
  product('nt', 16, 8960, 1536, 'full'),
  // Qwen2.5-7B: query and output projection, one decode step of them; up, for GPUs.
  product('nt', T, 3584, 3584, 'full'),
  product('nt', 16, 3584, 3584, 'full'),
  largeProduct('nt', T, 18_944, 3584),
  attend(14, 2, 64),
  attend(12, 2, 128),
  attend(28, 4, 128),
  norm(T, 896, 'full'),
  norm(T, 1536, 'full'),
  norm(T, 3584, 'full'),
  ...large,
];
