/**
 * Plan. Against the oracle on every backend; vocab on both sides of the SIMD width 4, of the workgroup size and wasm run of 256;
 * each filter alone and together. A token is decided by comparisons, so that rounding may move it where u or top_p lies on a
 * boundary of the cumulative distribution: cases are drawn at least MARGIN away from every boundary, in f64.
 * Hostile: ties at the k-th place, ties of the maximum (greedy takes the lowest index), all equal, masked logits, one certain
 * token, top_k above vocab, top_p 0, inactive rows. Frequencies of 20,000 draws by chi-square; a draw does not depend on its place
 * in the batch.
 * repetition_penalty: vocab on both sides of a word of 32 bits and of the workgroup; positive, negative and zero logits; a fed id that
 * was seen before, one that was not, ids beyond the vocabulary (idle rows); nothing seen; bits beyond the vocabulary.
 */
import { launchWasm } from '@eagrl/kernels';
import { type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { threefry2x32, uniform01 } from '../common/threefry.ref.ts';
import { kept } from './sampling.ref.ts';
import { sampling } from './sampling.ts';

/** Ten times the error of a cumulative sum of some thousand shares in f32. */
const MARGIN = 1e-5;

interface Filter {
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
}
const off = { temperature: 1, top_k: 0, top_p: 1, min_p: 0 };

const clear = (values: Iterable<number>, at: number): boolean => {
  let cumulative = 0;
  for (const v of values) if (Math.abs((cumulative += v) - at) < MARGIN && v > 0) return false;
  return true;
};

/** State of a row whose draw falls clear of every boundary of the row's distribution; throws when top_p or min_p itself does not. */
function clearState(r: Random, logits: Float32Array, filter: Filter): [number, number, number, number] {
  const wide = Float64Array.from(logits);
  const shares = filter.temperature > 0 ? kept(wide, filter) : new Float64Array(0);
  if (filter.temperature > 0 && filter.top_p > 0 && filter.top_p < 1) {
    const before = kept(wide, { ...filter, top_p: 1 });
    const descending = Array.from(before.keys()).sort((a, b) => wide[b] - wide[a]);
    if (
      !clear(
        descending.map((c) => before[c]),
        filter.top_p,
      )
    )
      throw new Error('top_p lies on a boundary: give the case another title');
  }
  const largest = Math.max(0, ...shares);
  if (
    filter.min_p > 0 &&
    filter.min_p < 1 &&
    kept(wide, { ...filter, min_p: 0 }).some((v) => Math.abs(v / largest / filter.min_p - 1) < MARGIN)
  )
    throw new Error('min_p lies on a boundary: give the case another title');
  for (;;) {
    const state: [number, number, number, number] = [r.int(2 ** 32), r.int(2 ** 32), r.int(2 ** 32), 1];
    const u = uniform01(threefry2x32(state[0], state[1], state[2], 0)[0]);
    if (u > MARGIN && u < 1 - MARGIN && clear(shares.subarray(0, -1), u)) return state;
  }
}

/** Rows of `logits` with a clear state each; `idle` rows are inactive. */
function rowsOf(r: Random, logits: Float32Array<ArrayBuffer>, vocab: number, filter: Filter, idle: readonly number[] = []) {
  const rows = logits.length / vocab;
  const state = new Uint32Array(rows * 4);
  for (let i = 0; i < rows; i++) {
    state.set(clearState(r, logits.subarray(i * vocab, (i + 1) * vocab), filter), i * 4);
    if (idle.includes(i)) state[i * 4 + 3] = 0;
  }
  return { logits, state };
}

const filters: Record<string, Filter> = {
  plain: off,
  'temperature=0.7': { ...off, temperature: 0.7 },
  'temperature=1.2 top_p=0.8': { ...off, temperature: 1.2, top_p: 0.8 },
  'top_k=5': { ...off, top_k: 5 },
  'top_k=40 top_p=0.9': { ...off, top_k: 40, top_p: 0.9 },
  'temperature=1.5 min_p=0.1': { ...off, temperature: 1.5, min_p: 0.1 },
  greedy: { ...off, temperature: 0 },
};

const draws: KernelCase[] = [
  ...[
    [1, 1],
    [3, 3],
    [4, 64],
    [3, 255],
    [3, 256],
    [3, 257],
    [2, 2051],
    [1, 8195], // three deals of 256 threads
  ].flatMap(([rows, vocab]) =>
    Object.entries(filters).map(([title, filter]) => ({
      title: `rows=${rows} vocab=${vocab} ${title}`,
      params: { rows, vocab, ...filter },
      inputs: (r: Random) => rowsOf(r, r.normals(rows * vocab, 2), vocab, filter, [2]),
      tolerance: TOLERANCE.reduction,
    })),
  ),
  ...Object.entries({
    'ties at the k-th place': [{ ...off, top_k: 2 }, [1, 3, 2, 2, 0, 2, -0.5]],
    'ties at the edge of top_p': [{ ...off, top_p: 0.5 }, [1, 1, 1, 1, 0, 0, 0]],
    'ties of the maximum, greedy': [{ ...off, temperature: 0 }, [0, 2, 1, 2, 2]],
    'all equal': [off, new Array(300).fill(-7)],
    'zeros of both signs': [{ ...off, top_k: 1 }, [-0, 0, -1, -0]],
    masked: [{ ...off, temperature: 0.5 }, Array.from({ length: 70 }, (_, i) => (i % 3 ? -3.4e38 : i / 20))],
    'one certain token': [off, Array.from({ length: 70 }, (_, i) => (i === 33 ? 200 : 0))],
    'top_k above vocab': [{ ...off, top_k: 100 }, [0.5, 0, 1]],
    'top_k=1': [{ ...off, top_k: 1 }, [0.5, 0, 1, -1, 0.9]],
    'top_p=0 keeps the largest': [{ ...off, top_p: 0 }, [0.5, 0, 1, -1, 0.9]],
    'top_k=5 top_p=0.95 min_p=0.05': [{ ...off, top_k: 5, top_p: 0.95, min_p: 0.05 }, [2, -1, 1.5, 0.7, -0.3, 1.1, -2, 0.2, 0.9]],
    'min_p=1 keeps the largest and its ties': [{ ...off, min_p: 1 }, [0.5, 0.9, 1e-30, -1, 0.9]],
    'min_p below every share': [{ ...off, min_p: 1e-30 }, [0.5, 0, 1, -1, -60]],
    'min_p of masked logits': [{ ...off, min_p: 0.2 }, Array.from({ length: 70 }, (_, i) => (i % 3 ? -3.4e38 : i / 20))],
    'ties that no thread can gather': [{ ...off, top_k: 5 }, new Array(5000).fill(-7)],
    'a long row, masked': [{ ...off, top_k: 50, top_p: 0.83 }, Array.from({ length: 5000 }, (_, i) => (i % 3 ? -3.4e38 : 4 * Math.sin(i)))],
    'a long row of ties, top_p': [{ ...off, top_p: 0.7 }, Array.from({ length: 5000 }, (_, i) => (i * 7) % 11)],
    'negative logits': [{ ...off, top_k: 3, top_p: 0.7 }, [-5, -4, -6, -4.5, -3, -9]],
  } as Record<string, [Filter, number[]]>).map(([title, [filter, row]]) => ({
    title,
    params: { rows: 4, vocab: row.length, ...filter },
    inputs: (r: Random) => rowsOf(r, Float32Array.from([...row, ...row, ...row, ...row]), row.length, filter),
    tolerance: TOLERANCE.reduction,
  })),
];
testKernel(sampling, 'sample', draws);
for (const variant of ['narrow', 'strips_128', 'strips_256']) testVariant(sampling, 'sample', variant, draws);

for (const [title, filter, left, below] of [
  // 99.9 % points of chi-square with 7, 4 and 3 degrees of freedom.
  ['plain', off, 8, 24.32],
  ['temperature=1.5 top_k=6 top_p=0.8', { ...off, temperature: 1.5, top_k: 6, top_p: 0.8 }, 5, 18.47],
  // Above 0.35 of the largest share: 1.2, 1, 0.7 and 0.3 are e^-0.2, e^-0.5 and e^-0.9 = 0.41 of it, 0 is e^-1.2 = 0.30.
  ['min_p=0.35', { ...off, min_p: 0.35 }, 4, 16.27],
] as const) {
  test(`20,000 draws have the frequencies of the distribution, ${title}`, () => {
    const [rows, vocab] = [20_000, 8];
    const row = Float32Array.of(0.3, -1, 1.2, 0, 0.7, -0.4, -2, 1);
    const logits = Float32Array.from({ length: rows * vocab }, (_, i) => row[i % vocab]);
    const state = Uint32Array.from({ length: rows * 4 }, (_, i) => [42, 7, i >> 2, 1][i & 3]);
    const { tokens } = launchWasm(sampling, 'sample', { logits, state }, { rows, vocab, ...filter });
    const shares = kept(Float64Array.from(row), filter);
    const counts = new Array(vocab).fill(0);
    for (const t of tokens) counts[t]++;
    let chi2 = 0;
    shares.forEach((share, c) => {
      if (share === 0) expect(counts[c]).toBe(0);
      else chi2 += (counts[c] - rows * share) ** 2 / (rows * share);
    });
    expect(shares.filter((v) => v > 0).length).toBe(left);
    expect(chi2).toBeLessThan(below);
  });
}

test('a draw depends on its row and state alone, not on its place in the batch', () => {
  const vocab = 50;
  const r = new Random('place');
  const row = r.normals(vocab);
  const at = (rows: number, i: number) => {
    const logits = r.normals(rows * vocab);
    logits.set(row, i * vocab);
    const state = r.ints(rows * 4, 1000).map((v, k) => (k % 4 === 3 ? 1 : v));
    state.set([1, 2, 3, 1], i * 4);
    const out = launchWasm(sampling, 'sample', { logits, state }, { rows, vocab, temperature: 0.9, top_k: 20, top_p: 0.95, min_p: 0.01 });
    return [out.tokens[i], out.logprobs[i], out.entropy[i]];
  };
  const alone = at(1, 0);
  expect(at(9, 4)).toEqual(alone);
  expect(at(64, 63)).toEqual(alone);
});

/** Random seen sets of `share` of the vocabulary. */
function seenRows(r: Random, rows: number, vocab: number, share: number): Uint32Array<ArrayBuffer> {
  const words = Math.ceil(vocab / 32);
  const seen = new Uint32Array(rows * words);
  for (let row = 0; row < rows; row++) for (let c = 0; c < vocab; c++) if (r.next() < share) seen[row * words + (c >> 5)] |= 1 << (c & 31);
  return seen;
}

const penalties: KernelCase[] = [
  ...[
    [1, 1],
    [3, 31],
    [3, 32],
    [3, 33],
    [2, 256],
    [2, 257],
    [2, 600],
    [3, 2051],
  ].map(([rows, vocab]) => ({
    title: `rows=${rows} vocab=${vocab} penalty=1.3`,
    params: { rows, vocab, penalty: 1.3 },
    inputs: (r: Random) => ({ logits: r.normals(rows * vocab, 3), seen: seenRows(r, rows, vocab, 0.3), ids: r.ints(rows, vocab) }),
    tolerance: TOLERANCE.elementwise,
  })),
  {
    title: 'penalty below 1 favours what was seen',
    params: { rows: 2, vocab: 40, penalty: 0.5 },
    inputs: (r) => ({ logits: r.normals(80, 3), seen: seenRows(r, 2, 40, 0.5), ids: r.ints(2, 40) }),
    tolerance: TOLERANCE.elementwise,
  },
  {
    title: 'zeros, a fed id seen before, ids beyond the vocabulary, bits beyond it',
    params: { rows: 4, vocab: 5, penalty: 2 },
    inputs: () => ({
      logits: Float32Array.from({ length: 20 }, (_, i) => [2, -2, 0, -0, 1e-40][i % 5]),
      seen: Uint32Array.of(0b10, 0b11111, 0, 0xffffffe0),
      ids: Uint32Array.of(1, 7, 0xffffffff, 0),
    }),
    tolerance: TOLERANCE.elementwise,
  },
];
testKernel(sampling, 'repetition_penalty', penalties);
for (const variant of ['narrow', 'spread']) testVariant(sampling, 'repetition_penalty', variant, penalties);
