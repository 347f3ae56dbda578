/**
 * Plan. Each workload at a small size on WebAssembly, the search also on the software adapter (the policy takes minutes there): right against the reference device, timed, its rate and
 * flops belonging to its time. A run that is over leaves it. A peer that dies in a round does not end it. Work for GPUs is left out on CPUs; its own reference is the f64 one's. One that computes something else on the device than on the reference is wrong and not timed.
 */
import type { HostArray } from '@eagrl/kernels';
import { type Backend, openDevice } from '@eagrl/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { relativeRms } from '../lib/check.ts';
import type { Lane } from '../lib/provider.ts';
import { Stop } from '../lib/stop.ts';
import { QUICK } from '../lib/time.ts';
import type { PeerProvider } from '../peers/process.ts';
import { decoderStep, largeDecoderStep } from './decoder.ts';
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

const small = { batch: 1, tokens: 16, hidden: 64, heads: 2, mlp: 96, vocab: 40, layers: 2 };
const large = largeDecoderStep(small, 'small');

async function run(
  w: Workload,
  names: readonly string[],
  on: ReadonlyMap<string, Backend> = backends,
  stop?: Stop,
  peers: readonly PeerProvider[] = [],
) {
  const lines: string[] = [];
  const budget = { ...QUICK, rounds: peers.length > 0 ? 3 : 1 };
  const floors = { wasm: { copies: [], gflops: 40 }, webgpu: { copies: [], gflops: 2 } };
  const outcome = await runWorkloads([w], {
    backends: new Map([...on].filter(([name]) => names.includes(name))),
    peers,
    wanted: () => true,
    floors,
    budget,
    print: (line) => lines.push(line),
    stop,
  });
  return { ...outcome, lines };
}

test.each([
  { w: decoderStep(), names: ['wasm'] },
  { w: { ...large, hardwareOnly: false }, names: ['wasm', 'webgpu'] },
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
  // On a GPU alone: to a software adapter the host is the device.
  expect(counts.filter((c) => c.hostShare !== undefined)).toEqual([]);
});

test('work for GPUs is left out on CPUs, its reference not computed, and said to be', async () => {
  const never = () => Promise.reject(new Error('not to be asked'));
  const { rows, leftOut, lines } = await run({ ...large, place: never, reference: never }, ['wasm', 'webgpu']);
  expect([rows, leftOut]).toEqual([[], ['wasm', 'webgpu'].map((name) => `${titleOf(large)}/${name}`)]);
  expect(lines).toEqual([`left out, minutes a run on a CPU: ${leftOut.join(', ')}`]);
});

test('told to end, it leaves the workload under way; after its time it begins none', async () => {
  const told = new AbortController();
  const base = searchWave(3, 21);
  const reference = () => {
    told.abort();
    return new Promise<never>(() => {});
  };
  const rowsOf = ['wasm', 'webgpu'].map((name) => `${titleOf(base)}/${name}`);
  const left = await run({ ...base, reference }, ['wasm', 'webgpu'], backends, new Stop(undefined, told.signal));
  expect([left.rows, left.notReached, left.lines]).toEqual([[], rowsOf, []]);
  const late = await run(
    { ...base, reference: () => Promise.reject(new Error('not to be asked')) },
    ['wasm', 'webgpu'],
    backends,
    new Stop(0),
  );
  expect([late.rows, late.notReached]).toEqual([[], rowsOf]);
});

test('on what calls itself a GPU, the share of a step that the host queues', async () => {
  const backend = backends.get('webgpu') as Backend;
  const renamed = new Proxy(backend, {
    get: (of, key) => {
      const value = key === 'info' ? { ...of.info, adapter: 'a card' } : Reflect.get(of, key, of);
      return typeof value === 'function' ? value.bind(of) : value;
    },
  });
  const { counts } = await run({ ...searchWave(3, 21), trainingStep: true }, ['webgpu'], new Map([['webgpu', renamed]]));
  expect(counts[0].hostShare).toBeGreaterThan(0);
  expect(counts[0].hostShare).toBeLessThanOrEqual(1);
});

test('the figures of a large step are those of the f64 reference, to f32', async () => {
  const f64 = await openDevice({ device: 'reference' });
  const placed = await large.place(f64);
  const [want, got] = [await placed.result(), (await large.reference?.()) ?? []];
  expect(got).toHaveLength(1 + 1 + small.layers + 1);
  expect(relativeRms(got, want)).toBeLessThan(1e-5);
});

test('a peer that dies in a round is a row that says so, and the others are measured', async () => {
  const w = decoderStep();
  const losses = await (await w.place(await openDevice({ device: 'reference' }))).result();
  let played = 0;
  let freed = false;
  const lane: Lane = {
    outputs: async () => ({ losses: Float64Array.from(losses) as unknown as HostArray }),
    prepare: async () => {},
    round: async () => {
      if (played++ > 0) throw new Error('its process ended with SIGKILL');
      return { wall: [1], device: [] };
    },
    free: async () => {
      freed = true;
    },
  };
  const peer = {
    name: 'dies',
    backend: 'wasm',
    adapter: 'x',
    threads: 1,
    floorOf: undefined,
    peer: true,
    place: async () => undefined,
    placeJob: async () => lane,
    close: async () => {},
  } satisfies PeerProvider;
  const { rows } = await run(w, ['wasm'], backends, undefined, [peer]);
  expect(rows).toMatchObject([
    { provider: 'wasm', wrong: null },
    { provider: 'dies', wrong: 'does not run: its process ended with SIGKILL', samples: 0, median_ms: null },
  ]);
  expect(rows[0].samples).toBeGreaterThanOrEqual(3);
  expect(freed).toBe(true); // its process may live
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
