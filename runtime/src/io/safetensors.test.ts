/**
 * Plan. Round trips over names, shapes and dtypes; a file laid out by hand; every kind of hostile
 * header; any mutation of a valid file either parses or throws SafetensorsError (property), never anything else.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { inMemory, parseSafetensors, SafetensorsError, writeSafetensors } from './safetensors.ts';

/** A file from a header text and a number of data bytes. */
function file(header: string | Uint8Array, dataBytes: number, claimed?: bigint): Uint8Array {
  const json = typeof header === 'string' ? new TextEncoder().encode(header) : header;
  const out = new Uint8Array(8 + json.length + dataBytes);
  new DataView(out.buffer).setBigUint64(0, claimed ?? BigInt(json.length), true);
  out.set(json, 8);
  return out;
}
const entry = (dtype: unknown, shape: unknown, offsets: unknown) => ({ dtype, shape, data_offsets: offsets });

test('round trip: order, shapes, scalars, empty tensors, metadata, __proto__ as a name', () => {
  const tensors = [
    { name: 'a.weight', shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0, 1e-30, 1e30) },
    { name: 'scalar', shape: [], data: Float32Array.of(7) },
    { name: 'empty', shape: [0, 5], data: new Float32Array(0) },
    { name: '__proto__', shape: [1], data: Float32Array.of(9) },
    { name: 'half', shape: [3], data: Float32Array.of(0.5, -1, 65_504), dtype: 'F16' as const },
    { name: 'brain', shape: [2], data: Float32Array.of(1, -0.0078125), dtype: 'BF16' as const },
  ];
  const bytes = writeSafetensors(tensors, { step: '3' });
  // At an odd address: nothing may depend on alignment.
  const shifted = new Uint8Array(bytes.length + 1).subarray(1);
  shifted.set(bytes);
  const parsed = parseSafetensors(shifted);
  expect(parsed.metadata).toEqual({ step: '3' });
  for (const { name, shape, data, dtype = 'F32' } of tensors) {
    const t = parsed.tensors.get(name);
    expect(t && [t.dtype, t.shape, t.read()]).toEqual([dtype, shape, data]);
  }
});

test('pieces of any lengths come to the same file; too few and too many are refused', async () => {
  const data = Float32Array.from({ length: 6 }, (_, i) => i - 2.5);
  const cut = (...lengths: number[]) => ({
    name: 'w',
    shape: [2, 3],
    async *pieces() {
      let at = 0;
      for (const n of lengths) yield data.subarray(at, (at += n));
    },
  });
  const whole = writeSafetensors([{ name: 'w', shape: [2, 3], data }]);
  for (const lengths of [[6], [1, 2, 3], [0, 5, 0, 1]]) expect(writeSafetensors(await inMemory([cut(...lengths)]))).toEqual(whole);
  await expect(inMemory([cut(5)])).rejects.toThrow(/'w': shape \(2, 3\), 5 elements/);
  await expect(inMemory([cut(6, 0), cut(6), { ...cut(3, 3), shape: [5] }])).rejects.toThrow(/shape \(5\), 6 elements/);
});

test('reads from a Node Buffer, whose slice is a view at any address', () => {
  const bytes = writeSafetensors([{ name: 'a', shape: [2], data: Float32Array.of(1, 2), dtype: 'F16' }]);
  const pool = Buffer.alloc(bytes.length + 3);
  pool.set(bytes, 3);
  expect(parseSafetensors(pool.subarray(3)).tensors.get('a')?.read()).toEqual(Float32Array.of(1, 2));
});

test('reads a file laid out by hand from the format description', () => {
  const header = '{"w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}';
  const bytes = file(header, 8);
  bytes.set([0, 0, 0x80, 0x3f, 0, 0, 0, 0x40], 8 + header.length);
  expect(parseSafetensors(bytes).tensors.get('w')?.read()).toEqual(Float32Array.of(1, 2));
});

