/**
 * Plan. The oracle against the known answers published with Random123 (kat_vectors, threefry2x32 20); uniform01 at its ends.
 * The WGSL and AssemblyScript twins are held to the same bits by the dropout and sampling tests.
 */
import { expect, test } from 'vitest';
import { threefry2x32, uniform01 } from './threefry.ref.ts';

test.each([
  { key: [0, 0], counter: [0, 0], want: [0x6b200159, 0x99ba4efe] },
  { key: [0xffffffff, 0xffffffff], counter: [0xffffffff, 0xffffffff], want: [0x1cb996fc, 0xbb002be7] },
  { key: [0x13198a2e, 0x03707344], counter: [0x243f6a88, 0x85a308d3], want: [0xc4923a9c, 0x483df7a0] },
])('threefry2x32 ref known answer of key $key counter $counter', ({ key, counter, want }) => {
  expect(threefry2x32(key[0], key[1], counter[0], counter[1])).toEqual(want);
});

test('uniform01 spans [0, 1) in steps of 2^-24', () => {
  expect(uniform01(0)).toBe(0);
  expect(uniform01(255)).toBe(0);
  expect(uniform01(256)).toBe(2 ** -24);
  expect(uniform01(0xffffffff)).toBe(1 - 2 ** -24);
});
