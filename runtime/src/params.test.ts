/**
 * Plan. Property: whatever the shapes and the limit, parts hold each row once, in order, at multiples of 64 rows; no two share an element; each
 * buffer stays within the limit and is filled before the next begins; what is written whole or in pieces is what is read; gaps stay zero.
 * Groups lie side by side whatever stands between their members in the list, and are one parameter where no gap parts them.
 * With room enough there is one buffer, up to 256 MiB; a larger matrix has one to itself. A vector, or 64 rows, that exceed the limit are refused by name.
 * Layout, snapshots and errors of small stores: optim/adamw.test.ts.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReferenceBackend } from './backend/reference.ts';
import { Context } from './context.ts';
import { DeviceError } from './errors.ts';
import { withBinding } from './model/tiny.fixture.ts';
import { layOut, ParamStore } from './params.ts';
import { alignUp, sizeOf } from './tensor.ts';

/** toEqual takes seconds for some million numbers. */
const equal = (a: Float32Array | undefined, b: Float32Array): boolean => a?.length === b.length && a.every((v, i) => v === b[i]);

const ctx = new Context(new ReferenceBackend(0));

/** Matrices and vectors of up to some hundred rows of up to 9 columns; and a limit that holds 64 rows of them, or a vector. */
const shapes = fc.array(
  fc.oneof(
    fc.tuple(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 9 })),
    fc.integer({ min: 1, max: 500 }).map((n) => [n]),
  ),
  { minLength: 1, maxLength: 8 },
);

test('several parameters share at most 256 MiB; a larger matrix lies whole in a buffer of its own where the device binds it', () => {
  const spec = (name: string, ...shape: number[]) => ({ name, shape, decay: true });
  const specs = [spec('a', 2 ** 25), spec('b', 2 ** 25), spec('c', 64), spec('embed', 151_936, 896), spec('norm', 896)];
  const { lengths, blocks } = layOut(specs, 2 ** 31);
  expect(lengths).toEqual([2 ** 26, 64, 151_936 * 896, 896]);
  expect(blocks.map((parts) => parts.map(({ arena }) => arena))).toEqual([[0], [0], [1], [2], [3]]);
  expect(layOut(specs, 2 ** 27).lengths.every((n) => 4 * n <= 2 ** 27)).toBe(true);
});

test('parts tile the rows; what is written is what is read', async () => {
  await fc.assert(
    fc.asyncProperty(shapes, fc.integer({ min: 4 * 64 * 9, max: 40_000 }), async (list, limit) => {
      const specs = list.map((shape, i) => ({ name: `p${i}`, shape, decay: i % 2 === 0 }));
      const store = withBinding(ctx, limit, () => new ParamStore(ctx, specs));
      const taken = store.values.map((t) => new Uint8Array(t.slice.length));
      for (const { shape, parts } of store.list) {
        let row = 0;
        for (const { start, rows, w, arena } of parts) {
          if (parts.length > 1) expect([start, start % 64]).toEqual([row, 0]);
          row += rows;
          for (let i = w.slice.offset; i < w.slice.offset + w.slice.length; i++) taken[arena][i]++;
        }
        expect(parts.reduce((n, { w }) => n + w.slice.length, 0)).toBe(sizeOf(shape));
        if (shape.length === 2) expect(row).toBe(shape[0]);
      }
      expect(taken.findIndex((counts) => counts.some((n) => n > 1))).toBe(-1);
      const lengths = store.values.map((t) => t.slice.length);
      expect(Math.max(...lengths) * 4).toBeLessThanOrEqual(limit);
      for (const [i, n] of lengths.slice(0, -1).entries()) {
        const next = store.list.flatMap((p) => p.parts).find((p) => p.arena === i + 1 && p.w.slice.offset === 0);
        expect(4 * (n + alignUp(next?.w.slice.length ?? 0))).toBeGreaterThan(limit - 4 * 64);
      }
      const numbers = specs.map(({ shape }, i) => Float32Array.from({ length: sizeOf(shape) }, (_, n) => 1 + i + n / 8));
      for (const [i, p] of store.list.entries()) {
        for (let at = 0; at < numbers[i].length; at += 37) store.writeFrom(p, at, numbers[i].subarray(at, at + 37));
      }
      const read = await store.read();
      for (const [i, { name }] of specs.entries()) {
        expect(equal(read.get(name), numbers[i])).toBe(true);
        expect(equal(await store.readOne(name), numbers[i])).toBe(true);
        const pieces: number[] = [];
        for await (const piece of store.pieces(store.list[i], 41)) {
          expect(piece.length).toBeLessThanOrEqual(41);
          pieces.push(...piece);
        }
        expect(equal(Float32Array.from(pieces), numbers[i])).toBe(true);
      }
      const flat = await Promise.all(store.values.map((t) => ctx.read(t)));
      for (const [a, values] of flat.entries()) expect(values.findIndex((v, i) => (v === 0) === (taken[a][i] === 1))).toBe(-1);
      store.destroy();
    }),
    { numRuns: 60 },
  );
});

