/**
 * Plan. One conformance suite for reference, wasm (1 and 3 threads) and webgpu on the software adapter: memory, bits, slices,
 * order of write / dispatch / copy / read, every kernel compiles, a chain of 1,000 launches against the reference, re-use of memory, refusals.
 * Then what only one backend can do: equal bits for any number of threads, addresses above 2 GiB, out of memory, a kernel that
 * traps, workers and memory that the system does not give (wasm); a shader that does not compile (webgpu); the switches.
 * Recorded work (webgpu): a replay computes anew from what its memory holds now, keeps its own memory from others, runs in as many submits as it
 * needs, is refused once memory is freed or variants change, and gives back what it took; what a recording may not hold is an error.
 */
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as kernels from '@eagrl/kernels';
import { type KernelSpec, softmax } from '@eagrl/kernels';
import { assertClose, Random, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Backend, DeviceBuffer, Slice } from '../backend.ts';
import { readSwitches } from '../debug.ts';
import { type DeviceOptions, openDevice } from '../device.ts';
import { DeviceError } from '../errors.ts';
import { loadPlatform } from '../platform/platform.ts';
import { WasmBackend } from './wasm.ts';

const all = (buffer: DeviceBuffer): Slice => ({ buffer, offset: 0, length: buffer.length });
const part = (buffer: DeviceBuffer, offset: number, length: number): Slice => ({ buffer, offset, length });

/** A buffer that holds `values`. */
function filled(backend: Backend, values: Float32Array | Uint32Array): DeviceBuffer {
  const buffer = backend.alloc(values.length);
  backend.write(all(buffer), values);
  return buffer;
}

/** A softmax spec with other functions in place of its own. */
const changed = (name: 'softmax_fwd' | 'softmax_bwd', entry: object, spec: object = {}): KernelSpec => ({
  ...softmax,
  ...spec,
  entries: { [name]: { ...softmax.entries[name], ...entry } },
});

const devices: [string, DeviceOptions][] = [
  ['reference', { device: 'reference' }],
  ['wasm threads=1', { device: 'wasm', threads: 1 }],
  ['wasm threads=3', { device: 'wasm', threads: 3 }],
  ['webgpu-software', { device: 'webgpu-software' }],
];

