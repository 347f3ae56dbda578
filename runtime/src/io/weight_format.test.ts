/**
 * Plan. Encoded rows, read back by the kernels' own decoder: error bounds of every format over drawn scales and ragged rows (fast-check);
 * 16-bit files survive f16 exactly; zeros, tiny groups, -0; rows are independent of each other; what a format has no place for is refused.
 */
import { dequantize, GROUP } from '@eagrl/kernels';
import { Random } from '@eagrl/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { SafetensorsError } from './safetensors.ts';
import { encodeRows } from './weight_format.ts';

const PACKED = ['f16', 'int8', 'int4'] as const;

test('every format stays within its bound, whatever the scale and the length of a row', () => {
  const shape = fc.record({ rows: fc.integer({ min: 1, max: 5 }), k: fc.integer({ min: 1, max: 100 }), seed: fc.nat() });
  fc.assert(
    fc.property(shape, fc.integer({ min: -20, max: 10 }), ({ rows, k, seed }, power) => {
      const data = new Random(seed).normals(rows * k, 2 ** power);
      for (const dtype of PACKED) {
        const back = dequantize(dtype, encodeRows(dtype, data, k, 'w'), rows, k);
        data.forEach((v, i) => {
          const column = i % k;
          const start = i - (column % GROUP);
          const group = data.subarray(start, Math.min(start + GROUP, i - column + k));
          const most = group.reduce((m, x) => Math.max(m, Math.abs(x)), 0);
          // A bfloat16 rounded up is at most 2^-7 too large.
          const bound = {
            f16: Math.max(2 ** -11 * Math.abs(v), 2 ** -25),
            int8: ((most / 127) * (1 + 2 ** -7)) / 2,
            int4: ((most / 7) * (1 + 2 ** -7)) / 2,
          };
          expect(Math.abs(back[i] - v), `${dtype} ${v}`).toBeLessThanOrEqual(bound[dtype] * (1 + 1e-6));
        });
      }
    }),
    { numRuns: 60, seed: 1 },
  );
});

test('numbers that f16 holds come back as they were', () => {
  const data = Float32Array.of(0, -0, 1, -1.5, 65_504, 2 ** -24, 0.333251953125);
  expect([...dequantize('f16', encodeRows('f16', data, 7, 'w'), 1, 7)]).toEqual([...data]);
});

test('a group of zeros and a tiny group beside a large one', () => {
  const data = new Float32Array(2 * GROUP);
  data.fill(1e-9, GROUP);
  data[GROUP] = -1e-9;
  data[1] = 100;
  for (const dtype of ['int8', 'int4'] as const) {
    const back = dequantize(dtype, encodeRows(dtype, data, 2 * GROUP, 'w'), 1, 2 * GROUP);
    expect(back[0]).toBe(0);
    expect(Math.abs(back[1] / 100 - 1)).toBeLessThan(0.01);
    expect(Math.abs(back[GROUP] / -1e-9 - 1)).toBeLessThan(0.01);
    expect(dequantize(dtype, encodeRows(dtype, new Float32Array(33), 33, 'w'), 1, 33)).toEqual(new Float64Array(33));
  }
});

test('rows are encoded one by one: a part gives the words of the whole', () => {
  const data = new Random('rows').normals(6 * 45);
  for (const dtype of PACKED) {
    const all = encodeRows(dtype, data, 45, 'w');
    const part = encodeRows(dtype, data.subarray(2 * 45, 4 * 45), 45, 'w');
    const cut = (words: Uint32Array) => words.subarray((2 * words.length) / 6, (4 * words.length) / 6);
    expect([...part.w]).toEqual([...cut(all.w)]);
    expect([...part.scales]).toEqual([...cut(all.scales)]);
  }
});

test.each([
  ['f16', 70_000, /'layer': holds 70000, which f16 cannot; load the model as f32 or int8/],
  ['f16', Number.NaN, /'layer': holds NaN, which f16 cannot; restore the file/],
  ['int8', Number.NaN, /'layer': holds NaN, which int8 cannot/],
  ['int4', Number.NEGATIVE_INFINITY, /'layer': holds -Infinity, which int4 cannot/],
] as const)('%s refuses %s', (dtype, value, message) => {
  const refused = () => encodeRows(dtype, Float32Array.of(1, value), 2, 'layer');
  expect(refused).toThrow(SafetensorsError);
  expect(refused).toThrow(message);
});
