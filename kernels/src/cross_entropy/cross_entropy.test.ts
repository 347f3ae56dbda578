/**
 * Plan. Both entries against the oracle on every backend; rows x vocab on both sides of the SIMD width 4, of the workgroup size
 * 256 and of the wasm summation block 2048. Hostile values: ties, one outlier (on the target and off it), masked logits, a huge
 * offset; rows of weight 0, whose logits are NaN and whose target is out of range, give exactly 0.
 * Gradient against finite differences of the oracle's forward.
 */
import { assertClose, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { test } from 'vitest';
import { crossEntropy } from './cross_entropy.ts';

const shapes = [
  [4, 512],
  [1, 1],
  [3, 3],
  [2, 255],
  [2, 256],
  [2, 257],
  [5, 123],
  [35, 40],
  [2, 2051],
  [1, 5003],
  ...[100, 516, 1412, 8192].map((vocab) => [3, vocab]), // one and two blocks of a thread that holds its part, a part past the end
  [1, 8195], // two turns of 256 threads
];
const VARIANTS: Record<string, readonly string[]> = {
  cross_entropy: ['thread_per_row', 'thread_per_row_wide', 'held_32', 'held_64', 'held_128', 'held_256', 'strips_64', 'strips_256'],
  cross_entropy_fwd: ['thread_per_row', 'thread_per_row_wide', 'strips_64', 'strips_256'],
};

const cases = [
  ...shapes.map(([rows, vocab]) => ({
    title: `rows=${rows} vocab=${vocab}`,
    params: { rows, vocab },
    inputs: (r: Random) => ({ logits: r.normals(rows * vocab, 3), targets: r.ints(rows, vocab), weights: r.normals(rows) }),
    tolerance: TOLERANCE.reduction,
  })),
  ...[70, 80].map((vocab) => ({
    title: `ties, outlier on and off the target, masked, offset, vocab=${vocab}`,
    params: { rows: 5, vocab },
    inputs: () => ({
      logits: Float32Array.from({ length: 5 * vocab }, (_, at) => {
        const [i, c] = [Math.floor(at / vocab), at % vocab];
        return [-1e30, c === 11 ? 80 : -c, c === 12 ? 80 : -c, c % 2 ? -3.4e38 : c / 7, 1000 + (c % 8)][i];
      }),
      targets: Uint32Array.of(0, 11, 11, 4, 69),
      weights: Float32Array.of(1, 1, 1, 0.25, 2),
    }),
    tolerance: TOLERANCE.reduction,
  })),
  ...[9, 32].map((vocab) => ({
    title: `weight 0 with NaN logits, vocab=${vocab}`,
    params: { rows: 2, vocab },
    inputs: () => ({
      logits: Float32Array.from({ length: 2 * vocab }, (_, at) => (at < vocab ? Number.NaN : at)),
      targets: Uint32Array.of(0xffffffff, 2),
      weights: Float32Array.of(0, 1),
    }),
    tolerance: TOLERANCE.reduction,
  })),
];

for (const entry of ['cross_entropy', 'cross_entropy_fwd']) {
  testKernel(crossEntropy, entry, cases);
  for (const variant of VARIANTS[entry]) testVariant(crossEntropy, entry, variant, cases);
}

test('cross_entropy ref gradient equals finite differences of cross_entropy_fwd ref', () => {
  const r = new Random('cross_entropy fd');
  const params = { rows: 3, vocab: 5 };
  const logits = Float64Array.from(r.normals(15));
  const rest = { targets: Float64Array.of(0, 3, 4), weights: Float64Array.of(0.7, 0, -1.3) };
  const total = (v: Float64Array) => {
    const losses = new Float64Array(3);
    crossEntropy.ref.cross_entropy_fwd({ losses, logits: v, ...rest }, params);
    return losses[0] + losses[1] + losses[2];
  };
  const dlogits = logits.slice();
  crossEntropy.ref.cross_entropy({ losses: new Float64Array(3), logits: dlogits, ...rest }, params);
  const h = 1e-5;
  const fd = logits.map((_, i) => {
    const at = (d: number) => total(logits.map((v, j) => (j === i ? v + d : v)));
    return (at(h) - at(-h)) / (2 * h);
  });
  assertClose(dlogits, fd, TOLERANCE.finiteDifference);
});
