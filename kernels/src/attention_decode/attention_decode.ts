import { type AdapterFacts, ceilDiv, f32, grid1d, type KernelSpec, type Rule, u32, type Variant } from '../common/spec.ts';
import grouped from '../gen/attention_decode.grouped.wgsl.ts';
import splitKv from '../gen/attention_decode.split_kv.wgsl.ts';
import wasm from '../gen/attention_decode.wasm.ts';
import wgsl from '../gen/attention_decode.wgsl.ts';
import * as ref from './attention_decode.ref.ts';

interface Decode {
  rows: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  block_size: number;
  max_blocks: number;
  num_blocks: number;
  /** Sum of seq_lens, for the count of operations alone; not given: every row as long as its table. */
  pairs?: number;
}
interface Write {
  rows: number;
  kv_heads: number;
  head_dim: number;
  num_slots: number;
}
interface Copy {
  count: number;
  block_elems: number;
  num_blocks: number;
}

const COPY_WG = 256;
/** attention_decode.wgsl holds one query row of this many elements. */
const MAX_HEAD_DIM = 128;

/** Keys of a chunk, and threads of a workgroup, each with two vec4 of parts: decode_chunk.wgsl, attention_decode.split_kv.wgsl. */
const CHUNK = 512;
const WG = 64;
const PART = 8;
/** Elements of the parts at the most: 64 MiB. */
const MOST_PARTS = 2 ** 24;
/** Workgroups that a GPU wants at the least: queries so many have no need of the second pass. */
const BUSY = 128;

const queries = ({ rows, heads }: Decode) => rows * heads;
const chunks = ({ max_blocks, block_size }: Decode) => ceilDiv(max_blocks * block_size, CHUNK);
const partElements = (p: Decode) => queries(p) * chunks(p) * WG * PART;

/** It has the bits of the entry's own WGSL, so a choice by the number of rows does not show in a sampled token. */
const SPLIT_KV: Variant = {
  name: 'split_kv',
  applies: (p: Decode) => partElements(p) <= MOST_PARTS,
  ordered: true,
  passes: [
    { wgsl: splitKv, entry: 'decode_chunks', grid: (p: Decode) => grid1d(queries(p) * chunks(p)) },
    { wgsl: splitKv, entry: 'decode_combine', grid: (p: Decode) => grid1d(queries(p)) },
  ],
  scratch: partElements,
};

/** Threads of a workgroup of attention_decode.grouped.wgsl; its constants: widest head, query heads of a workgroup. */
const THREADS = 256;
type Grouping = readonly [most: number, together: number];

const GROUPINGS: readonly Grouping[] = [64, 128].flatMap((most) => [2, 4].map((together): Grouping => [most, together]));

/** Workgroups that go over all keys of a row. */
const teams = ({ rows, heads, kv_heads }: Decode, together: number) => rows * kv_heads * ceilDiv(heads / kv_heads, together);

/** One pass, and tiles in workgroups of their own: the two have the same bits, the groupings have not. */
function groupings([most, together]: Grouping): Variant[] {
  const columns = most / 4;
  const [tile, slices] = [(8 * THREADS) / columns, THREADS / columns];
  const tiles = ({ max_blocks, block_size }: Decode) => ceilDiv(max_blocks * block_size, tile);
  const shares = Math.max(4 * (tile + 2), together * THREADS);
  const pass = (entry: string, grid: (p: Decode) => number) => ({
    wgsl: grouped,
    entry,
    constants: { wide: most / 32, together },
    grid: (p: Decode) => grid1d(grid(p)),
  });
  const every = (p: Decode) => teams(p, together);
  const scratch = (p: Decode) => every(p) * tiles(p) * 4 * (together * THREADS + 2 * slices);
  const common = { workgroupBytes: 16 * (together * columns + shares + tile + 2 * slices) + 8 * tile + 4, ordered: false };
  const name = `${most}_${together}`;
  const fits = ({ head_dim }: Decode) => head_dim <= most;
  return [
    { name: `grouped_${name}`, ...common, applies: fits, passes: [pass('decode_all', every)] },
    {
      name: `grouped_split_${name}`,
      ...common,
      applies: (p: Decode) => fits(p) && scratch(p) <= MOST_PARTS,
      passes: [pass('decode_tiles', (p) => every(p) * tiles(p)), pass('decode_combine', every)],
      scratch,
    },
  ];
}

const GROUPED: readonly Variant[] = GROUPINGS.flatMap(groupings);

/**
 * Hardware takes the grouping by the heads alone, and tiles to share out where it has few workgroups: the bits show neither how many rows
 * there are nor how long the others. Where the workgroup memory does not do, split_kv for few queries. A CPU has cores enough, and no use for
 * neighbouring loads.
 */
