/**
 * Plan. The table names every entry point of every kernel, each case with all its params. A quick run on WebAssembly and the software
 * adapter prints a row per case and provider, and a receipt whose figures belong together. A wrong result is said, not timed, and
 * fails. Bars that are shares of a rate are of probes that took turns with their row. Flags that do not exist, no matching row: exit code 2 with a message. One that is over in the middle has what was measured. Median, quartiles, floor and the check by hand.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KernelSpec } from '@eagrl/kernels';
import * as kernels from '@eagrl/kernels';
import { type Backend, loadTuning, openDevice, ReferenceBackend } from '@eagrl/runtime';
import { expect, test, vi } from 'vitest';
import { cases } from './cases/index.ts';
import { largeProduct } from './cases/models.ts';
import { product } from './cases/policy.ts';
import { copyCases, floorMs, fmaCases, fmaSteps } from './floor/floor.ts';
import type { Bar } from './lib/bars.ts';
import { type BenchCase, suits, titleOf } from './lib/case.ts';
import { relativeRms } from './lib/check.ts';
import { heater, heatNote } from './lib/heat.ts';
import { cpuName, repository, withoutRoot } from './lib/machine.ts';
import { measure } from './lib/measure.ts';
import { commandOf } from './lib/options.ts';
import { type Lane, own, type Provider, threadCounts } from './lib/provider.ts';
import type { Row } from './lib/report.ts';
import { credible, runCases } from './lib/session.ts';
import { Stop } from './lib/stop.ts';
import { QUICK, summary } from './lib/time.ts';
import { tunable, tuneCases } from './lib/tune.ts';
import { main } from './main.ts';

async function run(argv: string[], table = cases, seen: (line: string) => void = () => {}) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await main(
    argv,
    (line) => {
      out.push(line);
      seen(line);
    },
    (line) => err.push(line),
    table,
  );
  return { code, out, err: err.join('\n') };
}

/** A product of n x 4 by 4 x 4. */
function tiny(n: number): Pick<BenchCase, 'spec' | 'entry' | 'params' | 'inputs'> {
  const { spec, entry, params, inputs } = product('nn', n, 4, 4);
  return { spec, entry, params, inputs };
}

const isSpec = (x: unknown): x is KernelSpec => typeof x === 'object' && x !== null && 'wgsl' in x && 'entries' in x;

test('a filter lists texts with commas; one of them is enough, and an empty one is in every name', () => {
  const name = 'matmul/nt/f32/512x512x512/wasm-1';
  expect(suits('', name)).toBe(true);
  expect(suits('softmax,matmul/nt', name)).toBe(true);
  expect(suits('softmax,matmul/nn', name)).toBe(false);
});

test('every entry point of every kernel has a case with all its params', () => {
  const all = new Set((Object.values(kernels) as unknown[]).filter(isSpec));
  const entries = [...all].flatMap((spec) => Object.keys(spec.entries).map((entry) => `${spec.name} ${entry}`));
  expect(new Set(cases.map((c) => `${c.spec.name} ${c.entry}`))).toEqual(new Set(entries));
  expect(new Set(cases.map(titleOf)).size).toBe(cases.length);
  for (const c of cases)
    expect(Object.keys(c.params), titleOf(c)).toEqual(expect.arrayContaining(Object.keys(c.spec.entries[c.entry].params)));
});

test('a quick run of softmax on both backends', async () => {
  const { code, out } = await run(['--quick', '--filter', 'softmax']);
  expect(code).toBe(0);
  const receipt = JSON.parse(out.at(-1) as string) as { machine: { cores: number }; commit: string | null; rows: Row[]; bars: unknown[] };
  expect(receipt.machine.cores).toBeGreaterThan(0);
  const passes = new Set(receipt.rows.map((r) => `${r.kernel}/${r.pass}/${r.dtype}/${r.shape}/${r.provider}`));
  for (const provider of ['wasm', 'webgpu']) {
    for (const pass of ['fwd', 'bwd']) expect(passes).toContain(`softmax/${pass}/f32/512x1408/${provider}`);
  }
  for (const row of receipt.rows) {
    const spec = kernels.softmax.entries[row.pass === 'fwd' ? 'softmax_fwd' : 'softmax_bwd'];
    const ms = row.median_ms as number;
    expect(ms).toBeGreaterThan(0);
    // Time and rates are printed with four significant digits each.
    expect(((row.gflops as number) * ms * 1e6) / spec.flops({ rows: 512, cols: 1408 })).toBeCloseTo(1, 2);
    expect(((row.gbps as number) * ms * 1e6) / spec.bytes({ rows: 512, cols: 1408 })).toBeCloseTo(1, 2);
    expect(row.rel_err).toBeLessThan(1e-5);
    expect(row.floor_share).toBeGreaterThan(0);
    // SwiftShader has timestamps, WebAssembly has none. The device cannot be busy for longer than the clock on the wall, noise aside.
    if (row.backend === 'webgpu') expect(row.device_ms).toBeLessThan(3 * ms);
    else expect(row.device_ms).toBeNull();
    expect(out.some((line) => line.startsWith(`softmax/${row.pass}/f32/512x1408/${row.provider} `))).toBe(true);
  }
});

