/**
 * Plan. Every format in both directions and by row index, against the oracle on every backend. The words are drawn, so every bit pattern
 * that a format allows comes up: halves from subnormal to 2, q = -127..127 and -7..7, scales from 2^-20 on. One axis at a time
 * around a control: rows on both sides of the few-rows paths (4) and of the blocks (6, 12, 64, 288); columns around 8, 64; depth around the
 * padding (4, 8, 32), 16 and 256. Columns of a wider matrix: neighbours stay as they were. Bias, accumulate, c left unread. Epilogues with an
 * auxiliary operand after these, bit for bit the separate kernels; it is not read (NaN) where there is none.
 * Variants: the shapes of their tiles, infinities and NaN, where ordered bit for bit the default's; on hardware they spread the products of decoding over the device.
 * Gather: ids outside give zeros or are passed over. NN is the gradient of NT: finite differences. The layouts' bytes.
 */
import { DEFAULT_VARIANT, EPILOGUE, type HostArray, type HostBuffers, type Params, pickVariant, variantOf } from '@eagrl/kernels';
import { assertClose, type KernelCase, Random, TOLERANCE, testEpilogues, testKernel, testVariant } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { rowWords, scaleWords, WEIGHT_TYPES, type WeightType } from './format.ts';
import { qmatmul } from './qmatmul.ts';

/** A stored matrix of drawn words whose elements are of order 1, padding as the format wants it. */
function matrix(r: Random, dtype: WeightType, n: number, k: number): { w: HostArray; scales: Uint32Array<ArrayBuffer> } {
  if (dtype === 'f32') return { w: r.normals(n * k), scales: new Uint32Array(0) };
  const width = rowWords(dtype, k);
  const w = new Uint32Array(n * width);
  const bits = { f16: 16, int8: 8, int4: 4 }[dtype];
  const per = 32 / bits;
  const draw = (): number => {
    // Sign and mantissa of any kind, exponents from subnormal up to below 2.
    if (dtype === 'f16') return (r.int(2) << 15) | (r.int(16) << 10) | r.int(1024);
    return dtype === 'int8' ? (r.int(255) - 127) & 255 : 1 + r.int(15);
  };
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < width * per; i++) {
      // int4: byte b of a word holds elements b and b + 4; drawn bits need no order, only the padding does.
      const place = dtype === 'int4' ? (i & ~7) + 2 * (i & 3) + ((i >> 2) & 1) : i;
      const value = i < k ? draw() : dtype === 'int4' ? 8 : 0;
      w[row * width + Math.floor(place / per)] |= value << (bits * (place % per));
    }
  }
  const scale = () => {
    const s = new Float32Array([(0.2 + r.next()) / (dtype === 'int8' ? 127 : 7)]);
    if (r.int(8) === 0) s[0] *= 2 ** -16;
    return new Uint32Array(s.buffer)[0] >>> 16;
  };
  return { w, scales: Uint32Array.from({ length: n * scaleWords(dtype, k) }, () => (scale() | (scale() << 16)) >>> 0) };
}

const shape = (form: 'nt' | 'nn', m: number, n: number, k: number, more: Params = {}): Params => ({
  ...{ m, n, k, lda: form === 'nt' ? k : n, ldc: form === 'nt' ? n : k, accumulate: 0, has_bias: 0, epilogue: 0 },
  ...more,
});

const SHAPES = [
  [33, 40, 37],
  [1, 1, 1],
  ...[2, 4, 5, 6, 7, 12, 13, 36, 37, 64, 65].map((m) => [m, 40, 37]),
  [290, 9, 33],
  ...[7, 8, 63, 64, 65].map((n) => [33, n, 37]),
  ...[4, 8, 31, 32, 33, 256, 260].map((k) => [33, 20, k]),
  [3, 20, 291],
  [3, 270, 70],
  [7, 270, 70],
];
/** The formats differ in how a row is unpacked alone: the whole sweep is int4's, the others take the ends of rows. */
const OTHERS = [[33, 40, 37], [1, 1, 1], ...[4, 8, 31, 260].map((k) => [33, 20, k]), [3, 20, 291], [3, 70, 70]];

const EPILOGUES = Object.entries(EPILOGUE).filter(([, epilogue]) => epilogue);
/** SwiGLU multiplies a sum and its error by up to |aux|, and goes through exp. */
const toleranceOf = ({ epilogue }: Params) => (epilogue === EPILOGUE.swiglu ? TOLERANCE.chained : TOLERANCE.reduction);

