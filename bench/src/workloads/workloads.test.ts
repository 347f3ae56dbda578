/**
 * Plan. Each workload at a small size on WebAssembly, the search also on the software adapter (the policy takes minutes there): right against the reference device, timed, its rate and
 * flops belonging to its time. One that computes something else on the device than on the reference is wrong and not timed.
 */
import { type Backend, openDevice } from '@eagrl/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { QUICK } from '../lib/time.ts';
import { decoderStep } from './decoder.ts';
import { decode, prefill, searchWave, trainingStep } from './policy.ts';
import { runWorkloads, titleOf, type Workload } from './workload.ts';

const size = { groups: 1, promptTokens: 8, completions: 2, completionTokens: 3 };
const backends = new Map<string, Backend>();
beforeAll(async () => {
  backends.set('wasm', await openDevice({ device: 'wasm', threads: 2 }));
  backends.set('webgpu', await openDevice({ device: 'webgpu-software' }));
});
afterAll(async () => {
  for (const b of backends.values()) await b.destroy();
});

async function run(w: Workload, names: readonly string[]) {
  const lines: string[] = [];
  const budget = { ...QUICK, rounds: 1 };
  const floors = { wasm: { copies: [], gflops: 40 }, webgpu: { copies: [], gflops: 2 } };
  const outcome = await runWorkloads([w], {
    backends: new Map([...backends].filter(([name]) => names.includes(name))),
    peers: [],
    wanted: () => true,
    floors,
    budget,
    print: (line) => lines.push(line),
  });
  return { ...outcome, lines };
}

test.each([
  { w: decoderStep(), names: ['wasm'] },
  { w: trainingStep(size), names: ['wasm'] },
  { w: prefill(size), names: ['wasm'] },
  { w: decode(size), names: ['wasm'] },
  { w: { ...searchWave(3, 21), trainingStep: true }, names: ['wasm', 'webgpu'] },
])('$w.kernel/$w.pass $w.shape', async ({ w, names }) => {
  const { rows, counts, lines } = await run(w, names);
  expect(rows.map((r) => [r.provider, r.wrong])).toEqual(names.map((name) => [name, null]));
  for (const r of rows) {
    expect(r.rel_err).toBeLessThan(1e-4);
    expect(((r.rate ?? 0) * (r.median_ms ?? 0)) / (1e3 * w.amount)).toBeCloseTo(1, 2);
    if (w.flops > 0) expect(((r.gflops ?? 0) * (r.median_ms ?? 0) * 1e6) / w.flops).toBeCloseTo(1, 2);
  }
  expect(lines[0]).toContain(`${w.unit}/s`);
  // Counters make bars on WebGPU alone: WebAssembly has no submits.
  expect(counts.map((c) => c.name)).toEqual(names.includes('webgpu') ? [`${titleOf(w)}/webgpu`] : []);
  for (const c of counts) expect(c.submits).toBeGreaterThan(0);
});

test('a workload that is off its reference is not timed', async () => {
  const base = searchWave(3, 21);
  const off: Workload = {
    ...base,
    async place(backend) {
      const placed = await base.place(backend);
      return { ...placed, result: async () => (await placed.result()).map((x) => (backend.kind === 'reference' ? x : 1.001 * x)) };
    },
  };
  const { rows } = await run(off, ['wasm', 'webgpu']);
  expect(rows.map((r) => r.median_ms)).toEqual([null, null]);
  expect(rows[0].wrong).toContain('relative RMS error 1.00e-3');
});
