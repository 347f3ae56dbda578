/**
 * Plan. On SwiftShader, with a cache folder of its own:
 *  - tune measures every applicable variant, finds none wrong, and leaves no tuning in use and no memory behind;
 *  - a tuning in use decides what is dispatched, for its shapes alone; one that cannot run is passed over; results stay right;
 *  - scratch of a variant with two passes: results right when launches follow each other within one submit;
 *  - saved and loaded it is the same; none saved is undefined; a broken file, another adapter, a backend without variants: errors.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { elementwise } from '@eagrl/kernels';
import { assertClose, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Backend, Slice } from './backend.ts';
import { openDevice } from './device.ts';
import { normals } from './rng.ts';
import { loadTuning, matmulRequest, saveTuning, type Tuning, tune, useTuning } from './tuning.ts';

let backend: Backend;
const cache = mkdtempSync(join(tmpdir(), 'eagrl-tuning-'));
const [m, n, k] = [60, 40, 96];
/** What the rules of matmul say for it on SwiftShader, and for eight k more. */
const byRules = 'quad';
const request = matmulRequest('nn', m, n, k);

beforeAll(async () => {
  backend = await openDevice({ device: 'webgpu-software' }); // its driver lies in the usual cache folder
  process.env.XDG_CACHE_HOME = cache;
});
afterAll(async () => {
  delete process.env.XDG_CACHE_HOME;
  rmSync(cache, { recursive: true });
  await backend.destroy();
});

const pick = (r = request) => backend.variants?.pick(r.spec, r.entry, r.params);
const tuning = (variant: string, key = `matmul_nn ${m}x${n}x${k}x1`): Tuning => ({
  version: 1,
  adapter: backend.info.adapter,
  shapes: [{ key, variant, ms: {}, wrong: [] }],
});

test('tune measures what can run and leaves nothing behind', async () => {
  const live = backend.stats.liveBytes;
  const made = await tune(backend, [request, matmulRequest('nt', 1, 16, 32)], 50);
  expect(backend.stats.liveBytes).toBe(live);
  expect(made.adapter).toBe(backend.info.adapter);
  const [square, row] = made.shapes;
  expect(square.key).toBe(`matmul_nn ${m}x${n}x${k}x1`);
  const names = backend.variants?.applicable(request.spec, request.entry, request.params) ?? [];
  expect(Object.keys(square.ms).sort()).toEqual([...names].sort());
  expect(names).toEqual(expect.arrayContaining(['default', 'quad', 'sliced_64x64']));
  expect(Object.keys(row.ms).sort()).toEqual(['default', 'gemv']);
  for (const { ms, wrong, variant } of made.shapes) {
    expect(wrong).toEqual([]);
    for (const t of Object.values(ms)) expect(t).toBeGreaterThan(0);
    expect(ms[variant]).toBeLessThanOrEqual(Math.min(...Object.values(ms)) / 0.95);
  }
  expect(pick()).toBe(byRules); // nothing is in use
});

test('a tuning in use decides, for its shapes alone, and what cannot run is passed over', async () => {
  useTuning(backend, tuning('sliced_64x64'));
  expect(pick()).toBe('sliced_64x64');
  expect(pick(matmulRequest('nn', m, n, k + 8))).toBe(byRules);
  useTuning(backend, tuning('gemv'));
  expect(pick()).toBe(byRules);
  useTuning(backend, tuning('no_such_variant'));
  expect(pick()).toBe(byRules);
});

test('chained products through split-K keep their scratch apart', async () => {
  const put = (length: number, stream: number): Slice => {
    const slice = { buffer: backend.alloc(length), offset: 0, length };
    backend.write(slice, normals(0, stream, length));
    return slice;
  };
  const unread = put(1, 9);
  const products = [0, 1, 2].map((i) => ({ c: put(m * n, 10 + i), a: put(m * k, 20 + i), b: put(k * n, 30 + i) }));
  const run = async (variant: string) => {
    useTuning(backend, tuning(variant));
    for (const { c, a, b } of products) backend.dispatch(request.spec, request.entry, [c, a, b, unread, unread], request.params);
    return Promise.all(products.map(({ c }) => backend.read(c, 'f32')));
  };
  const want = await run('default');
  const got = await run('sliced_64x64');
  got.forEach((values, i) => {
    assertClose(values, want[i], TOLERANCE.reduction);
  });
  expect(got).not.toEqual(want); // another order of sums: it did run
  expect(await run('sliced_64x64')).toEqual(got);
  for (const s of [unread, ...products.flatMap(Object.values)]) backend.free(s.buffer);
});

test('saved and loaded; a broken file, another adapter and a backend without variants are refused', async () => {
  expect(await loadTuning(backend)).toBeUndefined();
  const path = await saveTuning(tuning('tile_64x64'));
  expect(path.startsWith(cache)).toBe(true);
  expect(await loadTuning(backend)).toEqual(tuning('tile_64x64'));
  for (const text of ['{', '{"version": 2}', 'null', '{"version": 1, "adapter": "x", "shapes": [{}]}']) {
    writeFileSync(path, text);
    await expect(loadTuning(backend)).rejects.toThrow('is no tuning of version 1');
  }
  expect(() => useTuning(backend, { ...tuning('tile_64x64'), adapter: 'another' })).toThrow("measured on 'another'");
  const wasm = await openDevice({ device: 'wasm', threads: 1 });
  expect(() => useTuning(wasm, tuning('tile_64x64'))).toThrow('wasm has one way');
  await expect(tune(wasm, [request], 10)).rejects.toThrow('wasm has one way');
  await wasm.destroy();
  await expect(tune(backend, [request], 0)).rejects.toThrow('expected more than 0');
  const none = { spec: elementwise, entry: 'add', params: { n: 4 } };
  await expect(tune(backend, [none], 10)).rejects.toThrow('no variants to choose from');
});
