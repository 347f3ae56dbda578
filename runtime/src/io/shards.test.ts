/**
 * Plan. A checkpoint cut into files is read back equal; cuts around the limit; an index that lies, by kind; any JSON as index gives a map
 * or SafetensorsError; tensors are read by range, and loading asks for no more than a chunk at a time.
 */
import { Random } from '@eagrl/testing';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReferenceBackend } from '../backend/reference.ts';
import { Context } from '../context.ts';
import { ParamStore } from '../params.ts';
import { loadParams } from './checkpoint.ts';
import { openSafetensors, parseSafetensors, SafetensorsError, type TensorToStore, writeSafetensors } from './safetensors.ts';
import { openShards, parseShardIndex, planShards, shardIndex } from './shards.ts';

const random = new Random('shards');
const tensors: TensorToStore[] = [
  { name: 'a', shape: [4, 3], data: random.normals(12), dtype: 'F32' },
  { name: 'b', shape: [10], data: Float32Array.from({ length: 10 }, (_, i) => i / 8), dtype: 'BF16' },
  { name: 'c', shape: [100], data: random.normals(100), dtype: 'F32' },
  { name: 'd', shape: [2], data: Float32Array.of(1, -2), dtype: 'F16' },
];

/** The files of a plan, in memory. */
function write(maxBytes: number) {
  const shards = planShards(tensors, maxBytes);
  const files = new Map(shards.map((s) => [s.file, writeSafetensors(s.tensors)]));
  return { shards, files, index: shardIndex(shards), open: (file: string) => parseSafetensors(files.get(file) as Uint8Array) };
}

test('files of at most the given size, read back equal', () => {
  expect(planShards(tensors, 1e9).map((s) => s.file)).toEqual(['model.safetensors']);
  // a 48 bytes, b 20, c 400, d 4.
  expect(planShards(tensors, 68).map((s) => s.tensors.map((t) => t.name))).toEqual([['a', 'b'], ['c'], ['d']]);
  expect(planShards(tensors, 67).map((s) => s.tensors.map((t) => t.name))).toEqual([['a'], ['b'], ['c'], ['d']]);
  const { shards, index, open } = write(68);
  expect(shards[1].file).toBe('model-00002-of-00003.safetensors');
  expect(index).toMatchObject({ metadata: { total_size: 472 } });
  const read = openShards(parseShardIndex(JSON.parse(JSON.stringify(index))), open);
  expect([...read.keys()]).toEqual(['a', 'b', 'c', 'd']);
  for (const { name, data } of tensors) expect(read.get(name)?.read()).toEqual(data);
});

test('an index that lies is refused by name', () => {
  const { index, open } = write(68);
  const map = parseShardIndex(index);
  const moved = new Map(map).set('b', 'model-00002-of-00003.safetensors');
  expect(() => openShards(moved, open)).toThrow(/model-00001-of-00003.safetensors: holds 'b', which the index puts in model-00002/);
  expect(() => openShards(new Map(map).set('e', 'model-00001-of-00003.safetensors'), open)).toThrow(/'e' is missing; the index says/);
  const without = new Map(map);
  without.delete('a');
  expect(() => openShards(without, open)).toThrow(/holds 'a', which the index puts in no file/);
  for (const file of ['../model.safetensors', '/etc/passwd', 'x/y.safetensors', 7, null]) {
    expect(() => parseShardIndex({ weight_map: { a: file } })).toThrow(/'a' lies in .*; expected a .safetensors file/);
  }
});

test('any JSON gives a map or SafetensorsError', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      for (const json of [value, { weight_map: value }]) {
        try {
          expect(parseShardIndex(json)).toBeInstanceOf(Map);
        } catch (error) {
          expect(error).toBeInstanceOf(SafetensorsError);
        }
      }
    }),
  );
});

test('loading reads by range: never more than 16 MiB of f32 at once', () => {
  const length = 5 * 1024 * 1024 + 3;
  const data = new Float32Array(length).map((_, i) => i % 251);
  const file = writeSafetensors([{ name: 'w', shape: [length], data, dtype: 'BF16' }]);
  const asked: number[] = [];
  const source = {
    size: file.length,
    read: (begin: number, end: number) => {
      asked.push(end - begin);
      return file.subarray(begin, end);
    },
  };
  const backend = new ReferenceBackend(0);
  const store = new ParamStore(new Context(backend), [{ name: 'w', shape: [length], decay: true }]);
  loadParams(store, openSafetensors(source).tensors);
  expect(Math.max(...asked)).toBe(2 * 4 * 1024 * 1024);
  const values = backend.values(store.get('w').value.slice);
  expect(values.findIndex((v, i) => v !== i % 251)).toBe(-1);
});
