/**
 * Plan. Forward and backward against the oracle on every backend: dim around 4, 16 and the workgroup 64; one token, many; ids repeated,
 * all the same, at and beyond vocab (zeros forward, skipped backward). dweight starts from given values, and rows that no token names
 * stay as they were. The backward against finite differences of the oracle's forward.
 */
import type { HostBuffers } from '@eagrl/kernels';
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { embedding } from './embedding.ts';

/** Tokens grouped by id, in token order inside a group. */
function grouped(ids: Uint32Array) {
  const unique = [...new Set(ids)].sort((a, b) => a - b);
  const groups = unique.map((id) => Array.from(ids.keys()).filter((t) => ids[t] === id));
  const starts = [0];
  for (const [u, group] of groups.entries()) starts.push(starts[u] + group.length);
  return { order: Uint32Array.from(groups.flat()), unique_ids: Uint32Array.from(unique), row_start: Uint32Array.from(starts) };
}

const VOCAB = 11;
const IDS: Record<string, Uint32Array<ArrayBuffer>> = {
  'one token': Uint32Array.of(VOCAB - 1),
  'all the same id': new Uint32Array(40).fill(3),
  'each id once': Uint32Array.from({ length: VOCAB }, (_, i) => VOCAB - 1 - i),
  'repeated ids': new Random('ids').ints(67, VOCAB),
  'ids at and beyond vocab': Uint32Array.of(2, VOCAB, 5, 0xffffffff, 2),
};
const DIMS = [1, 3, 4, 5, 15, 16, 17, 63, 64, 65];
const SHAPES = [...DIMS.map((dim) => ['repeated ids', dim] as const), ...Object.keys(IDS).map((name) => [name, 20] as const)];

const forward: KernelCase[] = SHAPES.map(([name, dim]) => ({
  title: `${name} dim=${dim}`,
  params: { tokens: IDS[name].length, dim, vocab: VOCAB },
  inputs: (r: Random): HostBuffers => ({ weight: r.normals(VOCAB * dim), ids: IDS[name] }),
  tolerance: { rel: 0, abs: 0 },
}));
testKernel(embedding, 'embedding_fwd', forward);
testVariant(embedding, 'embedding_fwd', 'vec4', forward);

const backward: KernelCase[] = SHAPES.map(([name, dim]) => {
  const groups = grouped(IDS[name]);
  return {
    title: `${name} dim=${dim}`,
    params: { num_unique: groups.unique_ids.length, dim, tokens: IDS[name].length, vocab: VOCAB },
    inputs: (r: Random): HostBuffers => ({ ...groups, dweight: r.normals(VOCAB * dim), dy: r.normals(IDS[name].length * dim) }),
    tolerance: TOLERANCE.reduction,
  };
});
testKernel(embedding, 'embedding_bwd', backward);
testVariant(embedding, 'embedding_bwd', 'vec4', backward);

test('embedding_bwd ref equals finite differences of embedding_fwd ref', () => {
  const r = new Random('embedding fd');
  const ids = Uint32Array.of(2, 0, 2, 1, 9);
  const [tokens, dim, vocab] = [ids.length, 3, 4];
  const weight = Float64Array.from(r.normals(vocab * dim));
  const dy = Float64Array.from(r.normals(tokens * dim));
  const loss = (at: number, d: number) => {
    const y = new Float64Array(tokens * dim);
    embedding.ref.embedding_fwd({ y, weight: weight.map((v, i) => (i === at ? v + d : v)), ids }, { tokens, dim, vocab });
    return y.reduce((s, v, i) => s + v * dy[i], 0);
  };
  const groups = grouped(ids);
  const dweight = new Float64Array(vocab * dim);
  embedding.ref.embedding_bwd({ dweight, dy, ...groups }, { num_unique: groups.unique_ids.length, dim, vocab });
  const h = 1e-5;
  assertClose(
    dweight,
    weight.map((_, i) => (loss(i, h) - loss(i, -h)) / (2 * h)),
    TOLERANCE.finiteDifference,
  );
});
