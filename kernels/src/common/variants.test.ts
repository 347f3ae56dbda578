/**
 * Plan. Choice among variants, on a spec made for it: features decide what there is, `applies` what can run, the first rule that holds
 * and can run wins, none: the entry's own WGSL; one that stands alone bears no measured choice. Errors name what there is. A variant that
 * cannot compute the params is refused. So is one that wants more workgroup memory than the device has. Subgroup matrices: only square f16 with f32 sums, only where subgroups have one size.
 */

import { testDevice } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { softmax } from '../softmax/softmax.ts';
import { launchWebgpu } from './launch.ts';
import type { KernelSpec, Variant } from './spec.ts';
import { applicable, lacks, pickable, pickVariant, subgroupMatrixOf, variantOf } from './variants.ts';

const variant = (name: string, from: number, features: string[] = []): Variant => ({
  name,
  features,
  applies: ({ rows }) => rows >= from,
  ordered: true,
  passes: [{ wgsl: softmax.wgsl, entry: 'softmax_fwd', grid: softmax.entries.softmax_fwd.grid }],
});
const rule = (name: string, to: number) => ({ variant: name, when: ({ rows }: { rows: number }) => rows <= to });
const entry = {
  ...softmax.entries.softmax_fwd,
  variants: [variant('lanes', 0, ['subgroups']), variant('many', 10), variant('any', 0)],
  rules: ({ software }: { software: boolean }) => [rule('lanes', software ? 0 : 5), rule('many', 20)],
};
const spec: KernelSpec = { ...softmax, entries: { softmax_fwd: entry } };

const gpu = { software: false, features: new Set(['subgroups']) };
const plain = { software: false, features: new Set<string>() };
const rows = (n: number) => ({ rows: n, cols: 4 });

test('features and params decide what can run', () => {
  expect(applicable(entry, rows(9), gpu)).toEqual(['default', 'lanes', 'any']);
  expect(applicable(entry, rows(10), plain)).toEqual(['default', 'many', 'any']);
  expect(pickable(entry, gpu)).toEqual(['default', 'lanes', 'many']);
  expect(pickable(entry, plain)).toEqual(['default', 'many']);
});

test('the first rule that holds and can run wins, else the default', () => {
  expect(pickVariant(entry, rows(5), gpu)).toBe('lanes');
  expect(pickVariant(entry, rows(5), { ...gpu, software: true })).toBe('default');
  expect(pickVariant(entry, rows(5), plain)).toBe('default');
  expect(pickVariant(entry, rows(20), gpu)).toBe('many');
  expect(pickVariant(entry, rows(21), gpu)).toBe('default');
  expect(pickVariant({ ...entry, rules: undefined }, rows(5), gpu)).toBe('default');
});

test('an unknown variant and one that cannot compute the params are refused by name', async () => {
  expect(() => variantOf(spec, 'softmax_fwd', 'fast')).toThrow("no variant 'fast'; it has default, lanes, many, any");
  const x = new Float32Array(4);
  await expect(launchWebgpu(await testDevice(), spec, 'softmax_fwd', { x }, rows(1), 'many')).rejects.toThrow(
    "variant 'many' cannot compute",
  );
});

test('where the rules pick a variant that stands alone, there is no other choice', () => {
  const alone = { ...entry, variants: [{ ...variant('lanes', 0, ['subgroups']), alone: true }, variant('any', 0)] };
  expect(applicable(alone, rows(5), gpu)).toEqual(['lanes']);
  expect(applicable(alone, rows(6), gpu)).toEqual(['default', 'lanes', 'any']);
  expect(applicable(alone, rows(5), plain)).toEqual(['default', 'any']);
});

test('workgroup memory beyond what WebGPU guarantees is there only where the device says so', () => {
  const wants = { ...variant('large', 0), workgroupBytes: 32_768 };
  expect(lacks(wants, gpu)).toBe('32768 bytes of workgroup memory');
  expect(lacks({ ...wants, workgroupBytes: 16_384 }, gpu)).toBeUndefined();
  expect(lacks(wants, { ...gpu, workgroupBytes: 32_767 })).toBe('32768 bytes of workgroup memory');
  expect(lacks(wants, { ...gpu, workgroupBytes: 32_768 })).toBeUndefined();
});

test('storage buffers beyond what WebGPU guarantees are there only where the device says so', () => {
  const wants = { ...variant('many', 0), storageBuffers: 9 };
  expect(lacks(wants, gpu)).toBe('9 storage buffers');
  expect(lacks({ ...wants, storageBuffers: 8 }, gpu)).toBeUndefined();
  expect(lacks(wants, { ...gpu, storageBuffers: 10 })).toBeUndefined();
});

test('subgroup matrices: square f16 with sums in f32, the largest, where subgroups have one size', () => {
  const config = (componentType: string, resultComponentType: string, M: number, N = M, K = M) => ({
    ...{ componentType, resultComponentType, M, N, K },
  });
  const sizes = { subgroupMinSize: 32, subgroupMaxSize: 32 };
  const f32 = config('f16', 'f32', 8);
  const of = (...subgroupMatrixConfigs: ReturnType<typeof config>[]) => subgroupMatrixOf({ ...sizes, subgroupMatrixConfigs });
  expect(of(f32, config('f16', 'f32', 16), config('f16', 'f32', 32, 8, 16))).toEqual({ side: 16, lanes: 32 });
  expect(of(config('f16', 'f16', 8), config('u8', 'u32', 8), config('f16', 'f32', 16, 8, 16))).toBeUndefined();
  expect(subgroupMatrixOf({ ...sizes, subgroupMinSize: 16, subgroupMatrixConfigs: [f32] })).toBeUndefined();
  expect(subgroupMatrixOf({})).toBeUndefined();
  const wants = { ...variant('matrix', 0), matrix: { side: 8, lanes: 32 } };
  expect(lacks(wants, { ...gpu, matrix: of(f32) })).toBeUndefined();
  expect(lacks(wants, gpu)).toBe('subgroup matrices of 8 on 32 threads');
  expect(lacks(wants, { ...gpu, matrix: { side: 8, lanes: 8 } })).toBe('subgroup matrices of 8 on 32 threads');
});