test('a bar that is a share of a rate is of what took turns with its row', async () => {
  const bound = ['adamw/adamw/f32/1048576', 'matmul/nn/f32/512x512x512'];
  const table = cases.filter((c) => [...bound, 'matmul/nn/f32/64x64x64'].includes(titleOf(c)));
  const { code, out } = await run(['--quick'], table);
  const { rows, bars } = JSON.parse(out.at(-1) as string) as { rows: Row[]; bars: Bar[] };
  expect(code).toBe(0);
  const ratios = new Map(bars.map((b) => [b.name, b.ratio]));
  const probed = rows.filter((r) => r.floor_ms !== null);
  expect(new Set(probed.map((r) => `${r.kernel} ${r.shape} ${r.provider}`))).toEqual(
    new Set(['matmul 512x512x512 wasm-1', 'adamw 1048576 wasm-1', 'adamw 1048576 wasm', 'adamw 1048576 webgpu']),
  );
  for (const { kernel, shape, provider, floor_ms, median_ms } of probed) {
    const [name] = [...ratios.keys()].filter(
      (n) => n.startsWith(`${kernel} ${shape}, ${provider}: share`) || (kernel === 'matmul' && n.includes('multiply-add')),
    );
    expect(ratios.get(name), name).toBeCloseTo((floor_ms as number) / (median_ms as number), 3);
  }
});

test('rows come in the order of the filter, all others after it where it ends with a comma', async () => {
  const table = [64, 65, 66].map((n) => ({ ...cases[0], shape: `${n}`, ...tiny(n) }));
  const shapes = async (filter: string) => {
    const { out } = await run(['--quick', '--device', 'wasm', '--filter', filter], table);
    const { rows } = JSON.parse(out.at(-1) as string) as { rows: Row[] };
    return [...new Set(rows.map((r) => r.shape))];
  };
  expect(await shapes('/66/,/64/')).toEqual(['66', '64']);
  expect(await shapes('/66/,')).toEqual(['66', '64', '65']);
});

test('a run that is over begins no case more, says which, and has the result of the others', async () => {
  const table = [64, 65, 66].map((n) => ({ ...cases[0], shape: `${n}`, ...tiny(n) }));
  const row = (n: number) => `matmul/nn/f32/${n}/wasm-1`;
  const flags = ['--quick', '--device', 'wasm', '--filter', 'wasm-1'];
  const ended = await run(flags, table, (line) => line.startsWith(row(64)) && process.emit('SIGINT', 'SIGINT'));
  expect(ended.code).toBe(130);
  expect(process.listenerCount('SIGPIPE')).toBe(0);
  expect((JSON.parse(ended.out.at(-1) as string) as { rows: Row[] }).rows.map((r) => r.shape)).toEqual(['64']);
  expect(ended.out).toContain(`over (SIGINT), 2 rows not reached: ${row(65)}, ${row(66)}`);
  const late = await run([...flags, '--minutes', '0.0000001'], table);
  expect(late.code).toBe(0);
  expect((JSON.parse(late.out.at(-1) as string) as { rows: Row[] }).rows).toEqual([]);
  expect(late.out).toContain(`over (--minutes 1e-7), 3 rows not reached: ${[64, 65, 66].map(row).join(', ')}`);
  const asked = await run([...flags, '--minutes', '0.0000001', '--receipt'], table);
  expect(asked.out).toContain('no row was measured: no receipt, no report');
  for (const wrong of ['0', 'soon', 'Infinity']) {
    expect((await run(['--minutes', wrong])).err).toBe(`bench: --minutes ${wrong}: expected minutes, more than 0`);
  }
});

