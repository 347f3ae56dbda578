/**
 * Plan, for GRU, AdaCare and logistic regression, tiny and of odd sizes, patients of 1 to 7 visits in no order:
 *   logits: a plain f64 net over single patients, written out here, gives the same
 *   gradients of all parameters: finite differences of that net's loss; wasm and webgpu against the reference
 *   importance: what the definition says, by finite differences of the logit; each patient's sum is 1
 *   the order of patients changes nothing; a batch of one; memory comes back, also after a failed step; wrong input is refused
 *   each overfits 32 patients whose outcome it can express
 */
import { assertClose, Random, relRms, TOLERANCE } from '@eagrl/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Backend } from '../backend.ts';
import { Context } from '../context.ts';
import { openDevice } from '../device.ts';
import { AdamW } from '../optim/adamw.ts';
import { AdaCare } from './adacare.ts';
import type { ExpertPatient } from './expert.ts';
import { GruExpert } from './gru_expert.ts';
import { LogisticExpert } from './logistic_expert.ts';
import type { SeriesExpert } from './series_expert.ts';

const tiny = { num_features: 3, num_statics: 2, hidden_size: 6, dropout: 0, kernels: 3 };
const WIDTH = 5;
type Kind = 'gru' | 'adacare' | 'logistic';
const KINDS: readonly Kind[] = ['gru', 'adacare', 'logistic'];
const MODELS = { gru: GruExpert, adacare: AdaCare, logistic: LogisticExpert };
const make = (kind: Kind, backend: Backend, config = tiny, seed = 5): SeriesExpert => new MODELS[kind](new Context(backend), config, seed);

function patientsOf(name: string, lengths: readonly number[], numFeatures = tiny.num_features): ExpertPatient[] {
  const r = new Random(name);
  return lengths.map((n) => ({ visits: Array.from({ length: n }, () => r.normals(numFeatures)), statics: r.normals(2) }));
}
const lengths = [2, 7, 1, 3, 7];
const labels = [1, 0, 0, 1, 1];

let reference: Backend;
let wasm: Backend;
beforeAll(async () => {
  reference = await openDevice({ device: 'reference' });
  wasm = await openDevice({ device: 'wasm', threads: 2 });
});
afterAll(() => Promise.all([reference.destroy(), wasm.destroy()]));

// ---------------------------------------------------------------- the same nets, one patient at a time

type Weights = ReadonlyMap<string, ArrayLike<number>>;
const sigmoid = (v: number) => 1 / (1 + Math.exp(-v));
const relu = (v: number) => Math.max(0, v);
/** W x + b, b left out where there is none. */
function affine(w: Weights, name: string, x: readonly number[]): number[] {
  const weight = w.get(`${name}.weight`) as ArrayLike<number>;
  const rows = weight.length / x.length;
  return Array.from({ length: rows }, (_, r) =>
    x.reduce((sum, v, c) => sum + v * weight[r * x.length + c], w.get(`${name}.bias`)?.[r] ?? 0),
  );
}
const plus = (a: readonly number[], b: readonly number[]) => a.map((v, i) => v + b[i]);

function gruState(w: Weights, inputs: readonly (readonly number[])[]): number[] {
  let h: number[] = Array(tiny.hidden_size).fill(0);
  for (const gi of inputs) {
    const gh = affine(w, 'gru.hh', h);
    const d = h.length;
    h = h.map((before, j) => {
      const z = sigmoid(gi[j + d] + gh[j + d]);
      return (1 - z) * Math.tanh(gi[j + 2 * d] + sigmoid(gi[j] + gh[j]) * gh[j + 2 * d]) + z * before;
    });
  }
  return h;
}

