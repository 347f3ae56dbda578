/**
 * Plan. A peer of another language, played by a script: it gets the arrays of a job as they were, its numbers come back as they were however the
 * pipe cuts them, its words when it fails, and how it ended; what a
 * terminal sends to our group does not reach it. PyTorch itself, on the CPU and only where python3 has it: each of its operations is
 * right against the f64 reference, is timed, and so is the large decoder's step; without CUDA it refuses to be the benchmark's peer.
 */
import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { cases } from '../cases/index.ts';
import { titleOf } from '../lib/case.ts';
import { relativeRms } from '../lib/check.ts';
import { measure } from '../lib/measure.ts';
import { QUICK } from '../lib/time.ts';
import { largeDecoderStep } from '../workloads/decoder.ts';
import type { Job, Opened } from './job.ts';
import { spawnPeer } from './lines.ts';
import { PeerProcess, providerOf, spawnTorch } from './process.ts';

/** Answers `place` with all bytes it got for it, the reply in pieces; `free` with an error; then ends. */
const SCRIPT = `
let held = Buffer.alloc(0);
process.stdin.on('data', async (chunk) => {
  held = Buffer.concat([held, chunk]);
  const end = held.indexOf(10);
  if (end < 0) return;
  const request = JSON.parse(held.subarray(0, end));
  const bytes = (request.job?.arrays ?? []).reduce((n, a) => n + 4 * a.length, 0);
  if (held.length < end + 1 + bytes) return;
  const got = held.subarray(end + 1, end + 1 + bytes);
  held = held.subarray(end + 1 + bytes);
  const write = (data) => new Promise((resolve) => process.stdout.write(data, () => setTimeout(resolve, 5)));
  if (request.what === 'open') return write(JSON.stringify({ value: request.options }) + '\\n');
  if (request.what === 'free') return write('{"error":"no lane"}\\n');
  if (request.what === 'round') { console.error('last words'); process.exit(3); }
  const line = JSON.stringify({ floats: bytes / 4 }) + '\\n';
  for (const piece of [line.slice(0, 4), line.slice(4), got.subarray(0, 3), got.subarray(3)]) await write(piece);
});`;

test('arrays there and back, in pieces; errors; an end', async () => {
  const started = spawnPeer(process.execPath, ['-e', SCRIPT]);
  const peer = new PeerProcess(started);
  expect(process.kill(-(started.child.pid as number), 0)).toBe(true); // its group is its own
  const options = { kind: 'cuda', threads: 1, software: false } as const;
  expect(await peer.ask({ what: 'open', library: 'x', options })).toEqual(options);
  const job: Job = { entry: 'e', params: { n: 3 }, inputs: { a: Float32Array.of(1.5, -0), b: Uint32Array.of(0x40000000) } };
  for (let i = 0; i < 2; i++) {
    expect(await peer.ask({ what: 'place', lane: 0, job })).toEqual(Float32Array.of(1.5, -0, 2));
  }
  await expect(peer.ask({ what: 'free', lane: 0 })).rejects.toThrow('no lane');
  await expect(peer.ask({ what: 'round', lane: 0 })).rejects.toThrow('ended with code 3: last words');
  const none = new PeerProcess(spawnPeer('no-such-command', []));
  await expect(none.ask({ what: 'open', library: 'x', options })).rejects.toThrow('ENOENT');
});

const { status, stdout } = spawnSync('python3', ['-c', 'import torch; print(torch.cuda.is_available())'], { encoding: 'utf8' });

describe.skipIf(status !== 0)('torch', () => {
  const options = { kind: 'cuda', threads: 1, software: false } as const;
  const start = async (device: 'cpu' | 'cuda') => {
    const peer = new PeerProcess(spawnTorch(device));
    const { adapter } = await peer.ask<Opened>({ what: 'open', library: 'torch', options });
    return providerOf('torch-cuda', 'torch', 'cuda', 1, adapter, peer);
  };

  test('its operations are right, and timed', async () => {
    const torch = await start('cpu');
    expect(torch.adapter).toBe('native CPU (torch)');
    const titles = [
      'matmul/nn/f32/64x64x64',
      'matmul/nt/f32/16x704x256',
      'matmul/tn/f32/704x256x512',
      'softmax/fwd/f32/512x1408',
      'rmsnorm/fwd/f32/512x256',
      'attention/fwd/f32/512x4x2x64',
      'cross_entropy/cross_entropy/f32/512x1408',
      'cross_entropy/fwd/f32/512x1408',
      'adamw/adamw/f32/1048576',
    ];
    for (const c of cases.filter((x) => titles.includes(titleOf(x)))) {
      const [m] = await measure(c, [torch], QUICK);
      expect(m.verdict, titleOf(c)).toMatchObject({ wrong: undefined });
      expect(m.time?.median, titleOf(c)).toBeGreaterThan(0);
      titles.splice(titles.indexOf(titleOf(c)), 1);
    }
    expect(titles).toEqual([]);
    const rope = cases.find((c) => c.entry === 'rope_fwd') as (typeof cases)[number];
    expect(await measure(rope, [torch], QUICK)).toEqual([]);
    await torch.close();
  });

  test('the large decoder', async () => {
    const torch = await start('cpu');
    const { job, reference } = largeDecoderStep({ batch: 2, tokens: 16, hidden: 64, heads: 2, mlp: 96, vocab: 40, layers: 2 }, 'small');
    const lane = await torch.placeJob(job as Job);
    const { figures } = (await lane?.outputs()) ?? {};
    expect(relativeRms(figures, (await reference?.()) ?? [])).toBeLessThan(1e-5);
    await lane?.prepare(QUICK);
    expect((await lane?.round())?.wall.length).toBeGreaterThan(0);
    await torch.close();
  });

  test.skipIf(stdout.includes('True'))('without CUDA it does not stand in', async () => {
    await expect(start('cuda')).rejects.toThrow('torch finds no CUDA here');
  });
});