test('one buffer where all fits; what no buffer holds is refused by name', () => {
  const specs = [
    { name: 'w', shape: [200, 9], decay: true },
    { name: 'b', shape: [700], decay: false },
  ];
  const store = new ParamStore(ctx, specs);
  expect(store.values.length).toBe(1);
  store.destroy();
  const before = ctx.backend.stats.liveBytes;
  expect(() => withBinding(ctx, 2000, () => new ParamStore(ctx, specs))).toThrow(DeviceError);
  expect(() => withBinding(ctx, 2000, () => new ParamStore(ctx, specs))).toThrow(
    /w: 64 rows of 9 f32 numbers are 2304 bytes; the device binds at most 1792 at once/,
  );
  expect(() => withBinding(ctx, 2500, () => new ParamStore(ctx, specs))).toThrow(/b: 700 f32 numbers are 2800 bytes/);
  expect(ctx.backend.stats.liveBytes).toBe(before);
});

test('a group lies side by side and is one parameter, values and gradients; a gap or a buffer between its members forbids it', async () => {
  const spec = (name: string, ...shape: number[]) => ({ name, shape, decay: true });
  const specs = [spec('q', 32, 4), spec('q.bias', 64), spec('k', 16, 4), spec('k.bias', 64), spec('v', 3, 4), spec('odd', 3, 5)];
  const groups = [
    ['q', 'k', 'v'],
    ['q.bias', 'k.bias'],
  ];
  const store = new ParamStore(ctx, specs, groups);
  expect(store.list.map((p) => p.name)).toEqual(specs.map((s) => s.name));
  const early = store.joined(groups[0]);
  store.enableGrad();
  const late = store.joined(groups[1]);
  expect([early?.shape, late?.shape]).toEqual([[51, 4], [128]]);
  const numbers = (n: number, from: number) => Float32Array.from({ length: n }, (_, i) => from + i);
  for (const [i, name] of ['q', 'k', 'v'].entries()) store.write(name, numbers(sizeOf(specs[2 * i].shape), 1000 * i));
  const want = [...numbers(128, 0), ...numbers(64, 1000), ...numbers(12, 2000)];
  expect(Array.from(await ctx.read(early?.value ?? expect.fail()))).toEqual(want);
  ctx.backend.write((early?.grad ?? expect.fail()).slice, Float32Array.from(want));
  ctx.backend.write((late?.grad ?? expect.fail()).slice, numbers(128, 5000));
  const grads = await store.readGrads();
  expect(grads.get('k')).toEqual(numbers(64, 1000));
  expect(grads.get('k.bias')).toEqual(numbers(64, 5064));
  expect(store.joined(['v', 'odd'])).toBeUndefined(); // 12 elements, then a gap; other columns
  expect(store.joined(['q', 'v'])).toBeUndefined();
  expect(() => store.copyFrom(new ParamStore(ctx, specs))).toThrow(/different/);
  const apart = withBinding(ctx, 4 * 128, () => new ParamStore(ctx, specs, groups));
  expect(apart.joined(groups[0])).toBeUndefined();
  expect(apart.joined(groups[1])?.shape).toEqual([128]);
});

test('a group that does not fit into what is left of a buffer begins the next one', () => {
  const spec = (name: string, rows: number) => ({ name, shape: [rows, 2 ** 20], decay: true });
  const { blocks } = layOut([spec('a', 40), spec('b', 20), spec('c', 10), spec('d', 20)], 2 ** 31, [['b', 'd']]);
  expect(blocks.map(([{ arena, offset }]) => [arena, offset / 2 ** 20])).toEqual([
    [0, 0],
    [1, 0],
    [1, 40],
    [1, 20],
  ]);
});
