/**
 * Plan. Forward and backward against the oracle on every backend.
 * - Segment tables: plain causal, two packed sequences, one prefix with three children of different lengths, a group behind a
 *   sequence without prefix, padding tokens. Lengths at 1 and on both sides of the panel 8, the block 32 and the tile 64.
 * - Heads 4/2, 6/2, 1/1, 3/1, 5/5; head_dim 4, 8, 12, 16, 20, 32, 64, 128.
 * - Hostile values: equal keys, one key far above the others, a late maximum (every tile moves the running maximum).
 * - Every variant on the cases whose heads it takes; those for narrow heads give the same bits as the kernel for wide ones.
 * - Backward of the oracle equals finite differences of its forward on a small group with a shared prefix.
 * - The table is consistent (what queries see = who sees keys), and a shared prefix gives what the unshared copies give.
 */
import { type HostBuffers, launchRef, type Params, pickVariant } from '@eagrl/kernels';
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { attention } from './attention.ts';

/** A prefix of `prefix` tokens (0: none) and the completions behind it. */
type Group = { prefix: number; children: number[] };

const plain = (...lengths: number[]): Group[] => lengths.map((n) => ({ prefix: 0, children: [n] }));

function segTable(groups: Group[]): Uint32Array<ArrayBuffer> {
  const seg: number[] = [];
  let at = 0;
  for (const { prefix, children } of groups) {
    const start = at;
    const end = start + prefix + children.reduce((s, n) => s + n, 0);
    for (; at < start + prefix; at++) seg.push(0, 0, start, end);
    for (const n of children) {
      const own = at;
      for (; at < own + n; at++) seg.push(...(prefix ? [start, start + prefix] : [0, 0]), own, own + n);
    }
  }
  return Uint32Array.from(seg);
}

interface Layout {
  name: string;
  groups: Group[];
  heads?: [number, number];
  head_dim?: number;
}

const three: Group[] = [{ prefix: 21, children: [9, 1, 40] }];
const layouts: Layout[] = [
  ...[1, 7, 8, 9, 31, 32, 33, 65].map((n) => ({ name: `causal ${n}`, groups: plain(n), heads: [2, 1] as [number, number], head_dim: 8 })),
  { name: 'causal 131', groups: plain(131), heads: [1, 1], head_dim: 64 },
  { name: 'two packed', groups: plain(45, 38), heads: [6, 2], head_dim: 16 },
  { name: 'many short', groups: plain(3, 1, 5, 2, 30, 4), heads: [3, 1], head_dim: 12 },
  { name: 'prefix and three children', groups: three, heads: [4, 2], head_dim: 16 },
  { name: 'prefix 70 and children 66 5 80', groups: [{ prefix: 70, children: [66, 5, 80] }], heads: [4, 2], head_dim: 20 },
  {
    name: 'sequence then groups then padding',
    groups: [...plain(11), ...three, { prefix: 3, children: [2, 2] }, ...plain(1, 1, 1)],
    heads: [5, 5],
    head_dim: 4,
  },
  { name: 'sequence, then a group in the same block', groups: [...plain(2), { prefix: 3, children: [1, 2] }], heads: [4, 2], head_dim: 8 },
  { name: 'head of 32', groups: [...plain(11), { prefix: 35, children: [20, 17, 40] }], heads: [3, 1], head_dim: 32 },
  { name: 'head of 64', groups: [...plain(7), { prefix: 21, children: [30, 1, 12] }, ...plain(1)], heads: [4, 2], head_dim: 64 },
  { name: 'widest head', groups: [{ prefix: 5, children: [20, 17] }], heads: [2, 1], head_dim: 128 },
];

function paramsOf({ groups, heads = [4, 2], head_dim = 16 }: Layout): Params {
  return {
    tokens: segTable(groups).length / 4,
    heads: heads[0],
    kv_heads: heads[1],
    head_dim,
    scale: Math.fround(1 / Math.sqrt(head_dim)),
  };
}

const tensors = (r: Random, p: Params, groups: Group[]) => ({
  q: r.normals(p.tokens * p.heads * p.head_dim, 2),
  k: r.normals(p.tokens * p.kv_heads * p.head_dim),
  v: r.normals(p.tokens * p.kv_heads * p.head_dim),
  seg: segTable(groups),
});

/** Inputs of the backward entries, o and stats from the oracle. */
function backwardInputs(r: Random, p: Params, groups: Group[]) {
  const x = tensors(r, p, groups);
  const dO = r.normals(x.q.length);
  const fwd = launchRef(attention, 'attention_fwd', x, p);
  const o = Float32Array.from(fwd.o);
  const { stats } = launchRef(attention, 'attention_bwd_delta', { stats: Float32Array.from(fwd.stats), do: dO, o }, p);
  return { ...x, do: dO, o, stats: Float32Array.from(stats) };
}

