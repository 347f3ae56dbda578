/**
 * What a step costs the queue, on the software adapter. Plan: the pool gives equal requests equal buffers, and shorter ones those of longer;
 * a repeated step makes no buffer and no bind group, whatever order memory was given back in; packs of other lengths make none either once the
 * longest was seen. Submits: the first after a wait is small, none holds more work than its bound. Order of a copy within one buffer and a write.
 */
import { type KernelSpec, softmax } from '@eagrl/kernels';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Backend, DeviceBuffer, Slice } from '../backend.ts';
import { openDevice } from '../device.ts';
import { FreeList, type Memory, sizeClass } from './webgpu_memory.ts';

const all = (buffer: DeviceBuffer): Slice => ({ buffer, offset: 0, length: buffer.length });

describe('free list', () => {
  const memory = (id: number, bytes: number) => ({ id, bytes }) as Memory;
  const listOf = (...given: Memory[]) => {
    const list = new FreeList();
    for (const m of given) list.give(m);
    return list;
  };
  const ids = (list: FreeList, bytes: number) => {
    const taken: number[] = [];
    for (let m = list.take(bytes); m; m = list.take(bytes)) taken.push(m.id);
    return taken;
  };

  test('the lowest id first, whatever the order they came in', () => {
    expect(ids(listOf(...[3, 1, 4, 2].map((id) => memory(id, 1024))), 1024)).toEqual([1, 2, 3, 4]);
  });

  test('the smallest that fits, up to half as large again', () => {
    const sizes = [1024, 1280, 1536, 1792];
    for (const s of sizes) expect(sizeClass(s)).toBe(s);
    const list = listOf(...sizes.map((bytes, i) => memory(sizes.length - i, bytes)));
    expect(list.has(1024)).toBe(true);
    expect(ids(list, 1024)).toEqual([4, 3, 2]);
    expect(list.has(1024)).toBe(false);
    expect(list.all()).toEqual([memory(1, 1792)]);
  });

  test('what is removed is not found again', () => {
    const [a, b] = [memory(1, 256), memory(2, 256)];
    const list = listOf(a, b);
    list.remove(a);
    expect(ids(list, 256)).toEqual([2]);
  });
});

describe('webgpu', () => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openDevice({ device: 'webgpu-software' });
  });
  afterAll(() => backend.destroy());

  /** Five tensors of a step, four launches, given back in the order `free`. */
  const step = (rows: number, free: readonly number[]) => {
    const cols = 64;
    const buffers = [1, 1, 1, 1, 2].map((n) => backend.alloc(n * rows * cols));
    for (let i = 0; i < 4; i++) {
      const [x, y] = [buffers[i], buffers[i + 1]];
      backend.dispatch(softmax, 'softmax_fwd', [{ ...all(y), length: rows * cols }, all(x)], { rows, cols });
    }
    for (const i of free) backend.free(buffers[i]);
  };
  const ORDERS = [
    [0, 1, 2, 3, 4],
    [4, 2, 0, 3, 1],
    [3, 4, 1, 0, 2],
  ];

  test('a step that is repeated makes no buffer and no bind group', async () => {
    step(20, ORDERS[0]);
    const { buffersCreated } = backend.stats;
    const made = vi.spyOn(GPUDevice.prototype, 'createBindGroup');
    for (let i = 0; i < 12; i++) step(20, ORDERS[i % 3]);
    expect(made).not.toHaveBeenCalled();
    expect(backend.stats.buffersCreated).toBe(buffersCreated);
    for (let i = 0; i < 12; i++) step(19 - (i % 4), ORDERS[i % 3]);
    expect(backend.stats.buffersCreated).toBe(buffersCreated);
    // Tensors that are all of their buffer share; the slice of the last is as long as its rows.
    expect(made.mock.calls.length).toBeLessThanOrEqual(4);
    made.mockRestore();
    await backend.sync();
  });

  test('the first submit after a wait is small, later ones are not', async () => {
    await backend.sync();
    const [x, y] = [backend.alloc(64), backend.alloc(64)];
    const submits = (dispatches: number) => {
      const before = backend.stats.submits;
      for (let i = 0; i < dispatches; i++) backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], { rows: 1, cols: 64 });
      return backend.stats.submits - before;
    };
    expect(submits(63)).toBe(0);
    expect(submits(1)).toBe(1);
    expect(submits(255)).toBe(0);
    expect(submits(1)).toBe(1);
    expect(submits(1024)).toBe(1);
    await backend.read(all(y), 'f32');
    expect(submits(64)).toBe(1);
    for (const b of [x, y]) backend.free(b);
    await backend.sync();
  });

  test('no submit has more work than a weak device does in a second, until it has shown that it is not weak', async () => {
    const entry = { ...softmax.entries.softmax_fwd, flops: () => 0.7e11 };
    const heavy: KernelSpec = { ...softmax, entries: { softmax_fwd: entry } };
    const [x, y] = [backend.alloc(64), backend.alloc(64)];
    const launch = () => backend.dispatch(heavy, 'softmax_fwd', [all(y), all(x)], { rows: 1, cols: 64 });
    const submits = () => {
      const before = backend.stats.submits;
      for (let i = 0; i < 12; i++) launch();
      return backend.stats.submits - before;
    };
    expect(submits()).toBe(4);
    await backend.sync(); // one that does 8.4e11 operations in no time is not weak
    expect(submits()).toBe(0);
    const timed = await backend.deviceTime?.(() => {
      for (let i = 0; i < 12; i++) launch();
    });
    expect(timed).toBeGreaterThanOrEqual(0);
    for (const b of [x, y]) backend.free(b);
  });

  test('a copy within one buffer reads what was there before a later write, however full the pool is', async () => {
    const MIB = 2 ** 18; // elements
    const b = backend.alloc(20 * MIB);
    const [low, high] = [0, 10 * MIB].map((offset): Slice => ({ buffer: b, offset, length: 10 * MIB }));
    // Sizes that do not serve each other, so that the copy's way station is made and the pool gives memory back for it.
    for (const mib of [90, 40, 20]) backend.free(backend.alloc(mib * MIB));
    const { pooledBytes } = backend.stats;
    backend.write(low, new Float32Array(10 * MIB).fill(1));
    const one = backend.alloc(64);
    backend.dispatch(softmax, 'softmax_fwd', [all(one), { buffer: b, offset: 0, length: 64 }], { rows: 1, cols: 64 });
    backend.copy(high, low);
    expect(backend.stats.pooledBytes).toBeLessThan(pooledBytes);
    backend.write(low, new Float32Array(10 * MIB).fill(2));
    expect((await backend.read({ ...high, length: 4 }, 'f32'))[0]).toBe(1);
    for (const x of [b, one]) backend.free(x);
  });

  test('memory for reads is given back', async () => {
    const b = backend.alloc(2 ** 25);
    await Promise.all([1, 2, 3].map(() => backend.read(all(b), 'f32')));
    backend.free(b);
    expect(backend.stats.pooledBytes).toBeLessThan(5 * 2 ** 26);
  });
});
