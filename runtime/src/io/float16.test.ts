/** Plan. All 65,536 f16 values go to f32 and back; known roundings, ties, limits, subnormals, NaN; bf16 likewise. */
import { expect, test } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from './float16.ts';

const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
const isNan16 = (b: number, exponent: number) => (b & exponent) === exponent && (b & (0x7fff & ~exponent)) !== 0;

test('every f16 survives the way to f32 and back', () => {
  const back = f32ToF16(f16ToF32(all));
  expect(all.filter((b) => !isNan16(b, 0x7c00) && back[b] !== b)).toEqual(new Uint16Array(0));
  expect(f16ToF32(Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00))).toEqual(
    Float32Array.of(1, -2, 2 ** -24, 65_504, Number.POSITIVE_INFINITY),
  );
});

test('f32 to f16 rounds to nearest, ties to even', () => {
  const cases: [number, number][] = [
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
    [1 + 2 ** -11 + 2 ** -20, 0x3c01],
    [65_519, 0x7bff],
    [65_520, 0x7c00],
    [1e10, 0x7c00],
    [2 ** -25, 0],
    [1.5 * 2 ** -24, 0x0002],
    [2 ** -14 - 2 ** -26, 0x0400],
    [-0, 0x8000],
    [Number.NEGATIVE_INFINITY, 0xfc00],
  ];
  for (const [x, bits] of cases) expect(f32ToF16(Float32Array.of(x))[0], String(x)).toBe(bits);
  expect(f16ToF32(f32ToF16(Float32Array.of(Number.NaN)))[0]).toBeNaN();
});

test('every bf16 survives the way to f32 and back; rounding', () => {
  const back = f32ToBf16(bf16ToF32(all));
  expect(all.filter((b) => !isNan16(b, 0x7f80) && back[b] !== b)).toEqual(new Uint16Array(0));
  expect(f32ToBf16(Float32Array.of(1 + 2 ** -8))[0]).toBe(0x3f80);
  expect(f32ToBf16(Float32Array.of(1 + 3 * 2 ** -8))[0]).toBe(0x3f82);
  expect(bf16ToF32(f32ToBf16(Float32Array.of(Number.NaN)))[0]).toBeNaN();
});