/** Answers as the reference does, but for `wrong`; tells each round, of which it has as many as `rounds` says. A probe's first launch takes `probeMs`. */
function scripted(events: string[], rounds: (entry: string) => number, wrong?: string, probeMs = (_: BenchCase) => 10): Provider {
  const lane = (c: BenchCase, inputs: kernels.HostBuffers): Lane => {
    let played = 0;
    return {
      outputs: async () => {
        const out = kernels.launchRef(c.spec, c.entry, inputs, c.params);
        if (c.entry === wrong) for (const values of Object.values(out)) values[0] += 1e3;
        return out as unknown as Record<string, Float32Array<ArrayBuffer>>;
      },
      prepare: async () => {},
      round: async () => {
        if (played === rounds(c.entry)) return { wall: [], device: [] };
        events.push(c.entry);
        // Of the first round 1 ms, then 2 and so on; the probe's in proportion.
        return { wall: [(c.spec.name === 'floor' ? probeMs(c) : 1) * ++played], device: [] };
      },
      free: async () => {},
    };
  };
  const provider = { name: 'wasm-1', backend: 'wasm', adapter: 'x', threads: 1, floorOf: undefined, peer: false };
  return { ...provider, place: async (c, inputs) => lane(c, inputs), close: async () => {} };
}

test('a probe takes turns with its case, and their medians are of the same rounds', async () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/64x64x64') as BenchCase;
  const events: string[] = [];
  const provider = scripted(events, (entry) => (entry === 'floor_fma' ? 2 : 9));
  const [m] = await measure(c, [provider], { ...QUICK, rounds: 4 }, () => [fmaCases.plain]);
  // The probe has no third round, so the case's third counts for nothing, and there is no fourth.
  expect(events).toEqual(['matmul_nn', 'floor_fma', 'floor_fma', 'matmul_nn', 'matmul_nn']);
  expect(m.time).toMatchObject({ median: 1.5, count: 2 });
  expect(m.probes.map((p) => [p.case, p.time?.median])).toEqual([[fmaCases.plain, 15]]);
});

test('a noisy case of ours has more rounds where the budget lets it', async () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/64x64x64') as BenchCase;
  const rounds = async (ms: (played: number) => number, peer: boolean) => {
    const provider = scripted([], () => 99);
    const place: Provider['place'] = async (x, inputs) => {
      let played = 0;
      return { ...((await provider.place(x, inputs)) as Lane), round: async () => ({ wall: [ms(played++)], device: [] }) };
    };
    const [m] = await measure(c, [{ ...provider, place, peer }], { ...QUICK, rounds: 4, mostRounds: 20 });
    return m.time?.count;
  };
  const calmLater = (played: number) => (played < 3 ? 1 + played : 1);
  expect(await rounds(() => 1, false)).toBe(4);
  expect(await rounds(calmLater, false)).toBe(9); // of 9 samples, 2 and 3 are in the last quarter
  expect(await rounds((played) => 1 + (played % 2), false)).toBe(20);
  expect(await rounds((played) => 1 + (played % 2), true)).toBe(4);
});

test('a peer that dies in a round is reported, ours is measured; ours that fails ends the run', async () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/64x64x64') as BenchCase;
  const dies = (peer: boolean): Provider => {
    const provider = scripted([], () => 99);
    let played = 0;
    const round = async () => {
      if (played++ > 0) throw new Error('its process ended with SIGKILL');
      return { wall: [1], device: [] };
    };
    const place: Provider['place'] = async (x, inputs) => ({ ...((await provider.place(x, inputs)) as Lane), round });
    return { ...provider, name: 'dies', place, peer };
  };
  const [own, peer] = await measure(c, [scripted([], () => 99), dies(true)], { ...QUICK, rounds: 3 });
  expect(own.time?.count).toBe(3);
  expect(peer).toMatchObject({ verdict: { wrong: 'does not run: its process ended with SIGKILL' }, probes: [] });
  expect(peer.time).toBeUndefined();
  await expect(measure(c, [dies(false)], { ...QUICK, rounds: 3 })).rejects.toThrow('its process ended with SIGKILL');
});

