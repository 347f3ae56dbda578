/**
 * Plan. The three forms against the oracle on every backend. One axis at a time around a control: rows on both sides of the
 * workgroup's "few rows" (4), the in-place paths (3, 24) and the tiles (12, 32, 64); columns around 8, 32, 64, 128 and 256; depth around 4, 32 and 256,
 * and 0. alpha, bias, accumulate, and c left unread (NaN) when it does not accumulate. Epilogues with an auxiliary operand: after each of these,
 * after the last of several blocks of k, ragged, batched with gaps; bit for bit the separate kernels; unread (NaN) where there is none. Batches: apart, with gaps that stay
 * as they were, one operand shared. Hostile values: an outlier beside zeros; infinity, NaN, -0 and denormals, each in its own rows.
 * NN and TN are the gradients of NT: finite differences.
 * Each variant of each form, on WebGPU: ragged shapes around its tile, batches, epilogues, hostile values; ordered ones bit for bit
 * as the default, and beyond FEW rows those of NT all are, or bear no other beside them: rows alone equal rows among many. What the rules pick
 * can run, and on hardware it spreads the products of decoding over the device.
 */
import {
  applicable,
  DEFAULT_VARIANT,
  EPILOGUE,
  type HostBuffers,
  launchWebgpu,
  type Params,
  pickVariant,
  SUBGROUP_MATRIX,
  variantOf,
} from '@eagrl/kernels';
import {
  assertClose,
  type KernelCase,
  Random,
  sumTolerance,
  TOLERANCE,
  testDevice,
  testEpilogues,
  testKernel,
  testVariant,
  variantDevice,
} from '@eagrl/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { matmul } from './matmul.ts';
import { FEW } from './variants.ts';

const shape = (m: number, n: number, k: number, more: Params = {}) => ({
  ...{ m, n, k, batch: 1, stride_a: m * k, stride_b: k * n, stride_c: m * n, alpha: 1, accumulate: 0, has_bias: 0, epilogue: 0 },
  ...more,
});

function buffers(r: Random, p: Params): HostBuffers {
  const need = matmul.entries.matmul_nn.size(p);
  const c = p.accumulate ? r.normals(need.c) : new Float32Array(need.c).fill(Number.NaN);
  const made = { c, a: r.normals(need.a), b: r.normals(need.b), bias: r.normals(Math.max(need.bias, 1)) };
  return { ...made, aux: p.epilogue ? r.normals(need.aux, 2) : Float32Array.of(Number.NaN) };
}

function outlier(r: Random, p: Params): HostBuffers {
  const made = buffers(r, p);
  made.a.fill(0);
  made.a[0] = 1e4;
  made.b[1] = -1e4;
  return made;
}

/** NN, NT: infinity in the first row of a, NaN in the last (TN: in parts of all rows), -0 and denormals between. b is positive. */
function hostile(r: Random, p: Params): HostBuffers {
  const made = buffers(r, p);
  for (let i = 0; i < made.b.length; i++) made.b[i] = Math.abs(made.b[i]);
  made.a[0] = Number.POSITIVE_INFINITY;
  made.a[1] = -0;
  for (let i = 2; i < p.k; i++) made.a[p.k + i] = 1e-40;
  made.a[made.a.length - 1] = Number.NaN;
  if (p.epilogue) made.aux.set([0, -0, 20, -20, 89, -89, 200, -200, 1e-20, 1e4, -1e4, Number.POSITIVE_INFINITY, Number.NaN], p.n);
  return made;
}

const EPILOGUES = Object.entries(EPILOGUE).filter(([, epilogue]) => epilogue);
/** SwiGLU multiplies a sum and its error by up to |aux|, and goes through exp. */
const toleranceOf = ({ epilogue, k }: Params) => (epilogue === EPILOGUE.swiglu ? TOLERANCE.chained : sumTolerance(k));