const titleOf = (l: Layout, p: Params) => `${l.name} heads=${p.heads}/${p.kv_heads} head_dim=${p.head_dim}`;
const cases = (inputs: (r: Random, p: Params, groups: Group[]) => HostBuffers, tolerance: KernelCase['tolerance']) =>
  layouts.map((layout): KernelCase => {
    const params = paramsOf(layout);
    return { title: titleOf(layout, params), params, tolerance, inputs: (r, p) => inputs(r, p, layout.groups) };
  });

const forward = cases(tensors, TOLERANCE.reduction);
testKernel(attention, 'attention_fwd', forward);

const hostile = { tokens: 150, heads: 2, kv_heads: 1, head_dim: 8, scale: 1 };
const spread = (key: (j: number) => number) => (r: Random) => ({
  ...tensors(r, hostile, plain(150)),
  q: new Float32Array(150 * 16).fill(1),
  k: Float32Array.from({ length: 150 * 8 }, (_, e) => key(Math.floor(e / 8))),
});
const extremes: KernelCase[] = [
  { title: 'equal keys', params: hostile, tolerance: TOLERANCE.reduction, inputs: spread(() => 0.5) },
  { title: 'one key far above', params: hostile, tolerance: TOLERANCE.reduction, inputs: spread((j) => (j === 70 ? 30 : -30)) },
  { title: 'rising scores', params: hostile, tolerance: TOLERANCE.reduction, inputs: spread((j) => j / 8) },
  { title: 'falling scores', params: hostile, tolerance: TOLERANCE.reduction, inputs: spread((j) => -j) },
];
testKernel(attention, 'attention_fwd', extremes);

const delta = cases((r, p) => {
  const n = p.tokens * p.heads;
  return { stats: r.normals(2 * n), do: r.normals(n * p.head_dim), o: r.normals(n * p.head_dim) };
}, TOLERANCE.reduction);
testKernel(attention, 'attention_bwd_delta', delta);
for (const { name } of attention.entries.attention_bwd_delta.variants) testVariant(attention, 'attention_bwd_delta', name, delta);
const backward = cases(backwardInputs, TOLERANCE.chained);
testKernel(attention, 'attention_bwd_dq', backward);
testKernel(attention, 'attention_bwd_dkdv', backward);

for (const { name } of attention.entries.attention_fwd.variants) testVariant(attention, 'attention_fwd', name, [...forward, ...extremes]);
for (const entry of ['attention_bwd_dq', 'attention_bwd_dkdv'] as const) {
  for (const { name } of attention.entries[entry].variants) testVariant(attention, entry, name, backward);
}

test.each([
  [32_768, ''],
  [49_152, '_whole'],
])('attention: what a GPU with %i bytes of workgroup memory takes', (workgroupBytes, whole) => {
  const gpu = { features: new Set<string>(), software: false, workgroupBytes, storageBuffers: 16 };
  const picked = (name: keyof typeof attention.entries, tokens: number, head_dim: number) =>
    pickVariant(attention.entries[name], { tokens, heads: 4, kv_heads: 2, head_dim, scale: 1 }, gpu);
  for (const tokens of [512, 1024, 4096]) {
    for (const head_dim of [32, 64, 128]) {
      const kind = `tiled_${head_dim}`;
      expect(picked('attention_fwd', tokens, head_dim)).toBe(kind);
      expect(picked('attention_bwd_dq', tokens, head_dim)).toBe(tokens < 4096 ? `${kind}_parts_4` : kind);
      const slices = tokens < 1024 ? 4 : 1;
      expect(picked('attention_bwd_dkdv', tokens, head_dim)).toBe(`${kind}${head_dim === 64 ? whole : ''}_parts_${slices}`);
    }
    expect(picked('attention_bwd_delta', tokens, 64)).toBe('lanes');
  }
  expect(picked('attention_fwd', 512, 36)).toBe('tiled_64');
});

/** All gradients of L = sum do o by the oracle. */
function gradients(x: Record<string, Float64Array>, p: Params): Record<'dq' | 'dk' | 'dv', Float64Array> {
  const b: Record<string, Float64Array> = {
    ...x,
    o: new Float64Array(x.q.length),
    stats: new Float64Array(2 * p.tokens * p.heads),
    dq: new Float64Array(x.q.length),
    dk: new Float64Array(x.k.length),
    dv: new Float64Array(x.v.length),
  };
  for (const entry of ['attention_fwd', 'attention_bwd_delta', 'attention_bwd_dq', 'attention_bwd_dkdv'] as const)
    attention.ref[entry](b, p as never);
  return b as never;
}
const wide = (x: Record<string, ArrayLike<number>>) =>
  Object.fromEntries(Object.entries(x).map(([name, a]) => [name, Float64Array.from(a)]));

