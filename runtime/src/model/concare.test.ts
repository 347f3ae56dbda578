/**
 * Plan. Every gradient of a tiny ConCare (odd sizes, patients of 1 to 5 visits): finite differences of the loss on the f64 reference,
 * and wasm and webgpu against the reference; probabilities and attention too. Order of patients does not matter. A batch of one. All
 * memory comes back after a step; a failed step leaves no tape. It overfits 32 synthetic patients on wasm, dropout on. Importance:
 * one-hot columns summed, ensemble averaged. Wrong input is refused.
 */
import { assertClose, Random, relRms, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ReferenceBackend } from '../backend/reference.ts';
import type { Backend } from '../backend.ts';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { AdamW } from '../optim/adamw.ts';
import { attentionImportance, ConCare, type ConCareConfig, type ConCarePatient } from './concare.ts';

const tiny: ConCareConfig = {
  num_features: 3,
  num_statics: 2,
  hidden_size: 6,
  num_heads: 2,
  key_size: 3,
  ffn_size: 5,
  dropout: 0,
  decov_weight: 10,
};

function patientsOf(r: Random, lengths: readonly number[], { num_features, num_statics }: ConCareConfig): ConCarePatient[] {
  return lengths.map((n) => ({ visits: Array.from({ length: n }, () => r.normals(num_features)), statics: r.normals(num_statics) }));
}
const lengths = [2, 5, 1, 3, 5];
const labels = [1, 0, 0, 1, 1];

let reference: Backend;
let wasm: Backend;
beforeAll(async () => {
  reference = await openDevice({ device: 'reference' });
  wasm = await openDevice({ device: 'wasm', threads: 2 });
});
afterAll(() => Promise.all([reference.destroy(), wasm.destroy()]));

async function gradients(backend: Backend, patients: ConCarePatient[], y: number[]) {
  const model = new ConCare(new Context(backend), tiny, 5);
  model.params.enableGrad();
  const loss = await model.accumulate(patients, y);
  const grads = await model.params.readGrads();
  const { probabilities, attention } = await model.predict(patients);
  model.destroy();
  return { loss, grads, probabilities, attention };
}

test('gradients of all parameters equal finite differences on the reference', async () => {
  const ctx = new Context(reference);
  const model = new ConCare(ctx, tiny, 5);
  model.params.enableGrad();
  const patients = patientsOf(new Random('concare fd'), lengths, tiny);
  // Reads come back as f32; the reference keeps the f64 of each loss term, and these are read there.
  const values = (reference as ReferenceBackend).values(model.params.values[0].slice);
  const gradient = (reference as ReferenceBackend).values((model.params.grads as typeof model.params.values)[0].slice);
  await model.accumulate(patients, labels);
  const want = gradient.slice();
  const start = values.slice();
  const r = new Random('concare directions');
  // One direction per parameter, so that a wrong small gradient cannot hide behind a large one. f32 losses: h is 1e-2 with Richardson.
  for (const p of model.params.list) {
    const from = p.value.slice.offset;
    const length = p.value.slice.length;
    const direction = r.normals(length, 1 / Math.sqrt(length));
    const lossAt = async (h: number) => {
      values.set(start);
      for (let i = 0; i < length; i++) values[from + i] += h * direction[i];
      return (await model.accumulate(patients, labels)).loss;
    };
    const central = async (h: number) => ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    const slope = (4 * (await central(0.02)) - (await central(0.04))) / 3;
    let dot = 0;
    for (let i = 0; i < length; i++) dot += want[from + i] * direction[i];
    assertClose([slope], [dot], { rel: 1e-3, abs: 2e-5, label: p.name });
  }
  values.set(start);
  model.destroy();
});

// A constant added to all keys shifts all scores of a softmax alike: these gradients are 0 but for rounding.
const ZERO = ['self_attn.k_proj.bias', 'final_attn.k_proj.bias'];

for (const device of ['wasm', 'webgpu-software'] as const) {
  test(`${device} equals the reference: loss, every gradient, probabilities, attention`, async () => {
    const patients = patientsOf(new Random('concare device'), lengths, tiny);
    const want = await gradients(reference, patients, labels);
    const backend = await openDevice({ device });
    const got = await gradients(backend, patients, labels);
    await backend.destroy();
    expect(got.loss.loss).toBeCloseTo(want.loss.loss, 5);
    expect(got.loss.decov).toBeCloseTo(want.loss.decov, 6);
    for (const [name, grad] of want.grads) {
      const values = got.grads.get(name) ?? new Float32Array();
      if (ZERO.includes(name)) {
        assertClose(values, new Float32Array(grad.length), { rel: 0, abs: 1e-6, label: name });
      } else {
        expect(relRms(values, grad), name).toBeLessThan(1e-4);
        expect(
          grad.some((v) => v !== 0),
          name,
        ).toBe(true);
      }
    }
    assertClose(got.probabilities, want.probabilities, TOLERANCE.chained);
    assertClose(got.attention, want.attention, TOLERANCE.chained);
    for (let b = 0; b < patients.length; b++) {
      const sum = got.attention.subarray(b * 4, b * 4 + 4).reduce((total, v) => total + v, 0);
      expect(sum).toBeCloseTo(1, 5);
    }
  });
}

