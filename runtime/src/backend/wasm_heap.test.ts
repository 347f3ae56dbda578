/** Plan. Random allocs and frees: aligned, never overlapping, freed memory used before the range grows, all of it back at the end. */
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { WasmHeap } from './wasm_heap.ts';

test('random allocs and frees never overlap and leave nothing behind', () => {
  const r = new Random('heap');
  const heap = new WasmHeap(128, 1 << 20);
  const live: { at: number; bytes: number }[] = [];
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    if (live.length > 0 && r.next() < 0.45) {
      const [{ at, bytes }] = live.splice(r.int(live.length), 1);
      heap.free(at, bytes);
      continue;
    }
    const bytes = r.int(r.next() < 0.1 ? 60_000 : 3000);
    const at = heap.alloc(bytes);
    if (at === undefined) {
      refused++;
      continue;
    }
    const inRange = at % 64 === 0 && at >= 128 && at + bytes <= 1 << 20;
    const apart = live.every((b) => at + WasmHeap.size(bytes) <= b.at || b.at + WasmHeap.size(b.bytes) <= at);
    expect(inRange && apart).toBe(true);
    live.push({ at, bytes });
    expect(heap.liveBytes).toBe(live.reduce((n, b) => n + WasmHeap.size(b.bytes), 0));
  }
  expect(refused).toBeGreaterThan(0); // the limit was met
  for (const { at, bytes } of live) heap.free(at, bytes);
  expect(heap.liveBytes).toBe(0);
  expect(heap.top).toBe(heap.base);
});

test('the smallest hole that fits is taken', () => {
  const heap = new WasmHeap(0, 1 << 20);
  const at = [640, 64, 192, 64, 320, 64].map((n) => heap.alloc(n) as number);
  heap.free(at[0], 640);
  heap.free(at[2], 192);
  heap.free(at[4], 320);
  expect(heap.alloc(150)).toBe(at[2]);
  expect(heap.alloc(320)).toBe(at[4]);
  expect(heap.alloc(576)).toBe(at[0]);
  expect(heap.growths).toBe(6);
});
