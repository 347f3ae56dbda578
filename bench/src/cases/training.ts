/** Losses, optimiser, element by element work, tree search and scoring, at the sizes of one step of the tiny policy. */
import {
  adamw,
  bias,
  clippedRatio,
  clipRange,
  columns,
  concat,
  crossEntropy,
  dropout,
  elementwise,
  launchRef,
  mcts,
  type Params,
  rolloutScore,
} from '@eagrl/kernels';
import type { BenchCase, Draw } from '../lib/case.ts';

const T = 512;
const HIDDEN = 256;
const VOCAB = 1408;
/** Elements of one activation (T, HIDDEN), and about a third of the tiny policy's parameters. */
const N = T * HIDDEN;
const PARAMS = 1 << 20;

const flat = (entry: string, extra: Params, names: readonly string[]): BenchCase => ({
  spec: elementwise,
  entry,
  shape: `${N}`,
  params: { n: N, ...extra },
  inputs: (d) => Object.fromEntries(names.map((name) => [name, d.normals(N)])),
});

const rows: Params = { rows: T, vocab: VOCAB };
const logits = (d: Draw) => ({ logits: d.normals(T * VOCAB, 2), targets: d.ints(T, VOCAB), weights: d.uniforms(T, 0.5, 1) });

/** One update of n parameters in the middle of a run. */
export const update = (n: number, from?: BenchCase['from']): BenchCase => ({
  spec: adamw,
  entry: 'adamw',
  shape: `${n}`,
  params: {
    n,
    lr: 1e-4,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weight_decay: 0.1,
    bias_correction1: 1 - 0.9 ** 10,
    bias_correction2: 1 - 0.95 ** 10,
  },
  inputs: (d) => ({
    param: d.normals(n),
    m: d.normals(n, 0.1),
    v: d.uniforms(n, 0.01, 0.02),
    grad: d.normals(n, 0.1),
    decay: new Float32Array(n / 64).fill(1),
    norm: Float32Array.of(2, 0.5),
  }),
  from,
});

const optimiser: BenchCase[] = [
  {
    spec: adamw,
    entry: 'grad_norm_partial',
    shape: `${PARAMS}`,
    params: { n: PARAMS },
    inputs: (d) => ({ grad: d.normals(PARAMS) }),
  },
  {
    spec: adamw,
    entry: 'grad_norm_finish',
    shape: '256',
    params: { count: 256, max_norm: 1 },
    inputs: (d) => ({ partials: d.uniforms(256) }),
  },
  update(PARAMS),
];

const elements: BenchCase[] = [
  flat('fill', { value: 0 }, []),
  flat('add', {}, ['a', 'b']),
  flat('add_inplace', {}, ['y', 'x']),
  flat('scale_inplace', { s: -1 }, ['y']), // repeated, it only changes signs
  flat('scaled_add_inplace', { s: 0.5 }, ['y', 'x']),
  {
    spec: bias,
    entry: 'bias_bwd',
    shape: `${T}x${HIDDEN}`,
    params: { rows: T, cols: HIDDEN },
    inputs: (d) => ({ dbias: d.normals(HIDDEN), dy: d.normals(N) }),
  },
  {
    spec: concat,
    entry: 'concat',
    shape: `${N}+${N}`,
    params: { na: N, nb: N },
    inputs: (d) => ({ a: d.normals(N), b: d.normals(N) }),
  },
  { spec: concat, entry: 'split', shape: `${N}+${N}`, params: { na: N, nb: N }, inputs: (d) => ({ dy: d.normals(2 * N) }) },
  {
    spec: columns,
    entry: 'columns',
    shape: `${T}x${HIDDEN} of ${VOCAB}`,
    params: { rows: T, cols: HIDDEN, ld: VOCAB },
    inputs: (d) => ({ x: d.normals(T * VOCAB) }),
  },
  {
    spec: dropout,
    entry: 'dropout_fwd',
    shape: `${N}`,
    params: { n: N, rate: 0.1, seed: 7, stream: 1, accumulate: 0 },
    inputs: (d) => ({ x: d.normals(N), y: d.normals(N) }),
  },
];

const ROLLOUTS = 64;
const TOKENS = ROLLOUTS * 128;