const SHAPES = [
  [33, 40, 37],
  [1, 1, 1],
  ...[1, 2, 3, 4, 5, 23, 24, 25, 31, 32, 64, 65].map((m) => [m, 40, 37]),
  ...[1, 3, 4, 7, 8, 9, 31, 32, 63, 64, 65, 128, 129, 257].map((n) => [33, n, 37]),
  ...[0, 1, 3, 4, 5, 31, 32, 33, 255, 256, 257, 515].map((k) => [33, 40, k]),
  [3, 35, 259],
];

const reduced = (title: string, params: Params, inputs = buffers): KernelCase => ({
  title,
  params,
  inputs,
  tolerance: toleranceOf(params),
});
const all = { alpha: 0.5, has_bias: 1, accumulate: 1 };

const cases: KernelCase[] = [
  ...SHAPES.map(([m, n, k]) => ({
    title: `m=${m} n=${n} k=${k}`,
    params: shape(m, n, k),
    inputs: buffers,
    tolerance: sumTolerance(k),
  })),
  ...[2, 30].flatMap((m) => [
    { title: `alpha m=${m}`, params: shape(m, 41, 300, { alpha: -0.125 }), inputs: buffers, tolerance: TOLERANCE.reduction },
    { title: `bias m=${m}`, params: shape(m, 41, 300, { has_bias: 1 }), inputs: buffers, tolerance: TOLERANCE.reduction },
    { title: `accumulate m=${m}`, params: shape(m, 41, 300, { accumulate: 1 }), inputs: buffers, tolerance: TOLERANCE.reduction },
    {
      title: `alpha, bias, accumulate m=${m}`,
      params: shape(m, 41, 300, { alpha: 0.5, has_bias: 1, accumulate: 1 }),
      inputs: buffers,
      tolerance: TOLERANCE.reduction,
    },
    { title: `batch of 3 m=${m}`, params: shape(m, 41, 30, { batch: 3 }), inputs: buffers, tolerance: TOLERANCE.reduction },
    {
      title: `batch of 2 with gaps m=${m}`,
      params: shape(m, 41, 30, { batch: 2, stride_a: 1000, stride_b: 1300, stride_c: 1300 }),
      inputs: buffers,
      tolerance: TOLERANCE.reduction,
    },
    {
      title: `batch of 3, b shared m=${m}`,
      params: shape(m, 41, 30, { batch: 3, stride_b: 0 }),
      inputs: buffers,
      tolerance: TOLERANCE.reduction,
    },
    {
      title: `batch of 3, a shared m=${m}`,
      params: shape(m, 41, 30, { batch: 3, stride_a: 0 }),
      inputs: buffers,
      tolerance: TOLERANCE.reduction,
    },
    { title: `one outlier beside zeros m=${m}`, params: shape(m, 41, 30), inputs: outlier, tolerance: TOLERANCE.reduction },
    { title: `infinity, NaN, -0, denormals m=${m}`, params: shape(m, 41, 30), inputs: hostile, tolerance: TOLERANCE.reduction },
  ]),
  ...EPILOGUES.flatMap(([name, epilogue]) => [
    ...[
      [1, 1, 1],
      [3, 35, 259],
      [24, 129, 33],
      [25, 40, 257],
      [33, 40, 0],
      [65, 258, 257],
    ].map(([m, n, k]) => reduced(`${name} m=${m} n=${n} k=${k}`, shape(m, n, k, { epilogue }))),
    ...[2, 30].flatMap((m) => [
      reduced(`alpha, bias, accumulate, ${name} m=${m}`, shape(m, 41, 300, { ...all, epilogue })),
      reduced(
        `${name}, batch of 2 with gaps m=${m}`,
        shape(m, 41, 30, { batch: 2, stride_a: 1000, stride_b: 1300, stride_c: 1300, epilogue }),
      ),
      reduced(`${name}, infinity, NaN, -0, denormals m=${m}`, shape(m, 41, 30, { epilogue }), hostile),
    ]),
  ]),
];

testKernel(matmul, 'matmul_nn', cases);
testKernel(matmul, 'matmul_nt', cases);
testKernel(matmul, 'matmul_tn', cases);

