/**
 * Plan. By hand: a change within the noise of both spreads is the same, one beyond it is not, in both directions and with the least
 * noise; rows that are wrong, new, missing, or not asked for. A receipt survives writing and reading; what is none is refused by line.
 * Bars: each rule on rows made for it, on both sides of the bar; shares by what took turns with the row, never by the start of the run;
 * no rows, no bar. Probes by case and provider.
 */
import { describe, expect, test } from 'vitest';
import { cases } from '../cases/index.ts';
import { barLine, barsOf, probesOf } from './bars.ts';
import { type BenchCase, titleOf } from './case.ts';
import { compare, comparisonLines, holds } from './compare.ts';
import { type Receipt, readReceipt, writeReceipt } from './receipt.ts';
import { noiseNote, type Row } from './report.ts';

const row = (more: Partial<Row> = {}): Row => ({
  kernel: 'softmax',
  pass: 'fwd',
  dtype: 'f32',
  shape: '512x1408',
  provider: 'wasm-1',
  backend: 'wasm',
  adapter: 'WebAssembly SIMD',
  threads: 1,
  median_ms: 1,
  spread: 0.01,
  samples: 20,
  device_ms: null,
  gflops: 2,
  gbps: 10,
  rel_err: 1e-7,
  floor_share: 0.5,
  floor_ms: null,
  intensity: 0.6,
  rate: null,
  unit: null,
  wrong: null,
  ...more,
});

const all = () => true;

describe('compare', () => {
  test.each([
    // base ms, spread; now ms, spread; verdict. Noise is max(5 %, hypot of the spreads).
    [1, 0.01, 1.04, 0.01, 'same'],
    [1, 0.01, 1.06, 0.01, 'slower'],
    [1, 0.01, 0.94, 0.01, 'faster'],
    [1, 0.01, 0.96, 0.01, 'same'],
    [1, 0.3, 1.4, 0.4, 'same'],
    [1, 0.3, 1.6, 0.4, 'slower'],
    [1, 0.3, 0.6, 0.4, 'faster'],
  ] as const)('%s ms +-%s, then %s ms +-%s: %s', (before, spread, after, spreadNow, verdict) => {
    const [c] = compare([row({ median_ms: before, spread })], [row({ median_ms: after, spread: spreadNow })], all);
    expect(c.verdict).toBe(verdict);
    expect(c.ratio).toBeCloseTo(before / after);
    expect(holds([c])).toBe(verdict !== 'slower');
  });

  test('wrong, new, missing, another adapter, not asked for', () => {
    const base = [row(), row({ shape: 'gone' }), row({ shape: 'filtered' }), row({ shape: 'gpu', adapter: 'A' })];
    const now = [row({ median_ms: null, wrong: 'y: off' }), row({ shape: 'fresh' }), row({ shape: 'gpu', adapter: 'B' })];
    const found = compare(base, now, (name) => !name.includes('filtered'));
    expect(found.map((c) => [c.name.split('/')[3], c.verdict])).toEqual([
      ['512x1408', 'wrong'],
      ['fresh', 'new'],
      ['gpu', 'new'],
      ['gone', 'missing'],
      ['gpu', 'missing'],
    ]);
    expect(holds(found)).toBe(false);
    expect(comparisonLines(found).at(-1)).toBe('compare: 2 missing, 1 wrong, 2 new');
  });
});

describe('receipt', () => {
  const receipt: Receipt = {
    run: {
      date: '2026-11-22T00:00:00.000Z',
      machine: { cpu: 'x', cores: 2, memory_gib: 4, os: 'linux x64', node: 'v20' },
      commit: null,
      command: 'npm run bench --',
      versions: { eagrl: '0.1.0' },
      workload: 'quick',
      floors: { wasm: { copies: [{ bytes: 1024, gbps: 10 }], gflops: 40 } },
      peers: [{ name: 'tfjs-wasm', version: null, failed: 'not there' }],
    },
    rows: [row(), row({ median_ms: null, wrong: 'y: off' })],
    bars: [{ name: 'b', ratio: 2, bar: 1, rule: '>=', pass: true }],
  };

  test('reads what it wrote', () => {
    const text = writeReceipt(receipt);
    expect(text.split('\n').length).toBe(5);
    expect(readReceipt(text)).toEqual(receipt);
  });

  test('one from before floor_ms can be read and compared', () => {
    const { floor_ms: _, ...old } = row();
    const { rows } = readReceipt(`{"type":"run"}\n${JSON.stringify({ type: 'row', ...old })}`);
    expect(rows).toEqual([row()]);
    expect(compare(rows, [row({ floor_ms: 0.5 })], all).map((c) => c.verdict)).toEqual(['same']);
  });

  test.each([
    ['{"type":"run"}\n{', 'line 2 is not JSON'],
    ['{"kernel":"softmax"}', 'line 1: type is undefined'],
    ['', 'no line of type run'],
  ])('%j is refused', (text, message) => expect(() => readReceipt(text)).toThrow(message));
});

