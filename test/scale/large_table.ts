/**
 * The tied embedding of Qwen2.5-0.5B, 151,936 x 896 as f32 (545 MB), on a WebGPU device that has no more than the standard's default limits:
 * 128 MiB per binding, 256 MiB per buffer. Rows by index, log-probabilities and the gradient of the hidden states against f64 on the host.
 * Not in the test suite: it takes a minute or two on a software adapter and 2 GB.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/scale/large_table.ts [webgpu-software | webgpu] [f32 | f16 | int8 | int4]
 */
import { type Backend, Context, embedding, lmHeadLogprobs, StoredWeights, sizeOf, Tape, WEIGHT_TYPES } from '@eagrl/runtime';
import { Random, relRms } from '@eagrl/testing';
import { WebgpuBackend } from '../../runtime/src/backend/webgpu.ts';
import { readSwitches } from '../../runtime/src/debug.ts';
import { loadPlatform } from '../../runtime/src/platform/platform.ts';

const [device = 'webgpu-software', dtypeName = 'f32'] = process.argv.slice(2);
const dtype = WEIGHT_TYPES.find((t) => t === dtypeName);
if (!dtype) throw new Error(`dtype ${dtypeName}; expected ${WEIGHT_TYPES.join(', ')}`);
const VOCAB = 151_936;
const DIM = 896;
const ROWS = 6;

const backend = await openWithDefaultLimits(device === 'webgpu-software');
const ctx = new Context(backend);
const random = new Random('large table');
const values = new Float32Array(VOCAB * DIM);
for (let i = 0; i < values.length; i++) values[i] = (random.next() - 0.5) * 0.1;
const stored = new StoredWeights(ctx, [{ name: 'embed', shape: [VOCAB, DIM], decay: true }], dtype);
stored.write('embed', values);
const table = stored.get('embed');
console.log(
  `${backend.info.adapter}: ${dtype}, binds ${backend.info.maxBindingBytes} bytes; parts ${table.parts.map((p) => p.rows).join(' + ')}`,
);

const ids = Uint32Array.from([0, VOCAB - 1, ...table.parts.flatMap((p) => [p.start, p.start + p.rows - 1]), 77_777]);
const found = await ctx.read(embedding(ctx, table, ctx.from(ids)));
const want = Float32Array.from({ length: ids.length * DIM }, (_, i) => values[ids[Math.floor(i / DIM)] * DIM + (i % DIM)]);
console.log(`rows ${ids.join(' ')}: relative RMS ${relRms(found, want)}`);

const hidden = random.normals(ROWS * DIM);
const targets = Uint32Array.from({ length: ROWS }, (_, i) => (i === 0 ? VOCAB - 1 : random.int(VOCAB)));
const weights = random.normals(ROWS);
const h = ctx.from(hidden, [ROWS, DIM]);
const tape = new Tape(ctx);
tape.watch(h);
const { logprobs } = lmHeadLogprobs(ctx, h, table, targets);
const read = ctx.read(logprobs);
tape.backward(logprobs, ctx.from(weights));
const dh = await ctx.read(tape.takeGrad(h));
const expected = onHost();
console.log(`log-probabilities: relative RMS ${relRms(await read, expected.logprobs)}; gradient: ${relRms(dh, expected.dh)}`);
const bound = { f32: 1e-5, f16: 1e-3, int8: 2e-2, int4: 0.2 }[dtype];
const right =
  relRms(found, want) <= (dtype === 'f32' ? 0 : bound) && relRms(await read, expected.logprobs) < bound && relRms(dh, expected.dh) < bound;
await backend.destroy();
process.exit(right ? 0 : 1);

/** The same in f64. */
function onHost(): { logprobs: Float64Array; dh: Float64Array } {
  const out = { logprobs: new Float64Array(ROWS), dh: new Float64Array(sizeOf([ROWS, DIM])) };
  for (let r = 0; r < ROWS; r++) {
    const row = hidden.subarray(r * DIM, (r + 1) * DIM);
    const logits = new Float64Array(VOCAB);
    for (let v = 0; v < VOCAB; v++) for (let i = 0; i < DIM; i++) logits[v] += row[i] * values[v * DIM + i];
    const most = logits.reduce((m, x) => Math.max(m, x), -Infinity);
    const lse = most + Math.log(logits.reduce((s, x) => s + Math.exp(x - most), 0));
    out.logprobs[r] = logits[targets[r]] - lse;
    for (let v = 0; v < VOCAB; v++) {
      const g = weights[r] * ((v === targets[r] ? 1 : 0) - Math.exp(logits[v] - lse));
      for (let i = 0; i < DIM; i++) out.dh[r * DIM + i] += g * values[v * DIM + i];
    }
  }
  return out;
}

/** An adapter that claims the limits every WebGPU implementation must have, and no more. */
async function openWithDefaultLimits(software: boolean): Promise<Backend> {
  const gpu = await (await loadPlatform()).webgpu(software);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('no WebGPU adapter');
  const { features, info } = adapter;
  const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27, maxStorageBuffersPerShaderStage: 8 };
  const modest = { features, info, limits, requestDevice: (wanted: GPUDeviceDescriptor) => adapter.requestDevice(wanted) };
  return WebgpuBackend.open(modest as unknown as GPUAdapter, readSwitches());
}