const hostile: [title: string, bytes: Uint8Array, message: RegExp][] = [
  ['shorter than the length', new Uint8Array(7), /too short/],
  ['header beyond the file', file('{}', 0, 1000n), /header claims 1000 bytes/],
  ['header of 2^63 bytes', file('{}', 0, 2n ** 63n), /header claims/],
  ['not JSON', file('{"a":', 0), /not valid UTF-8 JSON/],
  ['not UTF-8', file(Uint8Array.of(0x7b, 0xff, 0x7d), 0), /not valid UTF-8 JSON/],
  ['an array', file('[]', 0), /not a JSON object/],
  ['entry is null', file('{"a":null}', 0), /expected an object/],
  ['dtype missing', file('{"a":{"shape":[],"data_offsets":[0,4]}}', 4), /dtype missing/],
  ['integer dtype', file(JSON.stringify({ a: entry('I64', [1], [0, 8]) }), 8), /dtype "I64" is not supported/],
  ['negative dim', file(JSON.stringify({ a: entry('F32', [-1], [0, 4]) }), 4), /shape is not/],
  ['fractional dim', file(JSON.stringify({ a: entry('F32', [0.5], [0, 2]) }), 2), /shape is not/],
  ['shape beyond the file', file(JSON.stringify({ a: entry('F32', [2 ** 40], [0, 2 ** 42]) }), 8), /tensors cover/],
  ['shape that overflows', file(JSON.stringify({ a: entry('F32', [2 ** 50, 2 ** 50], [0, 4]) }), 4), /data_offsets span 4/],
  ['shape and offsets differ', file(JSON.stringify({ a: entry('F32', [2], [0, 4]) }), 4), /is 8 bytes, data_offsets span 4/],
  ['offsets backwards', file(JSON.stringify({ a: entry('F32', [1], [4, 0]) }), 4), /not \[begin, end\]/],
  ['overlap', file(JSON.stringify({ a: entry('F32', [2], [0, 8]), b: entry('F32', [1], [4, 8]) }), 8), /overlap or leave a hole/],
  ['hole', file(JSON.stringify({ a: entry('F32', [1], [0, 4]), b: entry('F32', [1], [8, 12]) }), 12), /overlap or leave a hole/],
  ['data truncated', file(JSON.stringify({ a: entry('F32', [4], [0, 16]) }), 12), /truncated or has a tail/],
  ['tail', file(JSON.stringify({ a: entry('F32', [1], [0, 4]) }), 9), /truncated or has a tail/],
  [
    'name twice',
    file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}', 8),
    /overlap or leave a hole/,
  ],
  ['metadata not strings', file('{"__metadata__":{"a":1}}', 0), /__metadata__/],
];
for (const [title, bytes, message] of hostile) {
  test(`hostile: ${title}`, () => {
    expect(() => parseSafetensors(bytes)).toThrow(SafetensorsError);
    expect(() => parseSafetensors(bytes)).toThrow(message);
  });
}

test('a mutated file parses or throws SafetensorsError, nothing else', () => {
  const valid = writeSafetensors([
    { name: 'a', shape: [3], data: Float32Array.of(1, 2, 3) },
    { name: 'b', shape: [2, 2], data: Float32Array.of(1, 2, 3, 4), dtype: 'F16' },
  ]);
  const edit = fc.tuple(fc.nat(valid.length - 1), fc.nat(255));
  fc.assert(
    fc.property(fc.array(edit, { maxLength: 6 }), fc.nat(valid.length), (edits, length) => {
      const bytes = valid.slice(0, length);
      for (const [at, value] of edits) if (at < length) bytes[at] = value;
      try {
        for (const t of parseSafetensors(bytes).tensors.values()) t.read();
      } catch (error) {
        expect(error).toBeInstanceOf(SafetensorsError);
      }
    }),
    { numRuns: 500 },
  );
});

test('writer refuses a wrong length and a name given twice', () => {
  const a = { name: 'a', shape: [1], data: Float32Array.of(1) };
  expect(() => writeSafetensors([{ ...a, shape: [2] }])).toThrow(/needs 2 elements, got 1/);
  expect(() => writeSafetensors([a, a])).toThrow(/given twice/);
});
