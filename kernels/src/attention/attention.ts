import { ceilDiv, f32, grid1d, type KernelEntry, type KernelSpec, type Rule, u32, type Variant } from '../common/spec.ts';
import quads from '../gen/attention.quad.wgsl.ts';
import wasm from '../gen/attention.wasm.ts';
import wgsl from '../gen/attention.wgsl.ts';
import forwardTiles from '../gen/attention_fwd.tiled.wgsl.ts';
import * as ref from './attention.ref.ts';
import { DELTA_LANED, tiledRules, tiledVariants } from './backward.ts';

interface Shape {
  tokens: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  /** Query-key pairs that are seen, for the count of operations alone; not given: those of one plain causal sequence. */
  pairs?: number;
}

/** Rows (queries or keys) of one workgroup and of one WebAssembly work item; rows of one workgroup of attention_bwd_delta. */
const BLOCK = 32;
const DELTA_ROWS = 64;
/** attention.wgsl holds one row of this many elements, as vec4, in 4 threads. */
const MAX_HEAD_DIM = 128;

function check({ heads, kv_heads, head_dim }: Shape): void {
  if (head_dim % 4 !== 0 || head_dim > MAX_HEAD_DIM) {
    throw new Error(`attention: head_dim must be a multiple of 4 up to ${MAX_HEAD_DIM}, got ${head_dim}`);
  }
  if (heads % kv_heads !== 0) throw new Error(`attention: heads must be a multiple of kv_heads, got ${heads} and ${kv_heads}`);
}

const sizes = (p: Shape) => {
  check(p);
  const { tokens, heads, kv_heads, head_dim } = p;
  const [nq, nkv] = [tokens * heads * head_dim, tokens * kv_heads * head_dim];
  return { o: nq, do: nq, q: nq, dq: nq, k: nkv, dk: nkv, v: nkv, dv: nkv, stats: 2 * tokens * heads, seg: 4 * tokens };
};
const params = { tokens: 'u32', heads: 'u32', kv_heads: 'u32', head_dim: 'u32', scale: 'f32' } as const;
const blocks = ({ tokens }: Shape) => ceilDiv(tokens, BLOCK);

/** Floating-point operations of one product over the pairs. */
const product = ({ tokens, heads, head_dim, pairs = (tokens * (tokens + 1)) / 2 }: Shape) => 2 * pairs * heads * head_dim;
const queryBytes = ({ tokens, heads, head_dim }: Shape) => 4 * tokens * heads * head_dim;
const keyBytes = ({ tokens, kv_heads, head_dim }: Shape) => 4 * tokens * kv_heads * head_dim;
const tableBytes = ({ tokens, heads }: Shape) => 8 * tokens * heads + 16 * tokens;

/** Rows of a workgroup of attention.quad.wgsl. */
const QUAD_ROWS = 16;

/** Rows of a workgroup of attention_fwd.tiled.wgsl. */
const TILED_ROWS = 32;

const rule = ({ name, applies }: Variant): Rule => ({ variant: name, when: applies });

/** attention_fwd.tiled.wgsl by the widest head: all add in one order, whatever the sequence's length. */
const FORWARD: readonly Variant[] = [32, 64, 128].map((most) => ({
  name: `tiled_${most}`,
  // Queries; two buffers of 8 columns and 33 keys; weights of 32 keys and maxima of 16 threads, 9 vec4 apart; segments; ranges.
  workgroupBytes: 16 * ((most / 4) * TILED_ROWS + 2 * 8 * 33 + (32 + 16) * 9 + TILED_ROWS + 2),
  applies: ({ head_dim }: Shape) => head_dim <= most,
  ordered: false,
  passes: [
    {
      wgsl: forwardTiles,
      entry: 'attention_fwd',
      constants: { wide: most / 32 },
      grid: (p: Shape) => grid1d(p.heads * ceilDiv(p.tokens, TILED_ROWS)),
    },
  ],
}));

/**
 * `head_dim_32` and `_64`: fewer registers for narrow heads, the same bits. `quad_16`, `_32`: attention.quad.wgsl. The forward is chosen by width of
 * head and adapter alone, so that nothing shows how much else is in a batch. `variants` and `hardware`: more of them, and rules for GPUs.
 */
