/** Kernels of the transformer, at the shapes of the tiny policy: 512 tokens, hidden 256, 4 heads sharing 2 of 64, MLP 704, vocabulary 1408. */
import {
  attention,
  attentionDecode,
  embedding,
  type HostBuffers,
  launchRef,
  lmHead,
  matmul,
  type Params,
  rmsnorm,
  rope,
  sampling,
  softmax,
  swiglu,
} from '@eagrl/kernels';
import type { BenchCase, Draw } from '../lib/case.ts';

const T = 512;
const HIDDEN = 256;
const HEADS = 4;
const KV_HEADS = 2;
const HEAD_DIM = 64;
const MLP = 704;
const VOCAB = 1408;

/** c (m, n) over k, one batch, no bias, no epilogue. */
export function product(form: 'nn' | 'nt' | 'tn', m: number, n: number, k: number, from?: BenchCase['from']): BenchCase {
  return {
    spec: matmul,
    entry: `matmul_${form}`,
    shape: `${m}x${n}x${k}`,
    params: { m, n, k, batch: 1, stride_a: 0, stride_b: 0, stride_c: 0, alpha: 1, accumulate: 0, has_bias: 0, epilogue: 0 },
    inputs: (d) => ({
      c: new Float32Array(m * n),
      a: d.normals(m * k),
      b: d.normals(k * n),
      bias: new Float32Array(4),
      aux: new Float32Array(4),
    }),
    from,
  };
}

const products: BenchCase[] = [
  // The MLP's up projection, its two gradients, and the LM head; then one decode step of 16 rows.
  product('nt', T, MLP, HIDDEN),
  product('nn', T, HIDDEN, MLP),
  product('tn', MLP, HIDDEN, T),
  product('nt', T, VOCAB, HIDDEN),
  product('nt', 16, MLP, HIDDEN),
  product('nn', 512, 512, 512),
  product('nt', 512, 512, 512),
  product('tn', 512, 512, 512),
  product('nn', 1024, 1024, 1024, 'normal'),
];

const heads: Params = { tokens: T, heads: HEADS, kv_heads: KV_HEADS, head_dim: HEAD_DIM, scale: 1 / Math.sqrt(HEAD_DIM) };
const headShape = `${T}x${HEADS}x${KV_HEADS}x${HEAD_DIM}`;
const NQ = T * HEADS * HEAD_DIM;
const NKV = T * KV_HEADS * HEAD_DIM;

/** One plain causal sequence: the case that the spec's flops count. */
const qkv = (d: Draw) => ({
  q: d.normals(NQ),
  k: d.normals(NKV),
  v: d.normals(NKV),
  seg: Uint32Array.from({ length: 4 * T }, (_, i) => (i % 4 === 3 ? T : 0)),
});

function saved(d: Draw): HostBuffers {
  const x = qkv(d);
  const { o, stats } = launchRef(attention, 'attention_fwd', x, heads);
  return { ...x, do: d.normals(NQ), o: Float32Array.from(o), stats: Float32Array.from(stats) };
}

function withDelta(d: Draw): HostBuffers {
  const x = saved(d);
  return { ...x, stats: Float32Array.from(launchRef(attention, 'attention_bwd_delta', x, heads).stats) };
}

/** 32 rows with 512 keys each in blocks of 16, every row with blocks of its own. */
const ROWS = 32;
const BLOCK = 16;
const MAX_BLOCKS = T / BLOCK;
const NUM_BLOCKS = ROWS * MAX_BLOCKS;
const KV_WIDTH = KV_HEADS * HEAD_DIM;

const attentions: BenchCase[] = [
  { spec: attention, entry: 'attention_fwd', shape: headShape, params: heads, inputs: qkv },
  { spec: attention, entry: 'attention_bwd_delta', shape: headShape, params: heads, inputs: saved },
  { spec: attention, entry: 'attention_bwd_dq', shape: headShape, params: heads, inputs: withDelta },
  { spec: attention, entry: 'attention_bwd_dkdv', shape: headShape, params: heads, inputs: withDelta },
  {
    spec: attentionDecode,
    entry: 'attention_decode',
    shape: `${ROWS}x${T}x${HEADS}x${KV_HEADS}x${HEAD_DIM}`,
    params: { ...heads, rows: ROWS, block_size: BLOCK, max_blocks: MAX_BLOCKS, num_blocks: NUM_BLOCKS },
    inputs: (d) => ({
      q: d.normals(ROWS * HEADS * HEAD_DIM),
      k_cache: d.normals(NUM_BLOCKS * BLOCK * KV_WIDTH),
      v_cache: d.normals(NUM_BLOCKS * BLOCK * KV_WIDTH),
      // 389 is coprime to the number of blocks: every block once, neighbours far apart.
      block_table: Uint32Array.from({ length: NUM_BLOCKS }, (_, i) => (i * 389) % NUM_BLOCKS),
      seq_lens: new Uint32Array(ROWS).fill(T),
    }),
  },
  {
    spec: attentionDecode,
    entry: 'kv_write',
    shape: `${T}x${KV_HEADS}x${HEAD_DIM}`,
    params: { rows: T, kv_heads: KV_HEADS, head_dim: HEAD_DIM, num_slots: 2 * T },
    inputs: (d) => ({
      k_cache: d.normals(2 * T * KV_WIDTH),
      v_cache: d.normals(2 * T * KV_WIDTH),
      k: d.normals(T * KV_WIDTH),
      v: d.normals(T * KV_WIDTH),
      slots: Uint32Array.from({ length: T }, (_, i) => (i * 389) % (2 * T)),
    }),
  },
  {
    spec: attentionDecode,
    entry: 'kv_copy_blocks',
    shape: `16x${BLOCK * KV_WIDTH}`,
    params: { count: 16, block_elems: BLOCK * KV_WIDTH, num_blocks: 64 },
    inputs: (d) => ({
      k_cache: d.normals(64 * BLOCK * KV_WIDTH),
      v_cache: d.normals(64 * BLOCK * KV_WIDTH),
      src: Uint32Array.from({ length: 16 }, (_, i) => 2 * i),
      dst: Uint32Array.from({ length: 16 }, (_, i) => 2 * i + 33),
    }),
  },
];