test('of a large product some rows are checked, all columns of them; it is left out on CPUs', async () => {
  const c = largeProduct('nn', 128, 128, 128);
  const run = async (row: number) => {
    const provider = scripted([], () => 9);
    const place: Provider['place'] = async (of, inputs) => {
      const lane = (await provider.place(of, inputs)) as Lane;
      const outputs = async () => {
        const out = await lane.outputs();
        out.c[128 * row + 127] += 1;
        return out;
      };
      return { ...lane, outputs };
    };
    const [m] = await measure(c, [{ ...provider, place }], { ...QUICK, rounds: 1 });
    return m.verdict.wrong;
  };
  const rows = new Set(c.sample?.rows);
  const other = Array.from({ length: 128 }, (_, i) => i).find((i) => !rows.has(i)) as number;
  expect(await run(c.sample?.rows[3] as number)).toMatch(/^c: relative RMS error/);
  expect(await run(other)).toBeUndefined();
  const session = { cases: [c], budget: QUICK, wanted: () => true, print: () => {} };
  const { rows: none, leftOut } = await runCases({ ...session, providers: [scripted([], () => 9)] });
  expect([none, leftOut]).toEqual([[], ['matmul/nn/f32/128x128x128/wasm-1']]);
});

test('told to end, a run leaves what is under way, and does not wait for it: a case, the floors', async () => {
  const table = [64, 65].map((n) => ({ ...cases[0], shape: `${n}`, ...tiny(n) }));
  for (const under of ['matmul_nn', 'floor_copy']) {
    const told = new AbortController();
    const provider = scripted([], () => 9);
    const place: Provider['place'] = async (c, inputs) => {
      const lane = (await provider.place(c, inputs)) as Lane;
      if (c.entry !== under) return lane;
      setTimeout(() => told.abort());
      return { ...lane, round: () => new Promise(() => {}) };
    };
    const printed: string[] = [];
    const { floors, rows, notReached } = await runCases({
      cases: table,
      providers: [{ ...provider, floorOf: 'wasm-1', place }],
      budget: QUICK,
      wanted: () => true,
      print: (line) => printed.push(line),
      stop: new Stop(undefined, told.signal),
    });
    expect([rows, notReached]).toEqual([[], [64, 65].map((n) => `matmul/nn/f32/${n}/wasm-1`)]);
    expect(Object.keys(floors)).toEqual(under === 'matmul_nn' ? ['wasm-1'] : []);
    expect(printed.filter((line) => line.startsWith('floor wasm-1'))).toHaveLength(Object.keys(floors).length);
  }
});

test('a row has the time of its own work at the rate of its probe; a probe that is wrong ends the run', async () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/512x512x512') as BenchCase;
  const session = { cases: [c], budget: { ...QUICK, rounds: 3 }, wanted: () => true, print: () => {} };
  const { rows } = await runCases({ ...session, providers: [scripted([], () => 9)] });
  // 2 x 512^3 flops where 16384 x 128 x 12 x 8 took 10, 20 and 30 ms.
  expect(rows.map((r) => [r.median_ms, r.floor_ms, r.floor_share])).toEqual([[2, 26.67, null]]);
  const broken = runCases({ ...session, providers: [scripted([], () => 9, 'floor_fma')] });
  await expect(broken).rejects.toThrow(/^floor\/fma\/f32\/16384x128\/wasm-1: y: relative RMS error .*; no floor to compare with$/);
});

test('multiply-adds are measured on more of them where a launch takes less than a millisecond', async () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/64x64x64') as BenchCase;
  const flops = (of: BenchCase) => of.spec.entries[of.entry].flops(of.params);
  const gflops = async (probeMs: (probe: BenchCase) => number) => {
    const provider = scripted([], () => 99, undefined, probeMs);
    const { floors } = await runCases({
      cases: [c],
      budget: { ...QUICK, rounds: 1 },
      wanted: () => true,
      print: () => {},
      providers: [{ ...provider, floorOf: 'wasm-1' }],
    });
    return floors['wasm-1'].gflops;
  };
  // A launch costs 10 us and the work its time at 50 TFLOP/s: the last step comes near, where the first says 14.
  const near = await gflops((probe) => 0.01 + (probe.entry === 'floor_fma' ? flops(probe) / 5e10 : 10));
  expect(near).toBeGreaterThan(49_000);
  const asked: string[] = [];
  await gflops((probe) => {
    if (probe.entry === 'floor_fma') asked.push(probe.shape);
    return probe.shape === '16384x128' ? 0.9 : 1;
  });
  expect(asked).toEqual(['16384x128', '262144x128']);
});