/**
 * Few rows with all that is a multiple of four, as gemv wants it; rows for all others; k in turns of eight, as quads want it of NN and NT, and
 * ends of a turn, which they take of TN; `staged` takes 32, 64 or 128 k a turn.
 */
const variantCases: KernelCase[] = [
  ...[
    [1, 4, 4],
    [3, 36, 68],
    [4, 132, 516],
    [5, 1, 1],
    [7, 33, 65],
    [9, 130, 3],
    [33, 7, 130],
    [65, 130, 33],
    [130, 65, 97],
    [17, 258, 64],
    [6, 5, 0],
    [8, 4, 8],
    [32, 64, 16],
    [36, 68, 72],
    [100, 132, 136],
    [12, 60, 0],
    [32, 64, 1],
    [36, 68, 7],
    [12, 4, 65],
    [8, 33, 124],
    [9, 31, 260],
  ].map(([m, n, k]) => reduced(`m=${m} n=${n} k=${k}`, shape(m, n, k))),
  ...[2, 28].flatMap((m) => [
    reduced(`alpha, bias, accumulate m=${m}`, shape(m, 44, 304, all)),
    reduced(`batch of 3 with gaps m=${m}`, shape(m, 44, 72, { batch: 3, stride_a: 3000, stride_b: 3200, stride_c: 1400 })),
    reduced(`batch of 3, b shared m=${m}`, shape(m, 44, 72, { batch: 3, stride_b: 0 })),
    reduced(`batch of 3, a shared m=${m}`, shape(m, 44, 72, { batch: 3, stride_a: 0 })),
    reduced(`one outlier beside zeros m=${m}`, shape(m, 44, 72), outlier),
    reduced(`infinity, NaN, -0, denormals m=${m}`, shape(m, 44, 72), hostile),
    ...EPILOGUES.flatMap(([name, epilogue]) => [
      reduced(`alpha, bias, accumulate, ${name} m=${m}`, shape(m, 44, 304, { ...all, epilogue })),
      reduced(
        `${name}, batch of 3 with gaps m=${m}`,
        shape(m, 44, 72, { batch: 3, stride_a: 3000, stride_b: 3200, stride_c: 1400, epilogue }),
      ),
      reduced(`${name}, infinity, NaN, -0, denormals m=${m}`, shape(m, 44, 72, { epilogue }), hostile),
    ]),
  ]),
  ...EPILOGUES.map(([name, epilogue]) => reduced(`${name} m=65 n=130 k=33`, shape(65, 130, 33, { epilogue }))),
];

for (const [name, { variants }] of Object.entries(matmul.entries)) {
  for (const { name: variant } of variants ?? []) testVariant(matmul, name, variant, variantCases);
  testEpilogues(matmul, name, [
    ...[
      [1, 44, 304],
      [24, 36, 72],
      [31, 41, 300],
      [72, 132, 520],
    ].flatMap(([m, n, k]) => [
      { title: `m=${m} n=${n} k=${k}`, params: shape(m, n, k), inputs: buffers },
      { title: `alpha, bias, accumulate m=${m} n=${n} k=${k}`, params: shape(m, n, k, { ...all, alpha: -0.7 }), inputs: buffers },
    ]),
    ...[3, 28].map((m) => ({ title: `infinity, NaN, -0, denormals m=${m}`, params: shape(m, 44, 72), inputs: hostile })),
  ]);
}

test('matmul_nt webgpu a row has the same bits in every ordered variant, however many are beside it', async () => {
  const [n, k, most] = [70, 136, 70];
  const device = await testDevice();
  const made = buffers(new Random('rows'), shape(most, n, k));
  const rows = async (m: number, variant: string) => {
    const c = new Float32Array(m * n).fill(Number.NaN);
    const { c: got } = await launchWebgpu(device, matmul, 'matmul_nt', { ...made, c, a: made.a.slice(0, m * k) }, shape(m, n, k), variant);
    return new Uint32Array(got.buffer, 0, 5 * n);
  };
  const want = await rows(most, DEFAULT_VARIANT);
  const names = applicable(matmul.entries.matmul_nt, shape(most, n, k), { software: true, features: device.features });
  expect(names).toContain('staged_8x8');
  for (const variant of names) for (const m of [5, 9, 33]) expect(await rows(m, variant), `${variant} m=${m}`).toEqual(want);
});