describe.each(devices)('%s', (_, options) => {
  let backend: Backend;
  beforeAll(async () => {
    backend = await openDevice(options);
  });
  afterAll(() => backend.destroy());

  test('opens as what was asked', () => {
    expect(backend.kind).toBe(options.device === 'webgpu-software' ? 'webgpu' : options.device);
    expect(backend.info.adapter).not.toBe('');
    if (options.threads) expect(backend.info.threads).toBe(options.threads);
  });

  test('write and read give the same bits', async () => {
    const floats = Float32Array.from([0, -0, 1.5, 3.4028235e38, 1e-40, Number.POSITIVE_INFINITY, Number.NaN]);
    const words = Uint32Array.from([0, 1, 0x7fc0dead, 0x80000000, 0xffffffff]);
    const f = filled(backend, floats);
    const w = filled(backend, words);
    const got = await backend.read(all(f), 'f32');
    expect(got).toEqual(floats);
    expect(await backend.read(all(w), 'u32')).toEqual(words);
    got[0] = 7; // what is read is the caller's
    expect((await backend.read(all(f), 'f32'))[0]).toBe(0);
    backend.free(f);
    backend.free(w);
  });

  test('slices leave the rest alone; shared memory can be written', async () => {
    const b = filled(backend, new Float32Array(300).fill(9));
    const shared = new Float32Array(new SharedArrayBuffer(8));
    shared.set([1, 2]);
    backend.write(part(b, 128, 2), shared);
    backend.write(part(b, 0, 0), new Float32Array(0));
    expect(Array.from(await backend.read(part(b, 126, 6), 'f32'))).toEqual([9, 9, 1, 2, 9, 9]);
    expect((await backend.read(part(b, 300, 0), 'f32')).length).toBe(0);
    backend.free(b);
  });

  test('write, dispatch, copy and read keep their order', async () => {
    const params = { rows: 2, cols: 33 };
    const r = new Random('order');
    const first = r.normals(66);
    const second = r.normals(66);
    const x = filled(backend, first);
    const y = backend.alloc(66);
    const kept = backend.alloc(66);
    const { submits } = backend.stats;
    backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], params);
    backend.copy(all(kept), all(y));
    backend.write(all(x), second);
    backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], params);
    // On WebGPU an upload goes along with the work that is queued: only reads hand it over.
    expect(backend.stats.submits - submits).toBe(0);
    const early = backend.read(all(kept), 'f32');
    backend.write(all(kept), new Float32Array(66));
    backend.write(all(x), new Float32Array(66));
    const late = backend.read(all(y), 'f32');
    const want = (values: Float32Array) => {
      const out = new Float64Array(66);
      softmax.ref.softmax_fwd({ y: out, x: Float64Array.from(values) }, params);
      return out;
    };
    assertClose(await early, want(first), TOLERANCE.transcendental);
    assertClose(await late, want(second), TOLERANCE.transcendental);
    for (const b of [x, y, kept]) backend.free(b);
  });

  test('uploads larger than what one submit carries keep their order too', async () => {
    const n = 900_000; // 3.6 MB: the second does not fit beside the first
    const x = filled(backend, new Float32Array(n).fill(1));
    const sums = [1, 2, 3].map((value) => {
      const kept = backend.alloc(n);
      backend.copy(all(kept), all(x));
      backend.write(all(x), new Float32Array(n).fill(value + 1));
      return kept;
    });
    const last = await backend.read(part(x, n - 2, 2), 'f32');
    expect([...last]).toEqual([4, 4]);
    for (const [i, kept] of sums.entries()) expect([...(await backend.read(part(kept, 0, 2), 'f32'))]).toEqual([i + 1, i + 1]);
    for (const b of [x, ...sums]) backend.free(b);
  });

  test('copy within one buffer', async () => {
    const b = filled(
      backend,
      Float32Array.from({ length: 256 }, (_, i) => i),
    );
    backend.copy(part(b, 192, 64), part(b, 0, 64));
    const got = await backend.read(all(b), 'f32');
    expect(Array.from(got)).toEqual(Array.from({ length: 256 }, (_, i) => (i < 192 ? i : i - 192)));
    expect(() => backend.copy(part(b, 10, 20), part(b, 0, 20))).toThrow(/may not overlap/);
    expect(() => backend.copy(part(b, 10, 20), part(b, 64, 21))).toThrow(/21 elements into 20/);
    backend.free(b);
  });

  test('two parts of one buffer as inputs, a part of another as output', async () => {
    const params = { rows: 3, cols: 21 };
    const r = new Random('parts');
    const dy = r.normals(63);
    const y = r.uniforms(63);
    const inputs = backend.alloc(128);
    const output = filled(backend, new Float32Array(192).fill(5));
    backend.write(part(inputs, 0, 63), dy);
    backend.write(part(inputs, 64, 63), y);
    backend.dispatch(softmax, 'softmax_bwd', [part(output, 64, 63), part(inputs, 0, 63), part(inputs, 64, 63)], params);
    const dx = new Float64Array(63);
    softmax.ref.softmax_bwd({ dx, dy: Float64Array.from(dy), y: Float64Array.from(y) }, params);
    const got = await backend.read(all(output), 'f32');
    assertClose(got.subarray(64, 127), dx, TOLERANCE.reduction);
    expect(new Set([...got.subarray(0, 64), ...got.subarray(127)])).toEqual(new Set([5]));
    backend.free(inputs);
    backend.free(output);
  });

  test('a chain of 1000 dispatches equals the reference and allocates nothing', async () => {
    const params = { rows: 3, cols: 17 };
    const start = new Random('chain').normals(51, 4);
    const pair = [filled(backend, start), backend.alloc(51)];
    const { buffersCreated, dispatches } = backend.stats;
    let a = Float64Array.from(start);
    for (let i = 0; i < 1000; i++) {
      const [x, y] = i % 2 ? [pair[1], pair[0]] : pair;
      backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], params);
      const next = new Float64Array(51);
      softmax.ref.softmax_fwd({ y: next, x: a }, params);
      a = next;
    }
    assertClose(await backend.read(all(pair[0]), 'f32'), a, TOLERANCE.reduction);
    expect(backend.stats.buffersCreated).toBe(buffersCreated);
    expect(backend.stats.dispatches).toBe(dispatches + 1000);
    for (const b of pair) backend.free(b);
  });

  test('steps of equal shape re-use memory; live bytes return to their start', async () => {
    const step = () => {
      const buffers = [5, 700, 33, 4097].map((n) => backend.alloc(n));
      backend.write(part(buffers[0], 0, 5), Float32Array.of(1, 2, 3, 4, 5));
      backend.dispatch(softmax, 'softmax_fwd', [all(buffers[1]), all(buffers[0])], { rows: 1, cols: 5 });
      for (const b of buffers) backend.free(b);
    };
    const live = backend.stats.liveBytes;
    step();
    const { buffersCreated, peakBytes } = backend.stats;
    for (let i = 0; i < 20; i++) step();
    await backend.sync();
    expect(backend.stats.liveBytes).toBe(live);
    expect(backend.stats.peakBytes).toBe(peakBytes);
    expect(peakBytes).toBeGreaterThanOrEqual((5 + 700 + 33 + 4097) * 4);
    if (backend.kind === 'webgpu') expect(backend.stats.buffersCreated).toBe(buffersCreated);
  });

  test('a launch over no rows does nothing, empty slices can be bound', async () => {
    const none = backend.alloc(0);
    const y = backend.alloc(0);
    backend.dispatch(softmax, 'softmax_fwd', [all(y), all(none)], { rows: 0, cols: 4 });
    await backend.sync();
    backend.free(none);
    backend.free(y);
  });

  test('refuses wrong launches by name, before any work', async () => {
    const a = filled(backend, new Float32Array(256));
    const b = backend.alloc(128);
    const run = (slices: Slice[], params: object = { rows: 1, cols: 100 }, entry = 'softmax_fwd') =>
      backend.dispatch(softmax, entry, slices, params as Record<string, number>);
    expect(() => run([all(b), all(a)], {}, 'softmax')).toThrow(/no entry 'softmax'.*softmax_fwd, softmax_bwd/);
    expect(() => run([all(b)])).toThrow(/softmax_fwd: 1 slices; expected 2: y, x/);
    expect(() => run([all(b), all(a)], { rows: 1 })).toThrow(/param 'cols' is undefined/);
    expect(() => run([all(b), all(a)], { rows: 1, cols: Number.NaN })).toThrow(/param 'cols' is NaN/);
    expect(() => run([all(b), all(a)], { rows: 2, cols: 100 })).toThrow(/'y' needs 200 f32 elements, got 128/);
    expect(() => run([all(b), part(a, 1, 100)])).toThrow(/'x' starts at element 1; expected a multiple of 64/);
    expect(() => run([all(b), part(a, 192, 100)])).toThrow(/'x': elements 192..292 of buffer \d+, which has 256/);
    expect(() => run([part(a, 0, 100), part(a, 128, 100)])).toThrow(/'y' is written and 'x' is the same buffer/);
    expect(() => backend.write(all(b), new Float32Array(3))).toThrow(/3 values into a slice of 128/);
    expect(() => backend.alloc(1.5)).toThrow(/length 1.5/);
    backend.free(b);
    expect(() => run([all(b), all(a)])).toThrow(/'y': buffer \d+ was freed/);
    expect(() => backend.free(b)).toThrow(DeviceError);
    const other = await openDevice({ device: 'reference' });
    expect(() => run([all(other.alloc(100)), all(a)])).toThrow(/belongs to another device/);
    expect(new Set(await backend.read(all(a), 'f32'))).toEqual(new Set([0]));
    backend.free(a);
  });

  test('every kernel compiles, with the bindings and exports that its spec names', async () => {
    const specs: KernelSpec[] = Object.values(kernels).filter((v) => typeof v === 'object' && 'wgsl' in v);
    expect(specs).toContain(softmax);
    await backend.prepare(specs);
    await backend.sync();
  }, 300_000); // some 200 pipelines on SwiftShader: 30 s on two quiet cores, 90 s on busy ones
});

