/**
 * Plan. Against the oracle on every backend.
 * - attention_decode: lengths 0, 1, on both sides of the tile 64 and of the vector width 4, and beyond two tiles; block sizes 1, 4,
 *   16, 5; blocks scattered over the cache; heads 4/2, 6/2 (odd groups), 1/1, 5/1; head_dim 4, 8, 20, 64, 128. Cache slots that no row
 *   owns hold NaN: reading one is seen. Late maximum. Lengths around one chunk of 512 and beyond two; split_kv gives the same bits, and so do
 *   the two ways of each grouping.
 *   Prefill: one row per token gives what attention_fwd gives.
 * - kv_write: scattered slots, skipped rows, the rest of the cache left alone. kv_copy_blocks: the same.
 */
import { DEFAULT_VARIANT, launchRef, launchWasm, launchWebgpu, pickVariant, variantOf } from '@eagrl/kernels';
import { assertClose, Random, TOLERANCE, testDevice, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { attention } from '../attention/attention.ts';
import { attentionDecode } from './attention_decode.ts';

/** Numbers 0 .. n - 1 in random order. */
function shuffled(r: Random, n: number): number[] {
  const a = [...Array(n).keys()];
  for (let i = n - 1; i > 0; i--) {
    const j = r.int(i + 1);
    [a[i], a[j]] = [a[j], a[i]];
  }
  return a;
}

interface Shape {
  title: string;
  lengths: number[];
  heads: [number, number];
  head_dim: number;
  block_size: number;
  /** Multiplies key t by this: a maximum that comes late. */
  grow?: (t: number) => number;
}

function decodeCase({ title, lengths, heads, head_dim, block_size, grow = () => 1 }: Shape) {
  const max_blocks = Math.max(1, ...lengths.map((n) => Math.ceil(n / block_size)));
  const num_blocks = lengths.length * max_blocks + 2;
  const width = heads[1] * head_dim;
  const params = {
    rows: lengths.length,
    heads: heads[0],
    kv_heads: heads[1],
    head_dim,
    block_size,
    max_blocks,
    num_blocks,
    scale: Math.fround(1 / Math.sqrt(head_dim)),
  };
  const inputs = (r: Random) => {
    const order = shuffled(r, num_blocks);
    const block_table = Uint32Array.from({ length: lengths.length * max_blocks }, (_, i) => order[i]);
    const k_cache = new Float32Array(num_blocks * block_size * width).fill(Number.NaN);
    const v_cache = k_cache.slice();
    lengths.forEach((n, row) => {
      for (let t = 0; t < n; t++) {
        const slot = block_table[row * max_blocks + Math.floor(t / block_size)] * block_size + (t % block_size);
        k_cache.set(r.normals(width, grow(t)), slot * width);
        v_cache.set(r.normals(width), slot * width);
      }
    });
    return { q: r.normals(lengths.length * heads[0] * head_dim), k_cache, v_cache, block_table, seq_lens: Uint32Array.from(lengths) };
  };
  return {
    title: `${title} lengths=${lengths} heads=${heads.join('/')} head_dim=${head_dim}`,
    params,
    inputs,
    tolerance: TOLERANCE.reduction,
  };
}

const decodeCases = [
  decodeCase({ title: 'block 16', lengths: [1, 63, 64, 65, 0, 130], heads: [4, 2], head_dim: 64, block_size: 16 }),
  decodeCase({ title: 'block 1', lengths: [3, 5, 4], heads: [6, 2], head_dim: 8, block_size: 1 }),
  decodeCase({ title: 'block 4', lengths: [7], heads: [1, 1], head_dim: 4, block_size: 4 }),
  decodeCase({ title: 'block 5', lengths: [127, 0, 129], heads: [5, 1], head_dim: 20, block_size: 5 }),
  decodeCase({ title: 'widest head', lengths: [70, 2], heads: [2, 2], head_dim: 128, block_size: 16 }),
  decodeCase({ title: 'nothing cached', lengths: [0], heads: [2, 1], head_dim: 8, block_size: 16 }),
  decodeCase({ title: 'late maximum', lengths: [200, 199], heads: [4, 2], head_dim: 16, block_size: 16, grow: (t) => t / 10 }),
  decodeCase({ title: 'chunks', lengths: [511, 512, 0, 513, 1100], heads: [4, 2], head_dim: 12, block_size: 16 }),
  decodeCase({ title: 'maximum in a late chunk', lengths: [1030], heads: [2, 1], head_dim: 64, block_size: 10, grow: (t) => t / 100 }),
];
testKernel(attentionDecode, 'attention_decode', decodeCases);
const { variants } = attentionDecode.entries.attention_decode;
for (const { name } of variants) testVariant(attentionDecode, 'attention_decode', name, decodeCases);

test.each(variants.filter((v) => v.name.startsWith('grouped_split_')))(
  'attention_decode webgpu $name gives the bits of one pass',
  async ({ name }) => {
    const device = await testDevice();
    for (const { title, params, inputs } of decodeCases.filter((c) =>
      variantOf(attentionDecode, 'attention_decode', name).applies(c.params),
    )) {
      const host = inputs(new Random(title));
      const run = (variant: string) => launchWebgpu(device, attentionDecode, 'attention_decode', host, params, variant);
      const [two, one] = [await run(name), await run(name.replace('split_', ''))];
      expect(new Uint32Array(two.o.buffer), title).toEqual(new Uint32Array(one.o.buffer));
    }
  },
);

test('attention_decode: on hardware, rows and lengths choose between ways of equal bits alone', () => {
  const { attention_decode } = attentionDecode.entries;
  const seen = new Set<string>();
  for (const workgroupBytes of [16_384, 49_152]) {
    const gpu = { features: new Set<string>(), software: false, workgroupBytes };
    for (const [heads, kv_heads, head_dim] of [
      [4, 2, 64],
      [14, 2, 64],
      [2, 2, 32],
      [16, 8, 128],
      [9, 3, 64],
      [32, 8, 128],
    ]) {
      const names = [1, 16, 100, 512].flatMap((rows) =>
        [1, 40, 300].map((max_blocks) =>
          pickVariant(attention_decode, { rows, heads, kv_heads, head_dim, block_size: 16, max_blocks, num_blocks: 1 }, gpu),
        ),
      );
      for (const name of names) seen.add(name);
      const groups = new Set(names.map((name) => (name === 'split_kv' ? DEFAULT_VARIANT : name.replace('split_', ''))));
      expect([...groups], `${heads}/${kv_heads} heads of ${head_dim}`).toHaveLength(1);
    }
  }
  expect([...seen].filter((name) => name.startsWith('grouped_split_')).length).toBeGreaterThan(2);
  expect(seen).toContain('split_kv');
});

test.each([
  ['ref', (...a: Parameters<typeof launchRef>) => launchRef(...a)],
  ['wasm', (...a: Parameters<typeof launchRef>) => launchWasm(...a)],
] as const)('attention_decode %s as prefill gives what attention_fwd ref gives', (_name, launch) => {
  const r = new Random('prefill');
  const [tokens, heads, kv_heads, head_dim, block_size, max_blocks] = [37, 4, 2, 8, 8, 5];
  const shape = { heads, kv_heads, head_dim, scale: 0.25 };
  const q = r.normals(tokens * heads * head_dim);
  const k = r.normals(tokens * kv_heads * head_dim);
  const v = r.normals(k.length);
  const seg = Uint32Array.from({ length: tokens * 4 }, (_, e) => (e % 4 === 3 ? tokens : 0));
  const want = launchRef(attention, 'attention_fwd', { q, k, v, seg }, { ...shape, tokens });

  const blocks = shuffled(r, 9).slice(0, max_blocks);
  const num_slots = 9 * block_size;
  const empty = new Float32Array(num_slots * kv_heads * head_dim);
  const slots = Uint32Array.from({ length: tokens }, (_, t) => blocks[Math.floor(t / block_size)] * block_size + (t % block_size));
  const cache = launch(
    attentionDecode,
    'kv_write',
    { k_cache: empty, v_cache: empty, k, v, slots },
    { rows: tokens, kv_heads, head_dim, num_slots },
  );
  const got = launch(
    attentionDecode,
    'attention_decode',
    {
      q,
      k_cache: Float32Array.from(cache.k_cache),
      v_cache: Float32Array.from(cache.v_cache),
      block_table: Uint32Array.from({ length: tokens * max_blocks }, (_, e) => blocks[e % max_blocks]),
      seq_lens: Uint32Array.from({ length: tokens }, (_, t) => t + 1),
    },
    { ...shape, rows: tokens, block_size, max_blocks, num_blocks: 9 },
  );
  assertClose(got.o, want.o, { ...TOLERANCE.reduction, label: 'o' });
});

const SKIP = 0xffffffff;
testKernel(
  attentionDecode,
  'kv_write',
  [
    { rows: 1, kv_heads: 1, head_dim: 4, num_slots: 1, slots: [0] },
    { rows: 5, kv_heads: 2, head_dim: 8, num_slots: 32, slots: [31, SKIP, 0, 7, SKIP] },
    { rows: 9, kv_heads: 2, head_dim: 64, num_slots: 20, slots: [3, 1, 19, 2, 8, SKIP, 0, 12, 11] },
  ].map(({ slots, ...params }) => ({
    title: `slots=${slots.map((s) => (s === SKIP ? 'skip' : s))} width=${params.kv_heads * params.head_dim}`,
    params,
    inputs: (r: Random) => {
      const width = params.kv_heads * params.head_dim;
      const cache = () => r.normals(params.num_slots * width);
      return {
        k_cache: cache(),
        v_cache: cache(),
        k: r.normals(params.rows * width),
        v: r.normals(params.rows * width),
        slots: Uint32Array.from(slots),
      };
    },
    tolerance: { rel: 0, abs: 0 },
  })),
);

testKernel(
  attentionDecode,
  'kv_copy_blocks',
  [
    { block_elems: 4, num_blocks: 2, src: [1], dst: [0] },
    { block_elems: 100, num_blocks: 9, src: [8, 3, 3], dst: [0, 7, 2] },
    { block_elems: 2048, num_blocks: 5, src: [0, 0], dst: [4, 2] },
  ].map(({ src, dst, ...rest }) => ({
    title: `${src} to ${dst} block_elems=${rest.block_elems}`,
    params: { count: src.length, ...rest },
    inputs: (r: Random) => {
      const n = rest.block_elems * rest.num_blocks;
      return { k_cache: r.normals(n), v_cache: r.normals(n), src: Uint32Array.from(src), dst: Uint32Array.from(dst) };
    },
    tolerance: { rel: 0, abs: 0 },
  })),
);