/** Rows of [features, statics] to the logit. */
const NETS: Readonly<Record<Kind, (w: Weights, rows: readonly number[][]) => number>> = {
  logistic: (w, rows) => affine(w, 'output', rows[rows.length - 1])[0],
  gru: (w, rows) => {
    const inputs = rows.map((x) => affine(w, 'gru.ih', x));
    return affine(w, 'output', gruState(w, inputs))[0];
  },
  adacare: (w, rows) => {
    const zero = Array(WIDTH).fill(0);
    const inputs = rows.map((x, t) => {
      const scales = [1, 3, 5].map((lag) =>
        plus(affine(w, `conv.${lag}.now`, x), affine(w, `conv.${lag}.past`, rows[t - lag] ?? zero)).map(relu),
      );
      const squeeze = [1, 3, 5]
        .map((lag, n) => affine(w, `squeeze.${lag}`, scales[n]))
        .reduce(plus)
        .map(relu);
      const g = affine(w, 'excite.x', affine(w, 'squeeze.x', x).map(relu)).map(sigmoid);
      const parts = [1, 3, 5].map((lag, n) => {
        const open = affine(w, `excite.${lag}`, squeeze).map(sigmoid);
        return affine(
          w,
          `gru.ih.${lag}`,
          scales[n].map((v, i) => v * open[i]),
        );
      });
      return [
        affine(
          w,
          'gru.ih.x',
          x.map((v, i) => v * g[i]),
        ),
        ...parts,
      ].reduce(plus);
    });
    return affine(w, 'output', gruState(w, inputs))[0];
  },
};
const rowsOf = ({ visits, statics }: ExpertPatient) => visits.map((visit) => [...Array.from(visit), ...Array.from(statics)]);

/** (F + 1), by the definition, from central differences of the logit in f64. */
function importanceOf(kind: Kind, w: Weights, patient: ExpertPatient): number[] {
  const rows = rowsOf(patient);
  const h = 1e-5;
  const slope = (t: number, j: number) => {
    const moved = (step: number) =>
      NETS[kind](
        w,
        rows.map((row, s) => row.map((v, c) => (s === t && c === j ? v + step : v))),
      );
    return (moved(h) - moved(-h)) / (2 * h);
  };
  const sums = Array.from({ length: WIDTH }, (_, j) => Math.abs(rows.reduce((sum, row, t) => sum + slope(t, j) * row[j], 0)));
  const own = [...sums.slice(0, 3), sums[3] + sums[4]];
  const total = own.reduce((a, b) => a + b, 0);
  return own.map((v) => v / total);
}

// ---------------------------------------------------------------- tests

async function gradients(kind: Kind, backend: Backend, patients: ExpertPatient[], y: number[]) {
  const model = make(kind, backend);
  model.params.enableGrad();
  const { loss } = await model.accumulate(patients, y);
  const grads = await model.params.readGrads();
  const weights = await model.params.read();
  const answers = await model.predict(patients, { batchSize: 4 });
  model.destroy();
  return { loss, grads, weights, ...answers };
}