describe('wasm', () => {
  /** What `open` gives where no shared memory may have more than `most` pages. */
  async function withReservable<T>(most: number, open: () => Promise<T>): Promise<T> {
    const { Memory } = WebAssembly;
    const limited = class extends Memory {
      constructor(descriptor: WebAssembly.MemoryDescriptor) {
        if ((descriptor.maximum ?? 0) > most) throw new RangeError('could not allocate memory');
        super(descriptor);
      }
    };
    Object.assign(WebAssembly, { Memory: limited });
    try {
      return await open();
    } finally {
      Object.assign(WebAssembly, { Memory });
    }
  }

  /** Two phases on random input, large enough to be split. */
  const run = async (threads: number) => {
    const backend = await openDevice({ device: 'wasm', threads });
    const [rows, cols] = [301, 257];
    const x = filled(backend, new Random('threads').normals(rows * cols, 2));
    const y = backend.alloc(rows * cols);
    const dx = backend.alloc(rows * cols);
    for (let i = 0; i < 50; i++) {
      backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], { rows, cols });
      backend.dispatch(softmax, 'softmax_bwd', [all(dx), all(x), all(y)], { rows, cols });
    }
    const bits = await backend.read(all(dx), 'u32');
    const { submits } = backend.stats;
    const rowsOfProfile = backend.profile?.() ?? [];
    await backend.destroy();
    return { bits, submits, rowsOfProfile };
  };

  test('1, 2 and 5 threads give the same bits; the profile counts launches', async () => {
    const one = await run(1);
    expect(one.submits).toBe(0);
    for (const threads of [2, 5]) {
      const more = await run(threads);
      expect(more.submits).toBe(100);
      expect(more.bits).toEqual(one.bits);
      expect(more.rowsOfProfile.map((r) => [r.entry, r.count]).sort()).toEqual([
        ['softmax_bwd', 50],
        ['softmax_fwd', 50],
      ]);
    }
  });

  test('thousands of tiny jobs over 4 threads, each with its own result', async () => {
    const backend = await openDevice({ device: 'wasm', threads: 4 });
    const split = changed('softmax_bwd', { flops: () => 1e9, phases: [{ export: 'softmax_bwd', work: () => 8, grain: () => 1 }] });
    const n = 8 * 4;
    const dy = backend.alloc(n);
    const y = filled(backend, new Float32Array(n).fill(1));
    const dx = backend.alloc(n);
    for (let i = 0; i < 4000; i++) {
      // row r of dy: (i + r, 0, 0, 0), y = 1: dx = dy - (i + r)
      const values = Float32Array.from({ length: n }, (_, k) => (k % 4 ? 0 : i + (k >> 2)));
      backend.write(all(dy), values);
      backend.dispatch(split, 'softmax_bwd', [all(dx), all(dy), all(y)], { rows: 8, cols: 4 });
      const got = await backend.read(all(dx), 'f32');
      if (!got.every((v, k) => v === values[k] - (i + (k >> 2)))) throw new Error(`launch ${i}: ${got}`);
    }
    expect(backend.stats.submits).toBe(4000);
    await backend.destroy();
  });

  test('buffers above 2 GiB', async () => {
    const backend = await openDevice({ device: 'wasm', threads: 2 });
    const low = backend.alloc(600 * 2 ** 20); // 2.3 GiB, never touched
    const [rows, cols] = [64, 256];
    const values = new Random('high').normals(rows * cols);
    const x = filled(backend, values);
    const y = backend.alloc(rows * cols);
    backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], { rows, cols });
    const want = new Float64Array(rows * cols);
    softmax.ref.softmax_fwd({ y: want, x: Float64Array.from(values) }, { rows, cols });
    assertClose(await backend.read(all(y), 'f32'), want, TOLERANCE.transcendental);
    expect(() => backend.alloc(2 ** 29)).toThrow(/no memory for 2048\.0 MiB; 2400\.1 MiB are live of at most 4\d+\.\d MiB/);
    backend.free(low);
    backend.free(backend.alloc(2 ** 29)); // the room is there again, and in one piece
    await backend.destroy();
  });

  test.each([1, 3])('a kernel that traps takes the device down, threads=%i', async (threads) => {
    const backend = await openDevice({ device: 'wasm', threads });
    const x = backend.alloc(64);
    const lying = changed('softmax_fwd', { size: () => ({ y: 64, x: 64 }) });
    expect(() => backend.dispatch(lying, 'softmax_fwd', [all(backend.alloc(64)), all(x)], { rows: 40_000, cols: 60_000 })).toThrow(
      /kernel softmax\/softmax_fwd stopped: .*out of bounds/,
    );
    expect(await backend.lost).toMatch(/softmax_fwd stopped/);
    expect(() => backend.alloc(1)).toThrow(DeviceError);
    await expect(backend.read(all(x), 'f32')).rejects.toThrow(/device is gone/);
    await backend.destroy();
  });

  test.each([
    [65_535, /2048\.0 MiB; 0\.0 MiB are live of at most 2043\.7 MiB/],
    [16_384, /2048\.0 MiB; 0\.0 MiB are live of at most 1019\.7 MiB/],
  ])('a process that may reserve %i pages', async (most, message) => {
    const backend = await withReservable(most, () => openDevice({ device: 'wasm', threads: 1 }));
    expect(() => backend.alloc(2 ** 29)).toThrow(message);
    backend.free(backend.alloc(2 ** 27));
    expect(backend.info.maxBufferBytes).toBeLessThanOrEqual(most * 65_536);
    await backend.destroy();
  });

  test('a process that may reserve nothing', async () => {
    const opening = withReservable(0, () => openDevice({ device: 'wasm', threads: 1 }));
    await expect(opening).rejects.toThrow(DeviceError);
    await expect(opening).rejects.toThrow(/expected address space for a shared memory of 1 GiB at least, .* \(ulimit -v\)/);
  });

  test('where a worker does not start, those that did end', async () => {
    const platform = await loadPlatform();
    let [started, ended] = [0, 0];
    const startWorker: typeof platform.startWorker = async (...args) => {
      if (++started === 2) throw new Error('no more threads');
      const worker = await platform.startWorker(...args);
      return {
        terminate: async () => {
          await worker.terminate();
          ended++;
        },
      };
    };
    await expect(WasmBackend.open({ ...platform, startWorker }, 5, readSwitches())).rejects.toThrow(
      'wasm: 4 worker thread(s) did not start: no more threads; try threads: 1',
    );
    expect([started, ended]).toEqual([4, 3]);
  });

  test('a module without the export is refused', async () => {
    const backend = await openDevice({ device: 'wasm', threads: 1 });
    const spec = changed('softmax_fwd', { work: undefined, phases: [{ export: 'nothing', work: () => 1 }] });
    const b = () => all(backend.alloc(4));
    expect(() => backend.dispatch(spec, 'softmax_fwd', [b(), b()], { rows: 1, cols: 4 })).toThrow(/exports no 'nothing'/);
    await backend.destroy();
  });
});