test('a GPU is heated until two samples are at the best rate, which is counted', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  let [ms, samples] = [20, 0];
  const sync = async () => {
    samples++;
    vi.advanceTimersByTime(ms);
  };
  const made = heater({ prepare: async () => {}, alloc: () => ({}), dispatch: () => {}, sync } as unknown as Backend);
  const heated = async () => {
    samples = 0;
    await made.heat();
    return samples;
  };
  expect(await heated()).toBe(100); // two seconds at least the first time
  expect(await heated()).toBe(2);
  ms = 100;
  expect(await heated()).toBe(50); // five at most
  expect([made.spentMs, heatNote(made, 234.6)]).toEqual([7040, 'heating took 7 s of 235']);
  expect(heatNote(undefined, 1)).toBeUndefined();
  vi.useRealTimers();
});

test('--tune measures what has variants, says so and saves the choice', async () => {
  const entries = cases.filter(tunable).map((c) => c.entry);
  expect(entries).toEqual(expect.arrayContaining(['matmul_nt', 'softmax_fwd']));
  expect(entries).not.toContain('attention_fwd'); // its table of segments cannot be drawn at random
  const backend = await openDevice({ device: 'webgpu-software' }); // its driver lies in the usual cache folder
  const cache = mkdtempSync(join(tmpdir(), 'eagrl-bench-'));
  process.env.XDG_CACHE_HOME = cache;
  const out: string[] = [];
  try {
    const small = cases.filter((c) => titleOf(c) === 'matmul/nn/f32/64x64x64');
    const made = await tuneCases(backend, small, 0.05, (line) => out.push(line));
    expect(made.shapes.map((s) => s.key)).toEqual(['matmul_nn 64x64x64x1']);
    expect(out[0]).toMatch(/^matmul_nn 64x64x64x1 +\w+ +\w+ [\d.]+ {2}\w+ /);
    expect(out[1]).toContain(cache);
    expect(await loadTuning(backend)).toEqual(made);
  } finally {
    delete process.env.XDG_CACHE_HOME;
    rmSync(cache, { recursive: true });
    await backend.destroy();
  }
});

test('a wrong result is reported, not timed, and fails', async () => {
  const base = cases.find((c) => c.entry === 'bce_logits') as (typeof cases)[number];
  const off = (b: { losses: Float64Array }, p: object) => {
    base.spec.ref['bce_logits'](b, p);
    b.losses[3] += 0.01;
  };
  const broken = { ...base, spec: { ...base.spec, ref: { bce_logits: off } } };
  const { code, out } = await run(['--quick', '--device', 'wasm', '--filter', '/wasm-1'], [broken]);
  const { rows } = JSON.parse(out.at(-1) as string) as { rows: Row[] };
  expect(code).toBe(1);
  expect(rows.map((r) => r.median_ms)).toEqual([null]);
  expect(rows[0].rel_err).toBeGreaterThan(1e-5);
  expect(out.find((line) => line.startsWith('bce/'))).toMatch(/WRONG, not timed: losses: relative RMS error/);
});

test('a peer that claims twice the rate of registers is reported, not timed; ours and one without a floor are taken at their word', () => {
  const c = cases.find((x) => titleOf(x) === 'matmul/nn/f32/256x256x256') as (typeof cases)[number];
  const time = summary([1]); // 33.6 MFLOP in 1 ms: 33.6 GFLOP/s
  const measured = (peer: boolean) => ({
    provider: { ...own('x', new ReferenceBackend(0)), peer },
    verdict: { relErr: 1e-7 },
    time,
    probes: [],
  });
  const floor = (gflops: number) => ({ gflops, copies: [] });
  const told = credible(c, measured(true), floor(16));
  expect([told.time, told.verdict.relErr]).toEqual([undefined, 1e-7]);
  expect(told.verdict.wrong).toBe('34 GFLOP/s where registers alone give 16: it did not do the work of every launch');
  for (const fine of [
    credible(c, measured(true), floor(17)),
    credible(c, measured(false), floor(1)),
    credible(c, measured(true), undefined),
  ])
    expect(fine.time).toBe(time);
});