for (const form of ['nt', 'nn'] as const) {
  for (const dtype of WEIGHT_TYPES) {
    const entry = `qmatmul_${form}_${dtype}`;
    const inputs = (r: Random, p: Params): HostBuffers => {
      const need = qmatmul.entries[entry].size(p);
      const c = p.accumulate || p.ldc > (form === 'nt' ? p.n : p.k) ? r.normals(need.c) : new Float32Array(need.c).fill(Number.NaN);
      const made = { c, a: r.normals(need.a), bias: r.normals(Math.max(need.bias, 1)), ...matrix(r, dtype, p.n, p.k) };
      return { ...made, aux: p.epilogue ? r.normals(need.aux, 2) : Float32Array.of(Number.NaN) };
    };
    const of = (title: string, params: Params): KernelCase => ({ title, params, inputs, tolerance: toleranceOf(params) });
    testKernel(qmatmul, entry, [
      ...(dtype === 'int4' ? SHAPES : OTHERS).map(([m, n, k]) => of(`m=${m} n=${n} k=${k}`, shape(form, m, n, k))),
      ...[3, 30].flatMap((m) => [
        of(`bias and accumulate m=${m}`, shape(form, m, 41, 300, { has_bias: 1, accumulate: 1 })),
        of(`columns of a wider matrix m=${m}`, shape(form, m, 41, 43, { lda: 50, ldc: 61 })),
        ...EPILOGUES.flatMap(([name, epilogue]) => [
          of(`bias, accumulate, ${name} m=${m}`, shape(form, m, 41, 300, { has_bias: 1, accumulate: 1, epilogue })),
          of(`${name}, columns of a wider matrix m=${m}`, shape(form, m, 41, 43, { lda: 50, ldc: 61, epilogue })),
        ]),
      ]),
      ...(dtype === 'int4'
        ? EPILOGUES.map(([name, epilogue]) => of(`${name} m=290 n=70 k=70`, shape(form, 290, 70, 70, { epilogue })))
        : []),
    ]);
    // What a variant brings is the shape of its tile, shown by one format; the layouts are the entry's own, but for matrix units, which f16 alone has.
    const shown = (variant: string) =>
      dtype === 'int4' || [DEFAULT_VARIANT, 'staged_8x8', 'tile_64x64'].includes(variant) || variant.startsWith('subgroup_matrix');
    /** Infinity in a row of a, NaN in another; infinity in W. */
    const hostile = (r: Random, p: Params): HostBuffers => {
      const made = inputs(r, p);
      made.a[0] = Number.POSITIVE_INFINITY;
      made.a[made.a.length - 1] = Number.NaN;
      if (dtype === 'f16') made.w[rowWords('f16', p.k)] = 0x3c007c00;
      return made;
    };
    const bitCases = [
      ...[3, 5, 40].map((m) => ({ title: `m=${m}`, params: shape(form, m, 70, 300), inputs })),
      { title: 'bias and accumulate m=37', params: shape(form, 37, 300, 70, { has_bias: 1, accumulate: 1 }), inputs },
    ];
    testEpilogues(qmatmul, entry, bitCases, shown);
    for (const { name } of qmatmul.entries[entry].variants ?? []) {
      if (!shown(name)) continue;
      testVariant(qmatmul, entry, name, [
        ...[
          [5, 1, 1],
          [8, 33, 130],
          [33, 40, 37],
          [64, 65, 260],
        ].map(([m, n, k]) => of(`m=${m} n=${n} k=${k}`, shape(form, m, n, k))),
        of('bias and accumulate m=30', shape(form, 30, 41, 300, { has_bias: 1, accumulate: 1 })),
        { ...of('infinity, NaN m=30', shape(form, 30, 41, 70)), inputs: hostile },
        of('columns of a wider matrix m=30', shape(form, 30, 41, 43, { lda: 50, ldc: 61 })),
        ...EPILOGUES.map(([epi, epilogue]) =>
          of(`bias, accumulate, ${epi} m=30`, shape(form, 30, 41, 300, { has_bias: 1, accumulate: 1, epilogue })),
        ),
      ]);
    }
  }
}