describe('webgpu', () => {
  const broken = changed('softmax_fwd', {}, { wgsl: 'alias elem = f32;\nfn softmax_fwd( {' });

  test('prepare says which shader does not compile, the device lives on', async () => {
    const backend = await openDevice({ device: 'webgpu-software' });
    await expect(backend.prepare([broken])).rejects.toThrow(/does not compile: softmax\/softmax_fwd: .*:2:\d+ error/s);
    backend.free(backend.alloc(4));
    await backend.sync();
    await backend.destroy();
  });

  test('deviceTime measures what dispatches take, and takes nothing else', async () => {
    const backend = await openDevice({ device: 'webgpu-software' });
    const deviceTime = backend.deviceTime?.bind(backend);
    if (!deviceTime) throw new Error(`SwiftShader has timestamp-query; this adapter has ${backend.info.features.join(', ')}`);
    const [rows, cols] = [64, 256];
    const x = filled(backend, new Float32Array(rows * cols).fill(1));
    const y = backend.alloc(rows * cols);
    const launch = (times: number) => () => {
      for (let i = 0; i < times; i++) backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], { rows, cols });
    };
    await backend.sync();
    await deviceTime(launch(1)); // compiles
    const start = performance.now();
    const ms = await deviceTime(launch(50));
    expect(ms).toBeGreaterThan(0);
    expect(ms).toBeLessThanOrEqual(performance.now() - start);
    expect((await backend.read(part(y, 0, 1), 'f32'))[0]).toBeCloseTo(1 / cols, 6);
    await expect(deviceTime(() => backend.copy(all(y), all(x)))).rejects.toThrow('takes dispatches only');
    await expect(deviceTime(launch(1024))).rejects.toThrow('at most 1023');
    await backend.destroy();
  });

  test('an invalid dispatch loses the device; calls after it say why', async () => {
    const backend = await openDevice({ device: 'webgpu-software' });
    const b = () => all(backend.alloc(64));
    const y = b();
    backend.dispatch(broken, 'softmax_fwd', [y, b()], { rows: 1, cols: 64 });
    await expect(backend.read(y, 'f32')).rejects.toThrow(/device is gone: ValidationError: .*softmax/s);
    expect(await backend.lost).toMatch(/softmax/);
    expect(() => backend.alloc(4)).toThrow(DeviceError);
    await backend.destroy();
  });

  test('a buffer that no binding can hold is refused with the limit', async () => {
    const backend = await openDevice({ device: 'webgpu-software' });
    expect(() => backend.alloc(2 ** 33)).toThrow(/bytes asked; this adapter binds at most \d+ at once/);
    await backend.destroy();
  });

  test('lengths that keep changing do not pile up in the pool', async () => {
    const backend = await openDevice({ device: 'webgpu-software' });
    const x = filled(backend, new Float32Array(64));
    for (let mib = 2; mib <= 80; mib += 3) {
      const b = backend.alloc(mib * 2 ** 18);
      backend.dispatch(softmax, 'softmax_fwd', [all(b), all(x)], { rows: 1, cols: 64 });
      backend.free(b);
    }
    const { pooledBytes, peakBytes } = backend.stats;
    expect(pooledBytes).toBeLessThanOrEqual((64 << 20) + peakBytes);
    await backend.sync();
    await backend.destroy();
  });
});