describe.each(KINDS)('%s', (kind) => {
  const patients = patientsOf('experts', lengths);

  test('equals the net written out, and importance its definition', async () => {
    const { loss, weights, probabilities, attention } = await gradients(kind, reference, patients, labels);
    const logits = patients.map((p) => NETS[kind](weights, rowsOf(p)));
    assertClose(probabilities, logits.map(sigmoid), TOLERANCE.elementwise);
    const bce = logits.reduce((sum, z, i) => sum - Math.log(labels[i] === 1 ? sigmoid(z) : 1 - sigmoid(z)), 0) / 5;
    expect(loss).toBeCloseTo(bce, 6);
    patients.forEach((p, i) => {
      assertClose(attention.subarray(4 * i, 4 * i + 4), importanceOf(kind, weights, p), { rel: 1e-5, abs: 1e-6, label: `patient ${i}` });
    });
  });

  test('gradients of all parameters equal finite differences of the net written out', async () => {
    const { grads, weights } = await gradients(kind, reference, patients, labels);
    const lossOf = (w: Weights) =>
      patients.reduce((sum, p, i) => sum + Math.log1p(Math.exp((1 - 2 * labels[i]) * NETS[kind](w, rowsOf(p)))), 0) / patients.length;
    const r = new Random('experts directions');
    for (const [name, values] of weights) {
      const direction = r.normals(values.length, 1 / Math.sqrt(values.length));
      const at = (h: number) =>
        lossOf(
          new Map<string, ArrayLike<number>>(weights).set(
            name,
            Float64Array.from(values, (v, i) => v + h * direction[i]),
          ),
        );
      const h = 1e-5;
      const dot = (grads.get(name) as Float32Array).reduce((sum, g, i) => sum + g * direction[i], 0);
      assertClose([dot], [(at(h) - at(-h)) / (2 * h)], { rel: 1e-5, abs: 1e-7, label: name });
    }
  });

  test.each(['wasm', 'webgpu-software'] as const)('%s equals the reference', async (device) => {
    const want = await gradients(kind, reference, patients, labels);
    const backend = await openDevice({ device });
    const got = await gradients(kind, backend, patients, labels);
    await backend.destroy();
    expect(got.loss).toBeCloseTo(want.loss, 5);
    for (const [name, grad] of want.grads) {
      expect(relRms(got.grads.get(name) ?? [], grad), name).toBeLessThan(1e-4);
      expect(
        grad.some((v) => v !== 0),
        name,
      ).toBe(true);
    }
    assertClose(got.probabilities, want.probabilities, TOLERANCE.chained);
    assertClose(got.attention, want.attention, { ...TOLERANCE.chained, abs: 1e-5 });
  });

  test('the order of patients changes nothing; each sum of importance is 1; a batch of one', async () => {
    const one = await gradients(kind, wasm, patients, labels);
    const other = await gradients(kind, wasm, patients.toReversed(), labels.toReversed());
    for (const [name, grad] of one.grads) expect(relRms(other.grads.get(name) ?? [], grad), name).toBeLessThan(1e-5);
    assertClose(other.probabilities.toReversed(), one.probabilities, TOLERANCE.chained);
    for (let i = 0; i < 5; i++) expect(one.attention.subarray(4 * i, 4 * i + 4).reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
    const alone = await gradients(kind, wasm, [patients[1]], [1]);
    expect(Number.isFinite(alone.loss)).toBe(true);
    assertClose(alone.probabilities, one.probabilities.subarray(1, 2), TOLERANCE.chained);
  });

  test('a step gives all its memory back, also a failed one', async () => {
    const ctx = new Context(wasm);
    const model = new MODELS[kind](ctx, { ...tiny, dropout: 0.2 }, 1);
    const optimizer = new AdamW(model.params);
    await model.trainStep(patients, labels, optimizer, 1e-3);
    const live = wasm.stats.liveBytes;
    await model.trainStep(patients, labels, optimizer, 1e-3);
    await model.predict(patients, { batchSize: 2 });
    expect(wasm.stats.liveBytes).toBe(live);
    await expect(model.accumulate([{ visits: [[1, 2]], statics: [0, 0] }], [1])).rejects.toThrow('a visit of 2 values, expected 3');
    await expect(model.accumulate([{ visits: [[1, 2, 3]], statics: [0] }], [1])).rejects.toThrow('has 1 statics, expected 2');
    await expect(model.accumulate([{ visits: [], statics: [0, 0] }], [1])).rejects.toThrow('has no visits');
    await expect(model.accumulate(patients, [1])).rejects.toThrow('5 patients with 1 labels');
    expect(ctx.tape).toBeUndefined();
    expect(wasm.stats.liveBytes).toBe(live);
    optimizer.destroy();
    model.destroy();
  });

  test('it learns what it can express, and its importance names the cause', async () => {
    const config = { ...tiny, num_features: 4, hidden_size: 12, dropout: 0.1, kernels: 8 };
    const r = new Random('experts overfit');
    const learnt = patientsOf(
      'experts overfit',
      Array.from({ length: 48 }, () => 1 + r.int(7)),
      4,
    );
    const y = learnt.map(({ visits }) => (visits[visits.length - 1][2] > 0 ? 1 : 0));
    const model = make(kind, wasm, config, 2);
    const optimizer = new AdamW(model.params);
    const rate = kind === 'logistic' ? 0.1 : 0.01;
    for (let step = 0; step < 150; step++) await model.trainStep(learnt, y, optimizer, rate);
    const { probabilities, attention } = await model.predict(learnt);
    const right = probabilities.filter((p, i) => p > 0.5 === (y[i] === 1)).length;
    expect(right).toBeGreaterThanOrEqual(46);
    const mean = Array.from({ length: 4 }, (_, j) => learnt.reduce((sum, _p, i) => sum + attention[5 * i + j], 0));
    expect(mean.indexOf(Math.max(...mean))).toBe(2);
    optimizer.destroy();
    model.destroy();
  });
});
