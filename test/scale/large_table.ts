/**
 * Embedding and LM head with the table of Qwen2.5-0.5B, 151,936 x 896, on a device that has no more than the standard's default limits:
 * 128 MiB per binding, 256 MiB per buffer. Rows by index, log-probabilities and the gradient of the hidden states against f64 on the host;
 * `trained`: a table of 151,936 x 256 (156 MB), and its gradient, the norm of it and a step of AdamW too.
 * Not in the test suite: it takes a minute or two on a software adapter and 2 GB.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/scale/large_table.ts \
 *       [webgpu-software | webgpu] [f32 | f16 | int8 | int4 | trained]
 */
import {
  AdamW,
  type Backend,
  Context,
  embedding,
  lmHeadLogprobs,
  ParamStore,
  StoredWeights,
  sizeOf,
  Tape,
  WEIGHT_TYPES,
} from '@eagrl/runtime';
import { Random, relRms } from '@eagrl/testing';
import { WebgpuBackend } from '../../runtime/src/backend/webgpu.ts';
import { readSwitches } from '../../runtime/src/debug.ts';
import { loadPlatform } from '../../runtime/src/platform/platform.ts';

const [device = 'webgpu-software', kind = 'f32'] = process.argv.slice(2);
const trained = kind === 'trained';
const dtype = trained ? 'f32' : WEIGHT_TYPES.find((t) => t === kind);
if (!dtype) throw new Error(`${kind}; expected ${WEIGHT_TYPES.join(', ')} or trained`);
const VOCAB = 151_936;
const DIM = trained ? 256 : 896;
const ROWS = 6;

const backend = await openWithDefaultLimits(device === 'webgpu-software');
const ctx = new Context(backend);
const random = new Random('large table');
const values = new Float32Array(VOCAB * DIM);
for (let i = 0; i < values.length; i++) values[i] = (random.next() - 0.5) * 0.1;
const spec = { name: 'embed', shape: [VOCAB, DIM], decay: true };
const store = dtype === 'f32' ? new ParamStore(ctx, [spec]) : new StoredWeights(ctx, [spec], dtype);
store.write('embed', values);
const table = store.get('embed');
const optimizer = trained && store instanceof ParamStore ? new AdamW(store, { eps: 1e-5 }) : undefined;
const { parts } = table;
console.log(`${backend.info.adapter}: ${kind}, binds ${backend.info.maxBindingBytes} bytes; parts ${parts.map((p) => p.rows).join(' + ')}`);

const ids = Uint32Array.from([0, VOCAB - 1, ...parts.flatMap((p) => [p.start, p.start + p.rows - 1]), 77_777]);
const rowGrads = random.normals(ids.length * DIM);
const rowsTape = optimizer && new Tape(ctx);
const rows = embedding(ctx, table, optimizer ? ids : ctx.from(ids));
const readRows = ctx.read(rows);
rowsTape?.backward(rows, ctx.from(rowGrads, [ids.length, DIM]));
const found = await readRows;
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
let right =
  relRms(found, want) <= (dtype === 'f32' ? 0 : bound) && relRms(await read, expected.logprobs) < bound && relRms(dh, expected.dh) < bound;
if (optimizer) right = (await trainedToo(optimizer)) && right;
console.log(`device memory: ${(backend.stats.peakBytes / 1e6).toFixed(0)} MB at the most`);
await backend.destroy();
process.exit(right ? 0 : 1);

/** The gradient of the table, its norm, and what one clipped step of AdamW with decay 0.01 adds to the weights. */
async function trainedToo({ params }: AdamW): Promise<boolean> {
  const grad = (await params.readGrads()).get('embed') as Float32Array;
  const norm = await (optimizer as AdamW).step({ lr: 1e-3 }).gradNorm();
  const after = await params.readOne('embed');
  const dtable = expected.dtable;
  ids.forEach((id, t) => {
    for (let i = 0; i < DIM; i++) dtable[id * DIM + i] += rowGrads[t * DIM + i];
  });
  const wantNorm = Math.sqrt(dtable.reduce((s, g) => s + g * g, 0));
  const clip = Math.min(1, 1 / (wantNorm + 1e-6));
  // First step: both moments without bias are the clipped gradient and its square.
  const change = dtable.map((g, i) => -1e-3 * (0.01 * values[i] + (clip * g) / (Math.abs(clip * g) + 1e-5)));
  // Rows that were asked for by index or are targets have gradients 10^5 times those of the others, which are compared by themselves.
  const loud = new Set([...ids, ...targets]);
  const quiet = (all: Float32Array | Float64Array) => all.map((g, i) => (loud.has(Math.floor(i / DIM)) ? 0 : g));
  const steps = after.map((v, i) => v - values[i]);
  const errors = [relRms(grad, dtable), relRms(quiet(grad), quiet(dtable)), Math.abs(norm / wantNorm - 1), relRms(steps, change)];
  const [all, rest, size, step] = errors.map((e) => e.toExponential(1));
  console.log(
    `gradient of the table: relative RMS ${all}, of its quiet rows ${rest}; its norm ${norm.toFixed(3)}, off by ${size}; the step: ${step}`,
  );
  return errors.every((e) => e < 1e-4);
}

/** The same in f64. */
function onHost(): { logprobs: Float64Array; dh: Float64Array; dtable: Float64Array } {
  const out = {
    logprobs: new Float64Array(ROWS),
    dh: new Float64Array(sizeOf([ROWS, DIM])),
    dtable: new Float64Array(trained ? sizeOf([VOCAB, DIM]) : 0),
  };
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
      if (trained) for (let i = 0; i < DIM; i++) out.dtable[v * DIM + i] += g * row[i];
    }
  }
  return out;
}

/** An adapter that claims the limits every WebGPU implementation must have, and no more. */
async function openWithDefaultLimits(software: boolean): Promise<Backend> {
  const gpu = await (await loadPlatform()).webgpu(software, false);
  const adapter = await gpu.requestAdapter();
  if (!adapter) throw new Error('no WebGPU adapter');
  const { features, info } = adapter;
  const limits = { maxBufferSize: 2 ** 28, maxStorageBufferBindingSize: 2 ** 27, maxStorageBuffersPerShaderStage: 8 };
  const modest = { features, info, limits, requestDevice: (wanted: GPUDeviceDescriptor) => adapter.requestDevice(wanted) };
  return WebgpuBackend.open(modest as unknown as GPUAdapter, readSwitches());
}