test.each([
  [['--fitler', 'x'], "unknown flag '--fitler'"],
  [['-q'], "unknown flag '-q'"],
  [['--filter'], 'argument missing'],
  [['--device', 'gpu'], "'gpu' is none of"],
  [['--device', 'webgpu,webgpu-software'], 'at most one of'],
  [['--filter', 'sofmax'], 'no row of this run has this'],
  [['--quick', '--full'], 'one of them'],
  [['--peers', 'tfjs'], "'tfjs' is none of tfjs-wasm"],
  [['--compare', 'no_such.jsonl'], 'no_such.jsonl: no such file'],
  [['--tune', '0'], 'expected seconds'],
  [['--tune', '1', '--device', 'wasm'], 'has one way to compute'],
  [['--tune', '1', '--filter', 'mcts'], 'no row of this run has this'],
])('%s is refused', async (argv, message) => {
  const { code, out, err } = await run(argv);
  expect([code, out]).toEqual([2, []]);
  expect(err).toContain(message);
});

test('a processor is told from one of another generation with the same name', () => {
  const x86 = (family: number, model: number) =>
    `processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: ${family}\nmodel\t\t: ${model}\nmodel name\t: AMD EPYC\n`;
  expect(cpuName('AMD EPYC', x86(23, 1))).toBe('AMD EPYC (family 23, model 1)');
  expect(cpuName('AMD EPYC', x86(25, 17))).not.toBe(cpuName('AMD EPYC', x86(23, 1)));
  expect(cpuName('Apple M4', '')).toBe('Apple M4');
  expect(cpuName('ARMv8', 'processor\t: 0\nCPU part\t: 0xd40\n')).toBe('ARMv8');
});

test('a receipt names files, not the folders of the machine', () => {
  const argv = ['--full', '--html', '/home/someone/out.html', '--compare=results/a.jsonl', '--filter', 'matmul/nn/f32', '--device=wasm'];
  expect(commandOf(argv)).toBe('npm run bench -- --full --html out.html --compare=a.jsonl --filter matmul/nn/f32 --device=wasm');
  const file = fileURLToPath(new URL('bench/src/peers/torch_peer.py', repository));
  expect(withoutRoot(`File "${file}", line 20`)).toBe('File "bench/src/peers/torch_peer.py", line 20');
});

test('the probes give what the reference gives, with every copy size and on one thread and two', async () => {
  const providers = [
    own('wasm-1', await openDevice({ device: 'wasm', threads: 1 })),
    own('wasm-2', await openDevice({ device: 'wasm', threads: 2 })),
  ];
  for (const c of [...copyCases.flatMap(({ plain, wide }) => [plain, wide]), ...Object.values(fmaCases), fmaSteps[1].plain]) {
    for (const m of await measure(c, providers, QUICK)) {
      expect(m.verdict, titleOf(c)).toEqual({ relErr: 0, wrong: undefined });
      expect(m.time?.best, titleOf(c)).toBeGreaterThan(0);
    }
  }
  for (const p of providers) await p.close();
});

test('thread counts to measure', () => {
  expect(threadCounts(1, true)).toEqual([]);
  expect(threadCounts(2, false)).toEqual([1]);
  expect(threadCounts(12, false)).toEqual([1]);
  expect(threadCounts(12, true)).toEqual([1, 2, 4, 8]);
});

test('summary, check and floor by hand', () => {
  expect(summary([4, 1, 2, 3, 10])).toEqual({ median: 3, spread: 2 / 3, best: 1, count: 5 });
  expect(relativeRms([3, 4.5], [3, 4])).toBeCloseTo(0.1);
  expect(relativeRms([Number.NaN, 1], [Number.NaN, 1])).toBe(0);
  expect(relativeRms([Number.NaN, 1], [0, 1])).toBeNaN();
  const add = cases.find((c) => c.entry === 'add') as (typeof cases)[number];
  const copies = [
    { bytes: 1 << 20, gbps: 100 },
    { bytes: 1 << 30, gbps: 10 },
  ];
  // 131,072 adds: 1.5 MiB at 100 GB/s; or, where arithmetic is slow, 131,072 flops at 0.001 GFLOP/s.
  expect(floorMs({ copies, gflops: 50 }, add)).toBeCloseTo(0.01573, 5);
  expect(floorMs({ copies, gflops: 0.001 }, add)).toBeCloseTo(131.072, 3);
});