test('the order of patients changes nothing but the order of the results', async () => {
  const patients = patientsOf(new Random('concare order'), lengths, tiny);
  const one = await gradients(wasm, patients, labels);
  const other = await gradients(wasm, patients.toReversed(), labels.toReversed());
  for (const [name, grad] of one.grads) assertClose(other.grads.get(name) ?? [], grad, { ...TOLERANCE.chained, label: name });
  assertClose(other.probabilities.toReversed(), one.probabilities, TOLERANCE.chained);
});

test('a batch of one patient trains: no covariance, loss and gradients finite', async () => {
  const { loss, grads } = await gradients(wasm, patientsOf(new Random('concare one'), [3], tiny), [1]);
  expect(loss.decov).toBe(0);
  for (const [name, grad] of grads) expect(grad.every(Number.isFinite), name).toBe(true);
});

test('a step gives all its memory back, also a failed one', async () => {
  const ctx = new Context(wasm);
  const model = new ConCare(ctx, tiny, 1);
  const optimizer = new AdamW(model.params);
  const patients = patientsOf(new Random('concare memory'), lengths, tiny);
  await model.trainStep(patients, labels, optimizer, 1e-3);
  const live = wasm.stats.liveBytes;
  await model.trainStep(patients, labels, optimizer, 1e-3);
  await model.predict(patients, { batchSize: 2 });
  expect(wasm.stats.liveBytes).toBe(live);
  const broken = [{ visits: [[1, 2]], statics: [0, 0] }];
  await expect(model.accumulate(broken, [1])).rejects.toThrow('patient 0 of the batch has a visit of 2 values, expected 3');
  await expect(model.accumulate([{ visits: [], statics: [0, 0] }], [1])).rejects.toThrow('has no visits');
  await expect(model.accumulate(patients, [1])).rejects.toThrow('5 patients with 1 labels');
  expect(ctx.tape).toBeUndefined();
  expect(wasm.stats.liveBytes).toBe(live);
  optimizer.destroy();
  model.destroy();
});

test('it overfits 32 patients', async () => {
  const config = { ...tiny, num_features: 5, hidden_size: 16, num_heads: 4, key_size: 8, ffn_size: 16, dropout: 0.1 };
  const r = new Random('concare overfit');
  const patients = patientsOf(
    r,
    Array.from({ length: 32 }, () => 1 + r.int(6)),
    config,
  );
  const y = patients.map(() => r.int(2));
  const model = new ConCare(new Context(wasm), config, 2);
  const optimizer = new AdamW(model.params);
  const first = await model.trainStep(patients, y, optimizer, 5e-3);
  for (let step = 0; step < 200; step++) await model.trainStep(patients, y, optimizer, 5e-3);
  const { probabilities } = await model.predict(patients);
  expect(first.bce).toBeGreaterThan(0.5);
  expect(probabilities.every((p, i) => p > 0.5 === (y[i] === 1))).toBe(true);
  optimizer.destroy();
  model.destroy();
});

test('importance: demographic token left out, one-hot columns summed, ensemble averaged', () => {
  // Two patients, columns 0 and 1 are one feature, column 2 another; the fourth number is the demographic token.
  const a = Float32Array.of(0.1, 0.2, 0.3, 0.4, 0.25, 0.25, 0.5, 0);
  const b = Float32Array.of(0.3, 0, 0.5, 0.2, 0.25, 0.25, 0, 0.5);
  assertClose(attentionImportance([a, b], [0, 0, 1], 2), [0.3, 0.4, 0.5, 0.25], TOLERANCE.elementwise);
  expect(() => attentionImportance([], [0], 1)).toThrow('at least one model');
  expect(() => attentionImportance([a, a.subarray(1)], [0, 0, 1], 2)).toThrow('expected arrays of patients x 4 numbers');
  expect(() => attentionImportance([a], [0, 0, 2], 2)).toThrow('column 2 belongs to feature 2 of 2');
});