test('on hardware the products of decoding are spread over many workgroups', () => {
  const gpu = { software: false, features: new Set(['subgroups']) };
  const { matmul_nt } = matmul.entries;
  // Columns and depth of the products of Qwen2.5-0.5B, then 7B: q and o, k and v, gate and up, down, a LoRA's A of rank 16, the head.
  const products = [
    [896, 896],
    [128, 896],
    [4864, 896],
    [896, 4864],
    [16, 896],
    [3584, 3584],
    [512, 3584],
    [18944, 3584],
    [3584, 18944],
    [151936, 896],
  ];
  const grids = [8, 16, 32, 64].flatMap((m) =>
    products.map(([n, k]) => {
      const params = shape(m, n, k);
      const variant = pickVariant(matmul_nt, params, gpu);
      const [x, y, z] = variantOf(matmul, 'matmul_nt', variant).passes[0].grid(params);
      return { m, n, k, variant, workgroups: x * y * z, tile: Number(/(\d+)x\d+$/.exec(variant)?.[1]) };
    }),
  );
  // 64 threads have 64 outputs at the least.
  for (const g of grids) expect(g.workgroups, JSON.stringify(g)).toBeGreaterThanOrEqual(Math.min(100, (g.m * g.n) / 64));
  // A tile has 8 rows at the least.
  for (const g of grids) expect(Math.max(9, 2 * g.m), JSON.stringify(g)).toBeGreaterThan(g.tile);
  // In training: many outputs of few k, and of many.
  expect(pickVariant(matmul_nt, shape(1900, 896, 16), gpu)).toBe('tile_64x64');
  expect(pickVariant(matmul_nt, shape(1900, 4864, 896), gpu)).toBe('tile_128x128');
});

for (const variant of matmul.entries.matmul_nt.variants ?? []) {
  const { name, matrix } = variant;
  if (matrix === undefined) continue;
  test(`matmul_nt webgpu ${name}: a row has the bits of the form without packing, however many are beside it`, async ({ skip }) => {
    const [n, k, most] = [70, 136, 70];
    const device = await variantDevice(variant, skip);
    const made = buffers(new Random('rows'), shape(most, n, k));
    const rows = async (m: number, by: string) => {
      const c = new Float32Array(m * n).fill(Number.NaN);
      const { c: got } = await launchWebgpu(device, matmul, 'matmul_nt', { ...made, c, a: made.a.slice(0, m * k) }, shape(m, n, k), by);
      return new Uint32Array(got.buffer, 0, 9 * n);
    };
    const want = await rows(most, `subgroup_matrix_${matrix.side}_${matrix.lanes}`);
    for (const m of [most, 9]) expect(await rows(m, name), `m=${m}`).toEqual(want);
  });
}

test('by the rules gradients of few tiles or few k do not take subgroup matrices, forward products do, in tiles that keep the device busy', () => {
  const gpu = {
    software: false,
    features: new Set(['shader-f16', 'subgroups', SUBGROUP_MATRIX]),
    workgroupBytes: 49_152,
    matrix: { side: 16, lanes: 32 },
  };
  const { matmul_nn, matmul_nt, matmul_tn } = matmul.entries;
  const name = /^subgroup_matrix_16_32/;
  for (const [m, n, k] of [
    [64, 9000, 900],
    [900, 16, 900],
    [512, 512, 512],
    [5000, 1024, 64],
  ]) {
    for (const entry of [matmul_nn, matmul_tn]) expect(pickVariant(entry, shape(m, n, k), gpu)).not.toMatch(name);
    expect(pickVariant(matmul_nt, shape(m, n, k), gpu)).toMatch(name);
  }
  expect(pickVariant(matmul_nt, shape(64, 9000, 900), gpu)).toBe('subgroup_matrix_16_32');
  expect(pickVariant(matmul_nt, shape(512, 512, 512), gpu)).toBe('subgroup_matrix_16_32_64x64_4_2x1');
  for (const entry of [matmul_nn, matmul_nt, matmul_tn]) {
    expect(pickVariant(entry, shape(512, 896, 4864), gpu)).toBe('subgroup_matrix_16_32_64x64_4_2x1');
    expect(pickVariant(entry, shape(1024, 1024, 1024), gpu)).toBe('subgroup_matrix_16_32_64x64_4_1x1');
    expect(pickVariant(entry, shape(2048, 2048, 2048), gpu)).toBe('subgroup_matrix_16_32_256x128_8_1x1');
  }
});

