/**
 * Plan. Three entry points against the oracle on every backend; columns at 1 and on both sides of the SIMD width 4, of dweight's 16
 * and of the workgroup 64; rows on both sides of dweight's 16 lanes. Hostile values: a row of zeros (rstd = 1/sqrt(eps)), one outlier.
 * Rows that come from memory, not from cache, take another loop on WebAssembly (above 4 MiB): same bits as a few of them alone.
 * dx assigned and not read (NaN), or added to given values; dweight starts from given values. dx and dweight against finite differences of the oracle's forward.
 */
import { type HostBuffers, launchRef, launchWasm } from '@eagrl/kernels';
import { assertClose, type KernelCase, Random, TOLERANCE, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { rmsnorm } from './rmsnorm.ts';

const SHAPES = [
  [6, 128],
  ...[1, 3, 4, 5, 15, 16, 17, 63, 64, 65, 259].map((cols) => [3, cols]),
  ...[1, 15, 16, 17, 100].map((rows) => [rows, 37]),
  ...[100, 516, 1412, 8192].map((cols) => [3, cols]), // one and two blocks of a thread that holds its part, a part past the end
  ...[1, 31, 33, 130].map((rows) => [rows, 36]), // rows that share a workgroup; those of dweight's lanes
];
const HELD = ['held_32', 'held_64', 'held_128', 'held_256'];
const eps = 1e-6;

function hostile(r: Random, rows: number, cols: number): Float32Array<ArrayBuffer> {
  const x = r.normals(rows * cols, 2);
  x.fill(0, 0, cols);
  x[x.length - 1] = 1e4;
  return x;
}

/** x, weight and the rstd of the oracle, rounded to f32. */
function saved(r: Random, rows: number, cols: number, x = r.normals(rows * cols, 2)): HostBuffers {
  const weight = r.normals(cols);
  const { rstd } = launchRef(rmsnorm, 'rmsnorm_fwd', { x, weight }, { rows, cols, eps });
  return { x, weight, rstd: Float32Array.from(rstd), dy: r.normals(rows * cols) };
}

const forward: KernelCase[] = [
  ...SHAPES.map(([rows, cols]) => ({
    title: `rows=${rows} cols=${cols}`,
    params: { rows, cols, eps },
    inputs: (r: Random) => ({ x: r.normals(rows * cols, 2), weight: r.normals(cols) }),
    tolerance: TOLERANCE.transcendental,
  })),
  ...[70, 80].map((cols) => ({
    title: `a row of zeros, one outlier, cols=${cols}`,
    params: { rows: 3, cols, eps },
    inputs: (r: Random) => ({ x: hostile(r, 3, cols), weight: r.normals(cols) }),
    tolerance: TOLERANCE.transcendental,
  })),
];
testKernel(rmsnorm, 'rmsnorm_fwd', forward);

for (const [name, relaxed] of [
  ['wasm', false],
  ['wasm-relaxed', true],
] as const) {
  test(`rmsnorm_fwd ${name} 1030 rows of 1030 have the bits that each has beside few others`, () => {
    const [rows, cols] = [1030, 1030];
    const r = new Random('rmsnorm stream');
    const [x, weight] = [r.normals(rows * cols, 2), r.normals(cols)];
    const many = launchWasm(rmsnorm, 'rmsnorm_fwd', { x, weight }, { rows, cols, eps }, { relaxed });
    for (const first of [0, 341, 343, 684, 687, rows - 5]) {
      const few = launchWasm(
        rmsnorm,
        'rmsnorm_fwd',
        { x: x.slice(first * cols, (first + 5) * cols), weight },
        { rows: 5, cols, eps },
        { relaxed },
      );
      expect(many.y.subarray(first * cols, (first + 5) * cols), `rows from ${first}`).toEqual(few.y);
      expect(many.rstd.subarray(first, first + 5), `rows from ${first}`).toEqual(few.rstd);
    }
  });
}
for (const variant of ['thread_per_row', 'thread_per_row_wide', ...HELD]) testVariant(rmsnorm, 'rmsnorm_fwd', variant, forward);

interface DxParams {
  rows: number;
  cols: number;
  accumulate: number;
}

/** What `saved` gives and dx: numbers where it accumulates, else NaN, which must not be read. */
function savedAndDx(r: Random, { rows, cols, accumulate }: DxParams, x?: Float32Array<ArrayBuffer>): HostBuffers {
  const dx = accumulate ? r.normals(rows * cols) : new Float32Array(rows * cols).fill(Number.NaN);
  return { ...saved(r, rows, cols, x), dx };
}

/** One shape for each loop, tail and variant, where dx is added. */
const ADDED = [[6, 128], [17, 37], [33, 36], ...[1, 5, 64, 516, 1412, 8192].map((cols) => [3, cols])];

const backwardX: KernelCase[] = [
  ...SHAPES.map(([rows, cols]) => ({ rows, cols, accumulate: 0 })),
  ...ADDED.map(([rows, cols]) => ({ rows, cols, accumulate: 1 })),
].map((params) => ({
  title: `rows=${params.rows} cols=${params.cols}${params.accumulate ? ' accumulate' : ''}`,
  params,
  inputs: (r: Random) => savedAndDx(r, params),
  tolerance: TOLERANCE.reduction,
}));
for (const [cols, accumulate] of [
  [70, 0],
  [80, 0],
  [80, 1],
]) {
  const params = { rows: 3, cols, accumulate };
  backwardX.push({
    title: `a row of zeros, one outlier, cols=${cols}${accumulate ? ' accumulate' : ''}`,
    params,
    inputs: (r: Random) => savedAndDx(r, params, hostile(r, 3, cols)),
    tolerance: TOLERANCE.reduction,
  });
}
testKernel(rmsnorm, 'rmsnorm_bwd_dx', backwardX);
for (const variant of ['thread_per_row', 'thread_per_row_wide', ...HELD]) testVariant(rmsnorm, 'rmsnorm_bwd_dx', variant, backwardX);

const backwardWeight: KernelCase[] = [
  ...SHAPES.filter(([, cols]) => cols < 2000).map(([rows, cols]) => ({
    title: `rows=${rows} cols=${cols}`,
    params: { rows, cols },
    inputs: (r: Random) => ({ ...saved(r, rows, cols), dweight: r.normals(cols) }),
    tolerance: TOLERANCE.reduction,
  })),
  {
    title: 'a row of zeros, one outlier',
    params: { rows: 3, cols: 70 },
    inputs: (r) => ({ ...saved(r, 3, 70, hostile(r, 3, 70)), dweight: r.normals(70) }),
    tolerance: TOLERANCE.reduction,
  },
];
testKernel(rmsnorm, 'rmsnorm_bwd_dweight', backwardWeight);
for (const variant of ['thread_per_column', 'across']) testVariant(rmsnorm, 'rmsnorm_bwd_dweight', variant, backwardWeight);

test('rmsnorm refs: dx and dweight equal finite differences of the forward', () => {
  const r = new Random('rmsnorm fd');
  const [rows, cols] = [2, 5];
  const p = { rows, cols, eps: 0.1 };
  const [x, weight, dy] = [rows * cols, cols, rows * cols].map((n) => Float64Array.from(r.normals(n)));
  const rstd = new Float64Array(rows);
  const loss = (v: Float64Array, w: Float64Array) => {
    const y = new Float64Array(rows * cols);
    rmsnorm.ref.rmsnorm_fwd({ y, rstd, x: v, weight: w }, p);
    return y.reduce((s, o, i) => s + o * dy[i], 0);
  };
  const h = 1e-5;
  const nudge = (v: Float64Array, at: number, d: number) => v.map((e, i) => (i === at ? e + d : e));
  const wantX = x.map((_, i) => (loss(nudge(x, i, h), weight) - loss(nudge(x, i, -h), weight)) / (2 * h));
  const wantW = weight.map((_, i) => (loss(x, nudge(weight, i, h)) - loss(x, nudge(weight, i, -h))) / (2 * h));
  loss(x, weight); // leaves the rstd of x
  const dx = new Float64Array(rows * cols);
  rmsnorm.ref.rmsnorm_bwd_dx({ dx, dy, x, weight, rstd }, { ...p, accumulate: 0 });
  assertClose(dx, wantX, TOLERANCE.finiteDifference);
  const dweight = new Float64Array(cols);
  rmsnorm.ref.rmsnorm_bwd_dweight({ dweight, dy, x, rstd }, p);
  assertClose(dweight, wantW, TOLERANCE.finiteDifference);
});
