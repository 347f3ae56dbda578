/** Plan. Against a Map of joined strings, random keys of several lengths, prefixes of one another among them; the limit; keys are copied. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { NumberKeys } from './number_keys.ts';

test('finds what a map of joined strings finds', () => {
  const key = fc.array(fc.oneof(fc.integer({ min: -1, max: 3 }), fc.maxSafeNat()), { maxLength: 6 });
  fc.assert(
    fc.property(fc.array(key, { maxLength: 60 }), (keys) => {
      const map = new NumberKeys<number>(1000);
      const want = new Map<string, number>();
      keys.forEach((k, i) => {
        expect(map.get([...k, 7], k.length)).toBe(want.get(k.join()));
        if (want.has(k.join())) return;
        map.keep([...k, 9], k.length, i);
        want.set(k.join(), i);
      });
    }),
  );
});

test('at its limit it starts afresh', () => {
  const map = new NumberKeys<string>(2);
  const key = [1, 2];
  map.keep(key, 2, 'a');
  key[1] = 3;
  expect(map.get(key, 2)).toBeUndefined();
  expect(map.get([1, 2], 2)).toBe('a');
  map.keep(key, 2, 'b');
  map.keep([4], 1, 'c');
  expect([map.get([1, 2], 2), map.get([1, 3], 2), map.get([4], 1)]).toEqual([undefined, undefined, 'c']);
});