test('the rules of matmul pick variants that can run; beyond few rows matmul_nt has one order of sums per device', () => {
  const size = fc.integer({ min: 1, max: 5000 });
  const all = new Set(['subgroups', 'shader-f16', SUBGROUP_MATRIX]);
  const adapter = fc.oneof(
    fc.record({ software: fc.boolean(), features: fc.constantFrom(new Set<string>(), new Set(['subgroups'])) }),
    fc.record({
      software: fc.boolean(),
      features: fc.constant(all),
      matrix: fc.constantFrom({ side: 8, lanes: 8 }, { side: 16, lanes: 32 }, { side: 16, lanes: 64 }),
    }),
  );
  const seen = new Set<string>();
  fc.assert(
    fc.property(fc.constantFrom('nn', 'nt', 'tn'), size, size, size, adapter, (form, m, n, k, facts) => {
      const name = `matmul_${form}`;
      const params = shape(m, n, k);
      const picked = variantOf(matmul, name, pickVariant(matmul.entries[name as 'matmul_nn'], params, facts));
      seen.add(picked.name);
      expect(picked.applies(params)).toBe(true);
      if (m <= FEW) return;
      const choices = applicable(matmul.entries.matmul_nt, params, facts);
      if (choices.length > 1) for (const v of choices) expect(variantOf(matmul, 'matmul_nt', v).ordered, v).toBe(true);
    }),
    { numRuns: 2000, seed: 3 },
  );
  expect([...seen].length).toBeGreaterThan(4);
  expect(seen).toContain(DEFAULT_VARIANT);
});

test('matmul_nn and matmul_tn refs are the gradients of matmul_nt: finite differences', () => {
  const r = new Random('matmul fd');
  const [m, n, k] = [3, 4, 5];
  const [a, b, dc] = [m * k, n * k, m * n].map((size) => Float64Array.from(r.normals(size)));
  const rest = { bias: new Float64Array(n), aux: new Float64Array(0) };
  const loss = (x: Float64Array, w: Float64Array) => {
    const c = new Float64Array(m * n);
    matmul.ref.matmul_nt({ c, a: x, b: w, ...rest }, shape(m, n, k, { alpha: 0.5 }));
    return c.reduce((s, v, i) => s + v * dc[i], 0);
  };
  const nudge = (v: Float64Array, at: number, d: number) => v.map((x, i) => (i === at ? x + d : x));
  const h = 1e-5;
  const da = new Float64Array(m * k);
  matmul.ref.matmul_nn({ c: da, a: dc, b, ...rest }, shape(m, k, n, { alpha: 0.5 }));
  assertClose(
    da,
    a.map((_, i) => (loss(nudge(a, i, h), b) - loss(nudge(a, i, -h), b)) / (2 * h)),
    TOLERANCE.finiteDifference,
  );
  const db = new Float64Array(n * k);
  matmul.ref.matmul_tn({ c: db, a: dc, b: a, ...rest }, shape(n, k, m, { alpha: 0.5 }));
  assertClose(
    db,
    b.map((_, i) => (loss(a, nudge(b, i, h)) - loss(a, nudge(b, i, -h))) / (2 * h)),
    TOLERANCE.finiteDifference,
  );
});