/** Tokens grouped by id, as embedding_bwd wants them. */
function grouped(ids: Uint32Array): {
  order: Uint32Array<ArrayBuffer>;
  unique_ids: Uint32Array<ArrayBuffer>;
  row_start: Uint32Array<ArrayBuffer>;
} {
  const order = Uint32Array.from(ids.keys()).sort((a, b) => ids[a] - ids[b] || a - b);
  const starts = Array.from(order.keys()).filter((i) => i === 0 || ids[order[i]] !== ids[order[i - 1]]);
  return {
    order,
    unique_ids: Uint32Array.from(starts, (i) => ids[order[i]]),
    row_start: Uint32Array.from([...starts, ids.length]),
  };
}

/** Params need the number of unique ids, so the ids are a fixed sequence: each of 256 ids twice. */
const IDS = Uint32Array.from({ length: T }, (_, i) => (i * 389) % HIDDEN);
const groups = grouped(IDS);

const normParams: Params = { rows: T, cols: HIDDEN, eps: 1e-6 };
function normSaved(d: Draw): HostBuffers {
  const x = d.normals(T * HIDDEN);
  const weight = d.normals(HIDDEN);
  const { rstd } = launchRef(rmsnorm, 'rmsnorm_fwd', { x, weight }, normParams);
  return { x, weight, rstd: Float32Array.from(rstd), dy: d.normals(T * HIDDEN), dweight: d.normals(HIDDEN) };
}

/** (positions, head_dim): cosines, then sines. */
function ropeTable(positions: number): Float32Array<ArrayBuffer> {
  const half = HEAD_DIM / 2;
  return Float32Array.from({ length: positions * HEAD_DIM }, (_, i) => {
    const [at, d] = [Math.floor(i / HEAD_DIM), i % HEAD_DIM];
    const angle = at * 10_000 ** (-(d % half) / half);
    return d < half ? Math.cos(angle) : Math.sin(angle);
  });
}

const fusedParams: Params = { tokens: T, heads: HEADS, kv_heads: KV_HEADS, head_dim: HEAD_DIM, max_pos: 2 * T };
const turning = () => ({ positions: Uint32Array.from({ length: T }, (_, i) => i), cos_sin: ropeTable(2 * T) });

export const softmaxForward = (rows: number, cols: number, from?: BenchCase['from']): BenchCase => ({
  spec: softmax,
  entry: 'softmax_fwd',
  shape: `${rows}x${cols}`,
  params: { rows, cols },
  inputs: (d) => ({ x: d.normals(rows * cols, 3) }),
  from,
});

export function softmaxPair(rows: number, cols: number, from?: BenchCase['from']): BenchCase[] {
  const shape = `${rows}x${cols}`;
  const params = { rows, cols };
  return [
    softmaxForward(rows, cols, from),
    {
      spec: softmax,
      entry: 'softmax_bwd',
      shape,
      params,
      from,
      inputs: (d) => {
        const { y } = launchRef(softmax, 'softmax_fwd', { x: d.normals(rows * cols) }, params);
        return { dy: d.normals(rows * cols), y: Float32Array.from(y) };
      },
    },
  ];
}

const headParams: Params = { rows: T, vocab: VOCAB, inv_temperature: 1 };
const logits = (d: Draw) => ({ logits: d.normals(T * VOCAB, 2), targets: d.ints(T, VOCAB) });