test('on hardware the products of decoding are spread over many workgroups', () => {
  const entry = qmatmul.entries.qmatmul_nt_int4;
  const pick = (m: number, n: number, k: number, software = false) => {
    const params = shape('nt', m, n, k);
    const name = pickVariant(entry, params, { software, features: new Set() });
    const grid = name === DEFAULT_VARIANT ? entry.grid : variantOf(qmatmul, 'qmatmul_nt_int4', name).passes[0].grid;
    return `${name} ${grid(params)[0]}`;
  };
  // Qwen2.5-0.5B: q and o, k and v, gate and up, down.
  expect(pick(8, 896, 896)).toBe('staged_8x8 112');
  expect(pick(8, 128, 896)).toBe('staged_8x8 16');
  expect(pick(16, 4864, 896)).toBe('staged_8x32 304');
  expect(pick(64, 4864, 896)).toBe('staged_32x32 304');
  expect(pick(8, 151936, 896)).toBe('staged_8x32 4748'); // the head
  expect(pick(64, 151936, 896)).toBe('tile_64x64 2374');
  expect(pick(1900, 896, 896)).toBe('tile_64x64 420');
  expect(pick(4, 896, 896)).toBe('default 112');
  expect(pick(8, 896, 896, true)).toBe('default 14');
});

for (const dtype of WEIGHT_TYPES) {
  const gather = (title: string, tokens: number, n: number, k: number, more: Params = {}): KernelCase => ({
    title,
    params: { tokens, k, first: 0, n, fill: 1, ...more },
    inputs: (r, p) => ({
      y: r.normals(p.tokens * p.k),
      ids: r.ints(p.tokens, p.n + p.first + 3),
      ...matrix(r, dtype, p.n, p.k),
    }),
    tolerance: TOLERANCE.elementwise,
  });
  testKernel(qmatmul, `qgather_${dtype}`, [
    gather('zeros outside', 33, 20, 37),
    gather('one row', 1, 1, 1),
    gather('rows 20 to 40, others left', 65, 20, 300, { first: 20, fill: 0 }),
    gather('whole groups', 5, 7, 256),
  ]);
}

test('bytes: f16 16, int8 8.5, int4 4.5 bits per weight of a multiple of 64', () => {
  const bits = (dtype: WeightType, k: number) => (32 * (rowWords(dtype, k) + scaleWords(dtype, k))) / k;
  expect(WEIGHT_TYPES.map((t) => bits(t, 896))).toEqual([32, 16, 8.5, 4.5]);
  expect(WEIGHT_TYPES.map((t) => [rowWords(t, 33), scaleWords(t, 33)])).toEqual([
    [33, 0],
    [20, 0],
    [16, 1],
    [8, 1],
  ]);
});

test('halves: subnormals, infinities, NaN and -0 as IEEE has them', () => {
  const w = Uint32Array.of(0x80000001, 0x7c0003ff, 0x7e01fc00, 0x00003c00);
  const ids = Uint32Array.of(0);
  const y = new Float64Array(8);
  qmatmul.ref.qgather_f16({ y, w, scales: [], ids }, { tokens: 1, k: 8, first: 0, n: 1, fill: 1 });
  expect([...y]).toEqual([2 ** -24, -0, 1023 * 2 ** -24, Infinity, -Infinity, Number.NaN, 1, 0]);
});

test('qmatmul_nn ref is the gradient of qmatmul_nt: finite differences', () => {
  const r = new Random('qmatmul fd');
  const [m, n, k] = [3, 4, 37];
  const stored = matrix(r, 'int4', n, k);
  const [a, dc] = [m * k, m * n].map((size) => Float64Array.from(r.normals(size)));
  const rest = { bias: new Float64Array(0), aux: new Float64Array(0) };
  const loss = (x: Float64Array) => {
    const c = new Float64Array(m * n);
    qmatmul.ref.qmatmul_nt_int4({ c, a: x, ...rest, ...stored }, shape('nt', m, n, k) as never);
    return c.reduce((s, v, i) => s + v * dc[i], 0);
  };
  const da = new Float64Array(m * k);
  qmatmul.ref.qmatmul_nn_int4({ c: da, a: dc, ...rest, ...stored }, shape('nn', m, n, k) as never);
  const h = 1e-5;
  const slopes = a.map((v, i) => (loss(a.with(i, v + h)) - loss(a.with(i, v - h))) / (2 * h));
  assertClose(da, slopes, TOLERANCE.finiteDifference);
});
