/**
 * Plan. Five entry points against the oracle on every backend; n at 1, both sides of the SIMD width 4, of the workgroup 256 and of the
 * work item 4096; values that cancel (a + -a), zeros, large beside small. In-place entries start from given values, and what lies
 * behind n stays as it was.
 */
import { type KernelCase, type Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { elementwise } from './elementwise.ts';

const SIZES = [1, 3, 4, 5, 255, 256, 257, 4095, 4096, 4097, 12_301];
/** Elements behind n. */
const TAIL = 9;
/** Large values stand at another index in each operand: two that nearly cancel have no digits left to compare. */
const hostile = (r: Random, n: number, which = 0) => r.normals(n).map((v, i) => (i % 3 === 0 ? 0 : i % 7 === which ? v * 1e20 : v));

const cases = (names: readonly string[], params: Record<string, number> = {}): KernelCase[] =>
  SIZES.map((n) => ({
    title: `n=${n}`,
    params: { n, ...params },
    inputs: (r) => Object.fromEntries(names.map((name, which) => [name, hostile(r, n + TAIL, which)])),
    tolerance: TOLERANCE.elementwise,
  }));

testKernel(elementwise, 'fill', [...cases(['y'], { value: -2.5 }), ...cases(['y'], { value: 0 })]);
testKernel(elementwise, 'add', [
  ...cases(['y', 'a', 'b']),
  {
    title: 'opposites cancel',
    params: { n: 259 },
    inputs: (r) => {
      const a = hostile(r, 259);
      return { a, b: a.map((v) => -v) };
    },
    tolerance: { rel: 0, abs: 0 },
  },
]);
testKernel(elementwise, 'add_inplace', cases(['y', 'x']));
testKernel(elementwise, 'scale_inplace', cases(['y'], { s: -0.3 }));
testKernel(elementwise, 'scaled_add_inplace', cases(['y', 'x'], { s: -0.3 }));