describe('recorded work', () => {
  const [rows, cols] = [3, 64];
  const params = { rows, cols };
  let backend: Backend;
  beforeAll(async () => {
    backend = await openDevice({ device: 'webgpu-software' });
  });
  afterAll(() => backend.destroy());

  const record = (work: () => void) => {
    if (!backend.record) throw new Error('webgpu without record');
    return backend.record(work);
  };
  /** y = softmax of softmax of x, by way of memory of its own, and a copy of y at z. */
  const twice = (x: DeviceBuffer, y: DeviceBuffer, z: DeviceBuffer) => () => {
    const between = backend.alloc(rows * cols);
    backend.dispatch(softmax, 'softmax_fwd', [all(between), all(x)], params);
    backend.dispatch(softmax, 'softmax_fwd', [all(y), all(between)], params);
    backend.free(between);
    backend.copy(all(z), all(y));
  };
  const buffers = () => [0, 1, 2].map(() => backend.alloc(rows * cols)) as [DeviceBuffer, DeviceBuffer, DeviceBuffer];
  const numbers = (seed: string) => new Random(seed).normals(rows * cols, 3);

  test('a replay has the bits of a run on what its memory holds then, and counts as one', async () => {
    const [x, y, z] = buffers();
    backend.write(all(x), numbers('first'));
    const recording = record(twice(x, y, z));
    const { dispatches, flops } = backend.stats;
    // What the recording frees within itself is nobody else's.
    const others = Array.from({ length: 8 }, (_, i) => filled(backend, new Float32Array(rows * cols).fill(i)));
    backend.write(all(x), numbers('second'));
    expect(recording.replay(5)).toBe(true);
    expect([backend.stats.dispatches - dispatches, backend.stats.flops - flops]).toEqual([
      2,
      5 + 2 * softmax.entries.softmax_fwd.flops(params),
    ]);
    const got = [await backend.read(all(y), 'f32'), await backend.read(all(z), 'f32')];
    twice(x, y, z)();
    const want = await backend.read(all(y), 'f32');
    expect(got).toEqual([want, want]);
    for (const [i, other] of others.entries()) expect(new Set(await backend.read(all(other), 'f32'))).toEqual(new Set([i]));
    for (const b of [x, y, z, ...others]) backend.free(b);
    recording.destroy();
  });

  test('more dispatches than a submit takes, and a write in between', async () => {
    const [x, y] = buffers();
    backend.write(all(x), numbers('many'));
    const recording = record(() => {
      for (let i = 0; i < 350; i++) {
        backend.dispatch(softmax, 'softmax_fwd', [all(y), all(x)], params);
        backend.dispatch(softmax, 'softmax_fwd', [all(x), all(y)], params);
      }
    });
    backend.write(all(x), numbers('other'));
    recording.replay();
    backend.write(all(y), numbers('third'));
    const flat = await backend.read(all(x), 'f32');
    assertClose(flat, new Float32Array(rows * cols).fill(1 / cols), { ...TOLERANCE.transcendental, label: 'softmax of softmax of …' });
    expect(await backend.read(all(y), 'f32')).toEqual(numbers('third'));
    recording.destroy();
  });

  test('is refused once memory that it names is freed, once variants change, and after its end', () => {
    const [x, y, z] = buffers();
    const recording = record(twice(x, y, z));
    expect(recording.replay()).toBe(true);
    backend.variants?.use(new Map());
    expect(recording.replay()).toBe(false);
    const next = record(twice(x, y, z));
    backend.free(z);
    expect(next.replay()).toBe(false);
    for (const r of [recording, next]) r.destroy();
    next.destroy();
    const last = record(twice(x, y, x));
    last.destroy();
    expect(last.replay()).toBe(false);
  });

  test('gives back its memory', () => {
    const [x, y, z] = buffers();
    const { liveBytes } = backend.stats;
    record(twice(x, y, z)).destroy();
    expect(backend.stats.liveBytes).toBe(liveBytes);
    const { buffersCreated } = backend.stats;
    const recording = record(twice(x, y, z));
    expect(backend.stats.buffersCreated).toBe(buffersCreated);
    expect(backend.stats.liveBytes).toBe(liveBytes + 4 * rows * cols);
    recording.destroy();
  });

  test('what it may not hold', async () => {
    const [x] = buffers();
    const refused: [() => void, RegExp][] = [
      [() => backend.write(all(x), numbers('x')), /write: not while work is being recorded/],
      [() => record(() => {}), /record: not while work is being recorded/],
      [() => void backend.alloc(4), /record: 1 buffers were allocated and not freed/],
    ];
    for (const [work, message] of refused) expect(() => record(work)).toThrow(message);
    let read: Promise<unknown> = Promise.resolve();
    record(() => {
      read = backend.read(all(x), 'f32');
    });
    await expect(read).rejects.toThrow(/read: not while work is being recorded/);
    expect(await backend.read(all(x), 'f32')).toHaveLength(rows * cols);
  });
});