test('attention backward ref equals finite differences of attention_fwd ref, shared prefix', () => {
  const groups = [{ prefix: 3, children: [2, 4] }];
  const p = { tokens: 9, heads: 2, kv_heads: 1, head_dim: 4, scale: 0.5 };
  const r = new Random('attention fd');
  const x = wide({ ...tensors(r, p, groups), do: r.normals(9 * 8) });
  const loss = (changed: Record<string, Float64Array>) => {
    const o = new Float64Array(9 * 8);
    attention.ref.attention_fwd({ ...x, ...changed, o, stats: new Float64Array(36) }, p);
    return o.reduce((s, v, i) => s + v * x.do[i], 0);
  };
  const got = gradients(x, p);
  const h = 1e-5;
  for (const name of ['q', 'k', 'v'] as const) {
    const fd = x[name].map((_, i) => {
      const at = (d: number) => loss({ [name]: x[name].map((v, j) => (j === i ? v + d : v)) });
      return (at(h) - at(-h)) / (2 * h);
    });
    assertClose(got[`d${name}`], fd, { ...TOLERANCE.finiteDifference, label: `d${name}` });
  }
});

test('seg: the keys that queries see are the queries that see keys', () => {
  for (const { name, groups } of layouts) {
    const seg = segTable(groups);
    const tokens = seg.length / 4;
    const differ: string[] = [];
    for (let i = 0; i < tokens; i++) {
      for (let j = 0; j < tokens; j++) {
        const byQuery = (j >= seg[4 * i] && j < seg[4 * i + 1]) || (j >= seg[4 * i + 2] && j <= i);
        if (byQuery !== (j <= i && i < seg[4 * j + 3])) differ.push(`query ${i}, key ${j}`);
      }
    }
    expect(differ, name).toEqual([]);
  }
});

test('attention ref: a shared prefix gives the outputs and gradients of unshared copies', () => {
  const [prefix, children] = [4, [3, 1, 5]];
  const r = new Random('attention shared');
  const shape = { heads: 4, kv_heads: 2, head_dim: 4, scale: 0.5 };
  const shared = { ...shape, tokens: 13 };
  const x = wide({ ...tensors(r, shared, [{ prefix, children }]), do: r.normals(13 * 16) });
  // The prefix belongs to every copy: its own outputs must not count three times.
  x.do.fill(0, 0, prefix * 16);
  /** Rows of the shared layout that make up the copies, one behind the other. */
  const rows = children.flatMap((n, c) => {
    const at = prefix + children.slice(0, c).reduce((s, m) => s + m, 0);
    return [...Array(prefix).keys(), ...Array.from({ length: n }, (_, i) => at + i)];
  });
  const unshared = { ...shape, tokens: rows.length };
  const spreadOut = (a: Float64Array, width: number) =>
    Float64Array.from(rows.flatMap((row) => [...a.subarray(row * width, (row + 1) * width)]));
  const copies = {
    q: spreadOut(x.q, 16),
    k: spreadOut(x.k, 8),
    v: spreadOut(x.v, 8),
    do: spreadOut(x.do, 16),
    seg: Float64Array.from(segTable(plain(...children.map((n) => prefix + n)))),
  };
  const want = gradients(copies, unshared) as Record<string, Float64Array>;
  const got = gradients(x, shared) as Record<string, Float64Array>;
  assertClose(spreadOut(got.o, 16), want.o, { rel: 1e-12, abs: 1e-12, label: 'o' });
  for (const [name, width] of [
    ['dq', 16],
    ['dk', 8],
    ['dv', 8],
  ] as const) {
    const sum = new Float64Array(13 * width);
    rows.forEach((row, n) => {
      for (let e = 0; e < width; e++) sum[row * width + e] += want[name][n * width + e];
    });
    assertClose(got[name], sum, { rel: 1e-11, abs: 1e-12, label: name });
  }
});

test('attention refuses a head_dim that its threads cannot hold', () => {
  expect(() => attention.entries.attention_fwd.size({ tokens: 1, heads: 1, kv_heads: 1, head_dim: 6 })).toThrow(/multiple of 4/);
  expect(() => attention.entries.attention_fwd.size({ tokens: 1, heads: 1, kv_heads: 1, head_dim: 132 })).toThrow(/up to 128/);
  expect(() => attention.entries.attention_fwd.size({ tokens: 1, heads: 3, kv_heads: 2, head_dim: 8 })).toThrow(/multiple of kv_heads/);
});