function rules({ software }: AdapterFacts): readonly Rule[] {
  if (software) return [];
  const grouped = GROUPINGS.flatMap(([most, together]) => {
    const name = `${most}_${together}`;
    const suits = ({ head_dim, heads, kv_heads }: Decode) => head_dim <= most && (together === 4 || heads / kv_heads <= together);
    const keys = (8 * THREADS) / (most / 4);
    const few = (p: Decode) => teams(p, together) < BUSY / 4 && p.max_blocks * p.block_size > 4 * keys;
    return [
      { variant: `grouped_split_${name}`, when: (p: Decode) => suits(p) && few(p) },
      { variant: `grouped_${name}`, when: suits },
    ];
  });
  return [...grouped, { variant: SPLIT_KV.name, when: (p: Decode) => queries(p) < BUSY && chunks(p) > 1 }];
}

function check({ heads, kv_heads, head_dim }: Decode): void {
  if (head_dim % 4 !== 0 || head_dim > MAX_HEAD_DIM) {
    throw new Error(`attention_decode: head_dim must be a multiple of 4 up to ${MAX_HEAD_DIM}, got ${head_dim}`);
  }
  if (heads % kv_heads !== 0) throw new Error(`attention_decode: heads must be a multiple of kv_heads, got ${heads} and ${kv_heads}`);
}

/**
 * Attention over a paged cache. k_cache, v_cache (num_blocks, block_size, kv_heads, head_dim); q, o (rows, heads, head_dim);
 * block_table (rows, max_blocks) block numbers; seq_lens (rows): row r attends the first seq_lens[r] keys of its sequence, 0
 * gives zeros. Several rows may belong to one sequence, so this is also the prefill with a cache. Table entries that are read
 * must be below num_blocks: the kernel does not look.
 *
 * kv_write: row r of k, v (rows, kv_heads, head_dim) goes to slots[r] = block * block_size + offset < num_slots; 0xffffffff
 * skips it. kv_copy_blocks: block src[n] to block dst[n], destinations distinct and never a source.
 */
export const attentionDecode = {
  name: 'attention_decode',
  wgsl,
  wasm,
  ref,
  entries: {
    attention_decode: {
      bindings: [f32('o', 'write'), f32('q'), f32('k_cache'), f32('v_cache'), u32('block_table'), u32('seq_lens')],
      params: {
        rows: 'u32',
        heads: 'u32',
        kv_heads: 'u32',
        head_dim: 'u32',
        block_size: 'u32',
        max_blocks: 'u32',
        num_blocks: 'u32',
        scale: 'f32',
      },
      size: (p: Decode) => {
        check(p);
        const [n, cache] = [p.rows * p.heads * p.head_dim, p.num_blocks * p.block_size * p.kv_heads * p.head_dim];
        return { o: n, q: n, k_cache: cache, v_cache: cache, block_table: p.rows * p.max_blocks, seq_lens: p.rows };
      },
      grid: (p: Decode) => grid1d(queries(p)),
      variants: [SPLIT_KV, ...GROUPED],
      rules,
      shape: ({ rows, heads, kv_heads, head_dim, block_size, max_blocks }: Decode) =>
        `${rows}x${heads}/${kv_heads}x${head_dim}x${max_blocks * block_size}`,
      phases: [{ export: 'attention_decode', work: ({ rows, kv_heads }: Decode) => rows * kv_heads, grain: () => 1 }],
      flops: (p: Decode) => 4 * (p.pairs ?? p.rows * p.max_blocks * p.block_size) * p.heads * p.head_dim,
      bytes: (p: Decode) =>
        8 * p.rows * p.heads * p.head_dim + 8 * Math.min(p.rows * p.max_blocks, p.num_blocks) * p.block_size * p.kv_heads * p.head_dim,
    },
    kv_write: {
      bindings: [f32('k_cache', 'read_write'), f32('v_cache', 'read_write'), f32('k'), f32('v'), u32('slots')],
      params: { rows: 'u32', kv_heads: 'u32', head_dim: 'u32', num_slots: 'u32' },
      size: ({ rows, kv_heads, head_dim, num_slots }: Write) => {
        const width = kv_heads * head_dim;
        return { k_cache: num_slots * width, v_cache: num_slots * width, k: rows * width, v: rows * width, slots: rows };
      },
      grid: ({ rows, kv_heads, head_dim }: Write) => grid1d(ceilDiv(rows * kv_heads * head_dim, COPY_WG)),
      work: ({ rows }: Write) => rows,
      flops: () => 0,
      bytes: ({ rows, kv_heads, head_dim }: Write) => 16 * rows * kv_heads * head_dim + 4 * rows,
    },
    kv_copy_blocks: {
      bindings: [f32('k_cache', 'read_write'), f32('v_cache', 'read_write'), u32('src'), u32('dst')],
      params: { count: 'u32', block_elems: 'u32', num_blocks: 'u32' },
      size: ({ count, block_elems, num_blocks }: Copy) => {
        const cache = num_blocks * block_elems;
        return { k_cache: cache, v_cache: cache, src: count, dst: count };
      },
      grid: ({ count, block_elems }: Copy) => grid1d(ceilDiv(count * block_elems, COPY_WG)),
      work: ({ count }: Copy) => count,
      flops: () => 0,
      bytes: ({ count, block_elems }: Copy) => 16 * count * block_elems,
    },
  },
} satisfies KernelSpec;