const rowwise: BenchCase[] = [
  {
    spec: embedding,
    entry: 'embedding_fwd',
    shape: `${T}x${HIDDEN}`,
    params: { tokens: T, dim: HIDDEN, vocab: VOCAB },
    inputs: (d) => ({ weight: d.normals(VOCAB * HIDDEN), ids: d.ints(T, VOCAB) }),
  },
  {
    spec: embedding,
    entry: 'embedding_bwd',
    shape: `${T}x${HIDDEN}`,
    params: { num_unique: groups.unique_ids.length, dim: HIDDEN, tokens: T, vocab: VOCAB },
    inputs: (d) => ({ ...groups, dweight: d.normals(VOCAB * HIDDEN), dy: d.normals(T * HIDDEN) }),
  },
  {
    spec: rmsnorm,
    entry: 'rmsnorm_fwd',
    shape: `${T}x${HIDDEN}`,
    params: normParams,
    inputs: (d) => ({ x: d.normals(T * HIDDEN), weight: d.normals(HIDDEN) }),
  },
  ...[0, 1].map((accumulate) => ({
    spec: rmsnorm,
    entry: 'rmsnorm_bwd_dx',
    shape: `${T}x${HIDDEN}${accumulate ? ' added' : ''}`,
    params: { ...normParams, accumulate },
    inputs: (d: Draw) => ({ ...normSaved(d), dx: d.normals(T * HIDDEN) }),
  })),
  { spec: rmsnorm, entry: 'rmsnorm_bwd_dweight', shape: `${T}x${HIDDEN}`, params: normParams, inputs: normSaved },
  {
    spec: rope,
    entry: 'rope_fwd',
    shape: `${T}x${HEADS}x${HEAD_DIM}`,
    params: { tokens: T, heads: HEADS, head_dim: HEAD_DIM, max_pos: 2 * T, sign: 1 },
    inputs: (d) => ({ x: d.normals(NQ), ...turning() }),
  },
  {
    spec: rope,
    entry: 'rope_qkv_fwd',
    shape: headShape,
    params: fusedParams,
    inputs: (d) => ({ qkv: d.normals(NQ + 2 * NKV), ...turning() }),
  },
  {
    spec: rope,
    entry: 'rope_qkv_bwd',
    shape: headShape,
    params: fusedParams,
    inputs: (d) => ({ dq: d.normals(NQ), dk: d.normals(NKV), dv: d.normals(NKV), ...turning() }),
  },
  {
    spec: swiglu,
    entry: 'swiglu_fwd',
    shape: `${T}x${MLP}`,
    params: { n: T * MLP },
    inputs: (d) => ({ gate: d.normals(T * MLP), up: d.normals(T * MLP) }),
  },
  {
    spec: swiglu,
    entry: 'swiglu_bwd',
    shape: `${T}x${MLP}`,
    params: { n: T * MLP },
    inputs: (d) => ({ dy: d.normals(T * MLP), gate: d.normals(T * MLP), up: d.normals(T * MLP) }),
  },
  {
    spec: swiglu,
    entry: 'swiglu_fused_fwd',
    shape: `${T}x${MLP}`,
    params: { rows: T, cols: MLP },
    inputs: (d) => ({ gate_up: d.normals(2 * T * MLP) }),
  },
  {
    spec: swiglu,
    entry: 'swiglu_fused_bwd',
    shape: `${T}x${MLP}`,
    params: { rows: T, cols: MLP },
    inputs: (d) => ({ dy: d.normals(T * MLP), gate_up: d.normals(2 * T * MLP) }),
  },
  ...softmaxPair(T, VOCAB),
  ...softmaxPair(4096, VOCAB, 'normal'),
  { spec: lmHead, entry: 'lm_head_logprob', shape: `${T}x${VOCAB}`, params: headParams, inputs: logits },
  {
    spec: lmHead,
    entry: 'lm_head_dlogits',
    shape: `${T}x${VOCAB}`,
    params: headParams,
    inputs: (d) => {
      const x = logits(d);
      const { lse } = launchRef(lmHead, 'lm_head_logprob', x, headParams);
      return { ...x, lse: Float32Array.from(lse), dlogprobs: d.normals(T) };
    },
  },
  {
    spec: sampling,
    entry: 'sample',
    shape: `64x${VOCAB}`,
    params: { rows: 64, vocab: VOCAB, temperature: 0.8, top_k: 50, top_p: 0.95, min_p: 0 },
    inputs: (d) => ({
      logits: d.normals(64 * VOCAB, 3),
      // seed, stream = row, counter, active
      state: Uint32Array.from({ length: 256 }, (_, i) => [7, Math.floor(i / 4), 0, 1][i % 4]),
    }),
  },
  {
    spec: sampling,
    entry: 'repetition_penalty',
    shape: `64x${VOCAB}`,
    params: { rows: 64, vocab: VOCAB, penalty: 1.1 },
    inputs: (d) => ({ logits: d.normals(64 * VOCAB, 3), seen: d.ints((64 * VOCAB) / 32, 2 ** 32), ids: d.ints(64, VOCAB) }),
    steady: ['logits'],
  },
];

export const policy: readonly BenchCase[] = [...products, ...attentions, ...rowwise];