function choice(
  entry: string,
  { kvSide = false, variants = [], hardware = [] }: { kvSide?: boolean; variants?: readonly Variant[]; hardware?: readonly Rule[] } = {},
): Required<Pick<KernelEntry, 'grid' | 'variants' | 'rules' | 'shape'>> {
  const heads = (p: Shape) => (kvSide ? p.kv_heads : p.heads);
  const grid = (p: Shape) => grid1d(heads(p) * blocks(p));
  const upTo = (most: number) => ({ applies: ({ head_dim }: Shape) => head_dim <= most });
  const narrow = (most: number): Variant => ({
    name: `head_dim_${most}`,
    ...upTo(most),
    ordered: true,
    passes: [{ wgsl, entry, constants: { most_cols: most / 4 }, grid }],
  });
  const quad = (most: number): Variant => ({
    name: `quad_${most}`,
    features: ['subgroups'],
    ...upTo(most),
    ordered: false,
    passes: [{ wgsl: quads, entry, constants: { groups: most / 16 }, grid: (p: Shape) => grid1d(heads(p) * ceilDiv(p.tokens, QUAD_ROWS)) }],
  });
  const narrows = [narrow(32), narrow(64)];
  const forCpus = [quad(16), quad(32)];
  return {
    grid,
    variants: [...narrows, ...forCpus, ...variants],
    rules: ({ software }) => [...(software ? forCpus.map(rule) : hardware), ...narrows.map(rule)],
    shape: ({ tokens, heads, kv_heads, head_dim }: Shape) => `${tokens}x${heads}/${kv_heads}x${head_dim}`,
  };
}

/** Blocks differ in length (causal, packed): threads take one at a time. */
const oneByOne = () => 1;

/**
 * Causal attention over packed segments with shared prefixes, grouped-query: q, o (tokens, heads, head_dim); k, v (tokens,
 * kv_heads, head_dim); query head h uses kv head floor(h / (heads / kv_heads)). O(tokens) memory; bit-equal on rerun.
 *
 * seg (tokens, 4): [prefix_start, prefix_end, seg_start, q_end]. Query i sees the keys in [prefix_start, prefix_end) and in
 * [seg_start, i]; key j is seen by the queries in [j, q_end). Both must say the same: the children of a prefix are laid right
 * behind it, and q_end of a prefix token is the end of its last child. A padding token sees itself: [0, 0, i, i + 1].
 *
 * stats (tokens, heads, 2): [lse, delta]. Order: fwd writes lse; bwd_delta adds delta = sum_d do o; then bwd_dq and bwd_dkdv.
 */
export const attention = {
  name: 'attention',
  wgsl,
  wasm,
  ref,
  entries: {
    attention_fwd: {
      bindings: [f32('o', 'write'), f32('stats', 'write'), f32('q'), f32('k'), f32('v'), u32('seg')],
      params,
      size: sizes,
      ...choice('attention_fwd', { variants: FORWARD, hardware: FORWARD.map(rule) }),
      phases: [{ export: 'attention_fwd', work: (p: Shape) => p.heads * blocks(p), grain: oneByOne }],
      flops: (p: Shape) => 2 * product(p),
      bytes: (p: Shape) => 2 * queryBytes(p) + 2 * keyBytes(p) + tableBytes(p),
    },
    attention_bwd_delta: {
      bindings: [f32('stats', 'read_write'), f32('do'), f32('o')],
      params: { tokens: 'u32', heads: 'u32', head_dim: 'u32' },
      size: ({ tokens, heads, head_dim }: Omit<Shape, 'kv_heads'>) => sizes({ tokens, heads, kv_heads: heads, head_dim }),
      grid: ({ tokens, heads }: Shape) => grid1d(ceilDiv(tokens * heads, DELTA_ROWS)),
      variants: [DELTA_LANED],
      rules: ({ software }) => (software ? [] : [rule(DELTA_LANED)]),
      shape: ({ tokens, heads, head_dim }: Shape) => `${tokens}x${heads}x${head_dim}`,
      work: ({ tokens, heads }: Shape) => tokens * heads,
      flops: ({ tokens, heads, head_dim }: Shape) => 2 * tokens * heads * head_dim,
      bytes: (p: Shape) => 2 * queryBytes(p) + 4 * p.tokens * p.heads,
    },
    attention_bwd_dq: {
      bindings: [f32('dq', 'write'), f32('do'), f32('q'), f32('k'), f32('v'), f32('stats'), u32('seg')],
      params,
      size: sizes,
      ...choice('attention_bwd_dq', { variants: tiledVariants('dq'), hardware: tiledRules('dq') }),
      phases: [{ export: 'attention_bwd_dq', work: (p: Shape) => p.heads * blocks(p), grain: oneByOne }],
      flops: (p: Shape) => 3 * product(p),
      bytes: (p: Shape) => 3 * queryBytes(p) + 2 * keyBytes(p) + tableBytes(p),
    },
    attention_bwd_dkdv: {
      bindings: [f32('dk', 'write'), f32('dv', 'write'), f32('do'), f32('q'), f32('k'), f32('v'), f32('stats'), u32('seg')],
      params,
      size: sizes,
      ...choice('attention_bwd_dkdv', { kvSide: true, variants: tiledVariants('dkdv'), hardware: tiledRules('dkdv') }),
      phases: [{ export: 'attention_bwd_dkdv', work: (p: Shape) => p.kv_heads * blocks(p), grain: oneByOne }],
      flops: (p: Shape) => 4 * product(p),
      bytes: (p: Shape) => 2 * queryBytes(p) + 4 * keyBytes(p) + tableBytes(p),
    },
  },
} satisfies KernelSpec;
