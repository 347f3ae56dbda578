/**
 * Plan. A step of training, with AdamW, and generation, with what a transformer of two layers launches:
 *   on WebGPU it compiles nothing that a rehearsal of it has not compiled, and all that it launches is compiled by then; the rehearsal launches nothing,
 *     holds no memory of the device, and the numbers are those of a device without one
 *   on all devices a mistake in the work is the device's own error, and a kernel that does not compile is one before it is met
 */
import { type KernelSpec, softmax } from '@eagrl/kernels';
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { Engine } from '../generate/engine.ts';
import { tinyConfig, tinyGroups } from '../model/tiny.fixture.ts';
import { Transformer } from '../model/transformer.ts';
import { lmHeadCrossEntropy } from '../ops/lm_head.ts';
import { AdamW } from '../optim/adamw.ts';
import { packGroups } from '../pack.ts';
import { Tape } from '../tape.ts';
import { compileAhead } from './rehearsal.ts';

const device = sharedDevices(2);

/** Loss of a step, and a completion after it. */
async function work(ctx: Context): Promise<number[]> {
  const model = new Transformer(ctx, tinyConfig());
  model.init(1);
  const optimizer = new AdamW(model.params);
  const pack = packGroups(tinyGroups(new Random('rehearsal')));
  const tape = new Tape(ctx);
  const losses = await ctx.scope(() => {
    const hidden = model.forward(pack);
    const perToken = ctx.read(
      lmHeadCrossEntropy(ctx, hidden, model.headWeight, pack.targets, new Float32Array(pack.targets.length).fill(1)),
    );
    tape.backward();
    return perToken;
  });
  await optimizer.step({ lr: 1e-2 }).gradNorm();
  const engine = new Engine(ctx, model);
  const seqs = engine.open([Uint32Array.of(1, 2, 3), Uint32Array.of(4)]);
  const [completion] = await engine.sample(
    seqs.map((seq, stream) => ({ seq, maxTokens: 9, stopTokens: [], seed: 0, stream })),
    { topK: 5 },
  );
  engine.destroy();
  optimizer.destroy();
  model.destroy();
  return [...losses, ...completion.tokens];
}

test('webgpu: what was rehearsed compiles nothing when it is done, and has the same numbers', async () => {
  const backend = await openDevice({ device: 'webgpu-software' });
  const plain = await work(new Context(await device('webgpu-software')));
  const { liveBytes, pooledBytes, buffersCreated, dispatches, submits } = backend.stats;
  await compileAhead(backend, work);
  const { compiled } = backend.stats;
  expect(compiled).toBeGreaterThan(20);
  expect(backend.stats).toMatchObject({ liveBytes, pooledBytes, buffersCreated, dispatches, submits });
  expect(await work(new Context(backend))).toEqual(plain);
  expect(backend.stats.compiled).toBe(compiled);
  // Nor was anything compiled that is not launched.
  expect((await device('webgpu-software')).stats.compiled).toBe(compiled);
  await compileAhead(backend, work);
  expect(backend.stats.compiled).toBe(compiled);
  await backend.destroy();
});

test.each(['reference', 'wasm', 'webgpu-software'] as const)('%s: a mistake is told as the device tells it', async (name) => {
  const backend = await device(name);
  const mistake = (ctx: Context) => ctx.run(softmax, 'softmax_fwd', [ctx.tensor([2, 3]), ctx.tensor([2, 4])], { rows: 2, cols: 4 });
  const told = (call: () => unknown): string => {
    try {
      call();
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing';
  };
  const own = told(() => mistake(new Context(backend)));
  expect(own).toContain("'y' needs 8 f32 elements, got 6");
  await expect(compileAhead(backend, mistake)).rejects.toThrow(own);
  await expect(compileAhead(backend, (ctx) => ctx.free(ctx.from(new Float32Array(3), [3])))).resolves.toBeUndefined();
});

test('a launch of a kernel that does not compile is refused ahead, with its name and line', async () => {
  const backend = await openDevice({ device: 'webgpu-software' });
  const { softmax_fwd } = softmax.entries;
  const entries = { softmax_fwd: { ...softmax_fwd, variants: undefined, rules: undefined } };
  const broken: KernelSpec = { ...softmax, entries, wgsl: 'alias elem = f32;\nfn softmax_fwd( {' };
  const launch = (ctx: Context) => ctx.run(broken, 'softmax_fwd', [ctx.tensor([8]), ctx.tensor([8])], { rows: 1, cols: 8 });
  await expect(compileAhead(backend, launch)).rejects.toThrow(/does not compile: softmax\/softmax_fwd: .*:2:\d+ error/s);
  await backend.destroy();
});