describe('openDevice', () => {
  test('refuses what does not exist', async () => {
    await expect(openDevice({ device: 'cuda' as 'wasm' })).rejects.toThrow(
      /device 'cuda' does not exist; use one of auto, webgpu, wasm, webgpu-software/,
    );
    await expect(openDevice({ device: 'wasm', threads: 0 })).rejects.toThrow(/threads: expected a whole number from 1 to 256, got 0/);
  });

  test('auto never takes a software adapter', async () => {
    const software = await openDevice({ device: 'webgpu-software' }); // now SwiftShader is a driver of this process
    const backend = await openDevice({ device: 'auto' });
    expect(backend.info.adapter).not.toMatch(/swiftshader|llvmpipe/i);
    await backend.destroy();
    await software.destroy();
  });
});

describe('switches', () => {
  const withEnv = async (env: Record<string, string>, body: () => Promise<void>) => {
    Object.assign(process.env, env);
    try {
      await body();
    } finally {
      for (const key of Object.keys(env)) delete process.env[key];
    }
  };
  const launch = (backend: Backend, spec: KernelSpec, values: Float32Array) => {
    const y = backend.alloc(values.length);
    backend.dispatch(spec, 'softmax_fwd', [all(y), all(filled(backend, values))], { rows: 1, cols: values.length });
  };

  test('EAGRL_VALIDATE finds a kernel that is off its reference', () =>
    withEnv({ EAGRL_VALIDATE: '1' }, async () => {
      const backend = await openDevice({ device: 'wasm', threads: 1 });
      launch(backend, softmax, Float32Array.of(1, 2, 3));
      const other = changed('softmax_fwd', {}, { ref: { softmax_fwd: ({ y }: { y: Float64Array }) => y.fill(1 / 3) } });
      expect(() => launch(backend, other, Float32Array.of(1, 2, 3))).toThrow(/softmax\/softmax_fwd: 'y' is off its reference by/);
      await backend.destroy();
    }));

  test.each(['wasm', 'reference', 'webgpu-software'] as const)('EAGRL_DEBUG=5 names the kernel whose output is NaN, %s', (device) =>
    withEnv({ EAGRL_DEBUG: '5' }, async () => {
      const lines = vi.spyOn(console, 'error').mockImplementation(() => {});
      const backend = await openDevice({ device, threads: 1 });
      const poison = Float32Array.of(1, Number.NaN, 3);
      // WGSL's max may drop a NaN, so one element or all of them
      const message = /softmax\/softmax_fwd: 'y' has [13] of 3 values not finite/;
      if (device === 'webgpu-software') {
        launch(backend, softmax, poison);
        expect(await backend.lost).toMatch(message);
      } else expect(() => launch(backend, softmax, poison)).toThrow(message);
      expect(lines.mock.calls.map(([text]) => text)).toEqual([
        expect.stringMatching(/^eagrl: \w+: .* thread\(s\)/),
        expect.stringMatching(/^eagrl: \w+ softmax\/softmax_fwd rows=1 cols=3/),
      ]);
      lines.mockRestore();
      await backend.destroy();
    }),
  );

  test('EAGRL_TRACE writes the time per entry point', () => {
    const file = join(tmpdir(), `eagrl-trace-${process.pid}.json`);
    return withEnv({ EAGRL_TRACE: file }, async () => {
      const backend = await openDevice({ device: 'wasm', threads: 1 });
      launch(backend, softmax, Float32Array.of(1, 2, 3));
      await backend.destroy();
      const { entries, device } = JSON.parse(readFileSync(file, 'utf8'));
      rmSync(file);
      expect(device.backend).toBe('wasm');
      expect(entries).toMatchObject([{ entry: 'softmax_fwd', count: 1 }]);
    });
  });
});