describe('bars', () => {
  const square = { kernel: 'matmul', pass: 'nn', shape: '512x512x512', gflops: 30 } as const;
  const swift = { backend: 'webgpu', adapter: 'SwiftShader Device (LLVM 10.0.0)' } as const;
  const barOf = (rows: Row[], text: string) => barsOf({ rows, counts: [] }).find((b) => b.name.includes(text));

  test('peers, threads, share of the multiply-add rate', () => {
    const rows = [
      row({ ...square, median_ms: 7, floor_ms: 5.25, floor_share: 0.9 }),
      row({ ...square, median_ms: 4, provider: 'wasm', threads: 2 }),
      row({ ...square, median_ms: 10, provider: 'tfjs-wasm-1' }),
      row({ ...square, median_ms: 14, provider: 'ort-web-wasm-1' }),
      row({ ...square, median_ms: 100, provider: 'webgpu', ...swift }),
      row({ ...square, median_ms: 290, provider: 'jax-js-webgpu', ...swift }),
      row({ ...square, median_ms: 700, provider: 'ort-node-webgpu', backend: 'webgpu', adapter: 'SwiftShader by its own Dawn' }),
    ];
    const bar = (text: string) => {
      const b = barOf(rows, text);
      return [b?.ratio, b?.bar, b?.pass];
    };
    expect(bar('over tfjs')).toEqual([1.429, 1.6, false]);
    expect(bar('over ort-web')).toEqual([2, 1.6, true]);
    expect(bar('two threads')).toEqual([1.75, 1.8, false]);
    expect(bar('multiply-add')).toEqual([0.75, 0.85, false]);
    expect(bar('over jax-js')).toEqual([2.9, 3, false]);
    expect(bar('over onnxruntime-node')).toEqual([7, 6, true]);
  });

  test('lavapipe: the best peer counts', () => {
    const lavapipe = { ...square, backend: 'webgpu', adapter: 'llvmpipe (LLVM 19)' } as const;
    const rows = [
      row({ ...lavapipe, provider: 'webgpu', median_ms: 20 }),
      row({ ...lavapipe, provider: 'jax-js-webgpu', median_ms: 60 }),
      row({ ...lavapipe, provider: 'tfjs-webgpu', median_ms: 50 }),
    ];
    expect(barOf(rows, 'best peer (tfjs-webgpu)')).toMatchObject({ ratio: 2.5, pass: true });
  });

  test('bandwidth at the largest shape; the error of the backward pass may not exceed its bar', () => {
    const rows = [
      row({ shape: '2048x1408', median_ms: 2, floor_ms: 1.8 }),
      row({ shape: '4096x1408', median_ms: 4, floor_ms: 2.8, floor_share: 0.9 }),
      row({ shape: '8192x1408', median_ms: 8, floor_share: 0.9 }),
      row({ kernel: 'attention', pass: 'bwd_dq', rel_err: 1e-6 }),
      row({ kernel: 'attention', pass: 'bwd_dkdv', rel_err: 3e-6 }),
    ];
    expect(barOf(rows, 'softmax 4096x1408, wasm-1')).toMatchObject({ ratio: 0.7, pass: false });
    expect(barOf(rows, 'attention backward, wasm-1')).toMatchObject({ ratio: 3e-6, rule: '<=', pass: false });
    expect(barLine({ name: 'x', ratio: 2, bar: 1, rule: '>=', pass: true })).toMatch(/^bar {2}x +2 {2}>= 1 {2}pass$/);
  });

  test('tiny decoder beside jax-js: time, and the worse of the two losses', () => {
    const step = { kernel: 'step', pass: 'decoder', shape: '4x64x64' } as const;
    const rows = [
      row({ ...step, median_ms: 10, rel_err: 2e-7 }),
      row({ ...step, median_ms: 14, rel_err: 3e-5, provider: 'jax-js-wasm-1' }),
      row({ ...step, median_ms: 100, provider: 'webgpu', ...swift }),
      row({ ...step, median_ms: 120, provider: 'jax-js-webgpu', ...swift }),
    ];
    expect(barOf(rows, 'one thread: over jax-js')).toMatchObject({ ratio: 1.4, bar: 1.5, pass: false });
    expect(barOf(rows, 'one thread: losses')).toMatchObject({ ratio: 3e-5, rule: '<=', pass: false });
    expect(barOf(rows, 'SwiftShader: over jax-js')).toMatchObject({ ratio: 1.2, bar: 1, pass: true });
    expect(barOf(rows.slice(0, 1), 'tiny decoder')).toBeUndefined();
  });

  test('a step of a large decoder: of ours, in milliseconds', () => {
    const step = {
      kernel: 'step',
      pass: 'gpt2-medium',
      shape: '1x512x1024',
      backend: 'webgpu',
      adapter: 'nvidia-h200 (NVIDIA: 580)',
    } as const;
    const rows = [
      row({ ...step, provider: 'torch-cuda', backend: 'cuda', median_ms: 50 }),
      row({ ...step, provider: 'webgpu', median_ms: 200 }),
    ];
    expect(barsOf({ rows, counts: [] })).toEqual([
      { name: 'GPT-2-Medium shape, 512 tokens: milliseconds per step', ratio: 200, rule: '<=', bar: 190, pass: false },
    ]);
  });

  test('a large product beside cuBLAS', () => {
    const large = { ...square, shape: '4096x4096x4096', adapter: 'a card' } as const;
    const rows = [row({ ...large, provider: 'webgpu', median_ms: 4 }), row({ ...large, provider: 'torch-cuda', median_ms: 2.7 })];
    expect(barOf(rows, 'matmul 4096^3, a card: share of cuBLAS f32')).toMatchObject({ ratio: 0.675, bar: 0.7, pass: false });
    expect(barsOf({ rows: rows.slice(0, 1), counts: [] })).toEqual([]);
  });

  test('counts of a training step', () => {
    const counts = [{ name: 'step, webgpu', submits: 5, buffersCreated: 0 }];
    expect(barsOf({ rows: [], counts }).map((b) => [b.ratio, b.bar, b.pass])).toEqual([
      [5, 4, false],
      [0, 0, true],
    ]);
    const encoding = barsOf({ rows: [], counts: [{ ...counts[0], hostShare: 0.2 }] }).find((b) => b.name.includes('encoding share'));
    expect(encoding).toMatchObject({ ratio: 0.2, rule: '<=', bar: 0.1, pass: false });
  });

  test('no bar without a probe that took turns with the row', () => {
    const rows = [row({ shape: '8192x1408', median_ms: 8, floor_share: 0.9 }), row({ ...square, floor_share: 0.9 })];
    expect(barsOf({ rows, counts: [] })).toEqual([]);
  });

  test('probes: copies of the memory of what is large, on WebGPU two forms; multiply-adds for 512^3 on one thread; none else', () => {
    const on = (title: string, backend: string, threads = 1, peer = false) =>
      probesOf(cases.find((c) => titleOf(c) === title) as BenchCase, { backend, threads, peer }).map(titleOf);
    // 14 MiB of 4096 x 1408 in and as much out; cross-entropy and AdamW write in place: half of what they move, or 4/7.
    expect(on('softmax/fwd/f32/4096x1408', 'wasm', 2)).toEqual([`floor/copy/f32/${2 * 4 * 4096 * 1408}B`]);
    expect(on('softmax/fwd/f32/4096x1408', 'webgpu')).toEqual(['copy', 'copy_wide'].map((form) => `floor/${form}/f32/${8 * 4096 * 1408}B`));
    expect(on('cross_entropy/cross_entropy/f32/2048x1408', 'wasm')).toEqual([`floor/copy/f32/${353 * 2 ** 15}B`]);
    expect(on('adamw/adamw/f32/1048576', 'wasm')).toEqual([`floor/copy/f32/${16 * 2 ** 20 + 2 * 2 ** 15}B`]);
    expect(on('adamw/adamw/f32/16777216', 'wasm')).toEqual([`floor/copy/f32/${2 ** 28}B`]);
    expect(on('matmul/nn/f32/512x512x512', 'wasm')).toEqual(['floor/fma/f32/16384x128']);
    const none: Parameters<typeof on>[] = [
      ['matmul/nn/f32/512x512x512', 'wasm', 2],
      ['matmul/nn/f32/512x512x512', 'webgpu'],
      ['matmul/nt/f32/512x512x512', 'wasm'],
      ['softmax/fwd/f32/512x1408', 'wasm'],
      ['softmax/bwd/f32/4096x1408', 'wasm'],
      ['softmax/fwd/f32/4096x1408', 'wasm', 1, true],
    ];
    for (const asked of none) expect(on(...asked), asked.join(' ')).toEqual([]);
  });

  test('no rows, no bars', () => expect(barsOf({ rows: [], counts: [] })).toEqual([]));
});

test('a noisy run says so', () => {
  expect(noiseNote([row()])).toBeUndefined();
  expect(noiseNote([row(), row({ spread: 0.2 }), row({ median_ms: null, spread: null })])).toContain('1 of 2 rows');
});