/** |log ratio| near 0.1 or near 0.5: some tokens are clipped, none lies where f32 and f64 could disagree about it. */
function policyTokens(d: Draw) {
  const old_logprobs = d.uniforms(TOKENS, -4, -1);
  const jitter = d.uniforms(TOKENS, -0.02, 0.02);
  const side = d.ints(TOKENS, 4);
  return {
    logprobs: old_logprobs.map((old, i) => old + [-0.5, -0.1, 0.1, 0.5][side[i]] + jitter[i]),
    old_logprobs,
    ref_logprobs: old_logprobs.map((old, i) => old - 5 * jitter[i]),
    rollout: Uint32Array.from({ length: TOKENS }, (_, i) => Math.floor(i / 128)),
    table: Float32Array.from(d.normals(2 * ROLLOUTS), (a, i) => (i % 2 ? 0.2 + 0.002 * (i >> 1) : a)),
    weights: d.uniforms(TOKENS),
  };
}

const losses: BenchCase[] = [
  { spec: crossEntropy, entry: 'cross_entropy', shape: `${T}x${VOCAB}`, params: rows, inputs: logits },
  { spec: crossEntropy, entry: 'cross_entropy_fwd', shape: `${T}x${VOCAB}`, params: rows, inputs: logits },
  {
    spec: clippedRatio,
    entry: 'clipped_ratio',
    shape: `${TOKENS}`,
    params: { n: TOKENS, num_rollouts: ROLLOUTS, clip_low: 0.2, kl_beta: 0.01 },
    inputs: policyTokens,
  },
  {
    spec: clippedRatio,
    entry: 'clipped_ratio_reduce',
    shape: `${TOKENS / 256}`,
    params: { blocks: TOKENS / 256 },
    inputs: (d) => ({ partials: d.uniforms(TOKENS / 32) }),
  },
  {
    spec: clipRange,
    entry: 'clip_range',
    shape: `${ROLLOUTS}x128`,
    params: { num_rollouts: ROLLOUTS, n: TOKENS, epsilon_high_min: 0.2, epsilon_high_max: 0.4 },
    inputs: (d) => ({
      entropy: d.uniforms(TOKENS, 0, 2),
      feature_mask: d.ints(TOKENS, 2),
      row_start: Uint32Array.from({ length: ROLLOUTS + 1 }, (_, i) => 128 * i),
    }),
  },
];

const TREES = 64;
const NODES = 85;
const tree = { trees: TREES, max_nodes: NODES, max_depth: 8 };

/** Complete trees of four children per node and three levels below the root: 1 + 4 + 16 + 64 nodes. */
function trees(d: Draw) {
  const nodes = new Uint32Array(TREES * NODES * 4);
  for (let t = 0; t < TREES; t++) {
    for (let i = 0; i < NODES; i++) {
      const parent = i === 0 ? 0xffffffff : (i - 1) >> 2;
      nodes.set([parent, 4 * i + 1, 4 * i + 1 < NODES ? 4 : 0, 0], (t * NODES + i) * 4);
    }
  }
  // visits, largest value, prior, reward
  const stats = Float32Array.from(d.uniforms(TREES * NODES * 4), (u, i) => (i % 4 === 0 ? 1 + Math.floor(50 * u) : u));
  return { nodes, stats, active: new Uint32Array(TREES).fill(1) };
}

const search: BenchCase[] = [
  { spec: mcts, entry: 'mcts_select', shape: `${TREES}x${NODES}`, params: { ...tree, w: 1 }, inputs: trees },
  {
    spec: mcts,
    entry: 'mcts_backup',
    shape: `${TREES}x${NODES}`,
    params: tree,
    inputs: (d) => {
      const all = trees(d);
      const { path, path_length } = launchRef(mcts, 'mcts_select', all, { ...tree, w: 1 });
      return { stats: all.stats, path: Uint32Array.from(path), path_length: Uint32Array.from(path_length) };
    },
  },
  {
    spec: rolloutScore,
    entry: 'rollout_score',
    shape: '512x3',
    params: { n: 512, words: 3, weight_classification: 0.6, weight_attention: 0.4, beta: 0.5, floor: 0.01 },
    inputs: (d) => ({
      answers: Float32Array.from(d.uniforms(1024), (u, i) => (i % 2 ? 0 : u)),
      labels: Float32Array.from(d.ints(512, 2)),
      named: d.ints(512 * 3, 2 ** 32),
      expert: d.ints(512 * 3, 2 ** 32),
    }),
  },
];

export const training: readonly BenchCase[] = [...optimiser, ...elements, ...losses, ...search];
