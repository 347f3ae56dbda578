/**
 * Plan: ConCare against a PyTorch twin in f64 (concare.py): 6 patients of 1 to 7 visits, in an order that the batch must sort; sizes that
 * are no multiples of a SIMD width (hidden 12, 4 heads of 3, key 5, feed-forward 7).
 *   forward: probabilities and final attention, also when the patients are predicted two at a time
 *   loss: mean binary cross-entropy, DeCov, their weighted sum; gradient of every parameter by itself
 * Tolerance: `chained` of the table (GRU through time, three attentions) for outputs, 1e-4 relative RMS for gradients.
 * A softmax does not see a bias on its keys: the gradient of k_proj.bias is 0 but for rounding, which is held against its weight's.
 */
import { readFileSync } from 'node:fs';
import {
  ConCare,
  type ConCareConfig,
  type ConCarePatient,
  Context,
  loadParams,
  openDevice,
  parseSafetensors,
  type StoredTensor,
} from '@eagrl/runtime';
import { assertClose, relRms, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

interface Golden {
  config: ConCareConfig;
  patients: ConCarePatient[];
  labels: number[];
  probabilities: number[];
  attention: number[][];
  loss: number;
  bce: number;
  decov: number;
}

const at = (file: string) => new URL(file, import.meta.url);
const golden: Golden = JSON.parse(readFileSync(at('concare.json'), 'utf8'));
const { tensors } = parseSafetensors(readFileSync(at('concare.safetensors')));
const stored = (name: string): Float32Array => (tensors.get(name) as StoredTensor).read();
const weights = new Map([...tensors].filter(([name]) => !name.startsWith('grad.')));
const GRADIENT_RMS = 1e-4;

describe.each(['wasm', 'webgpu-software', 'reference'] as const)('%s', (device) => {
  let ctx: Context;
  let model: ConCare;
  beforeAll(async () => {
    ctx = new Context(await openDevice({ device, threads: 2 }));
    model = new ConCare(ctx, golden.config, 1);
    loadParams(model.params, weights);
  });
  afterAll(async () => {
    model.destroy();
    await ctx.backend.destroy();
  });

  test.each([256, 2])('forward in batches of %i', async (batchSize) => {
    const { probabilities, attention } = await model.predict(golden.patients, { batchSize });
    assertClose(probabilities, golden.probabilities, { ...TOLERANCE.chained, label: 'probabilities' });
    assertClose(attention, golden.attention.flat(), { ...TOLERANCE.chained, label: 'attention' });
  });

  test('loss and gradient of every parameter', async () => {
    model.params.enableGrad();
    model.params.zeroGrad();
    const { loss, bce, decov } = await model.accumulate(golden.patients, golden.labels);
    assertClose([loss, bce, decov], [golden.loss, golden.bce, golden.decov], { ...TOLERANCE.chained, label: 'loss, bce, decov' });
    const grads = await model.params.readGrads();
    const names = [...tensors.keys()].filter((name) => name.startsWith('grad.'));
    expect([...grads.keys()].map((name) => `grad.${name}`).sort()).toEqual(names.sort());
    for (const [name, got] of grads) {
      const want = stored(`grad.${name}`);
      expect(got.length, name).toBe(want.length);
      if (name.endsWith('k_proj.bias')) {
        const scale = Math.max(...stored(`grad.${name.replace('bias', 'weight')}`).map(Math.abs));
        assertClose(got, want, { rel: 0, abs: GRADIENT_RMS * scale, label: name });
      } else expect(relRms(got, want), name).toBeLessThan(GRADIENT_RMS);
    }
  });
});
