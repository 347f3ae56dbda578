/** Kernels of the experts, as the demo runs ConCare: 17 features, hidden 32, 64 patients of 6 visits each. */
import {
  activation,
  bce,
  decov,
  gate,
  gru,
  gruCell,
  type HostBuffers,
  launchRef,
  type Params,
  setAttention,
  timeAttention,
} from '@eagrl/kernels';
import type { BenchCase, Draw } from '../lib/case.ts';

const FEATURES = 17;
const HIDDEN = 32;
const KEY_DIM = 8;
const BATCH = 64;
const VISITS = BATCH * 6;
const STEPS = FEATURES * VISITS;
const starts = Uint32Array.from({ length: BATCH + 1 }, (_, i) => 6 * i);
const f32 = (a: Float64Array) => Float32Array.from(a);

const shape: Params = { features: FEATURES, batch: BATCH, visits: VISITS, hidden: HIDDEN, key_dim: KEY_DIM };
const size = `${FEATURES}x${VISITS}x${HIDDEN}`;

function gruInputs(d: Draw) {
  const rows = 3 * FEATURES * HIDDEN;
  return {
    x: d.normals(STEPS),
    w_ih: d.normals(rows, 0.7),
    w_hh: d.normals(rows * HIDDEN, 1 / Math.sqrt(HIDDEN)),
    b_ih: d.normals(rows, 0.3),
    b_hh: d.normals(rows, 0.3),
    starts,
  };
}

function gruSaved(d: Draw): HostBuffers {
  const x = gruInputs(d);
  const { h, gates } = launchRef(gru, 'gru_fwd', x, shape);
  return { ...x, h: f32(h), gates: f32(gates), dh: d.normals(STEPS * HIDDEN) };
}

function gruGradients(d: Draw): HostBuffers {
  const x = gruSaved(d);
  const rows = 3 * FEATURES * HIDDEN;
  const { gates } = launchRef(gru, 'gru_bwd', x, shape);
  return {
    ...x,
    dgates: f32(gates),
    dw_hh: d.normals(rows * HIDDEN),
    dw_ih: d.normals(rows),
    db_ih: d.normals(rows),
    db_hh: d.normals(rows),
  };
}

const timeInputs = (d: Draw) => ({
  h: d.normals(STEPS * HIDDEN),
  qk: d.normals(STEPS * 2 * KEY_DIM, 0.7),
  rate: d.normals(FEATURES),
  starts,
});

function timeSaved(d: Draw): HostBuffers {
  const x = timeInputs(d);
  const { weights } = launchRef(timeAttention, 'time_attention_fwd', x, shape);
  return { ...x, weights: f32(weights), dcontext: d.normals(FEATURES * BATCH * HIDDEN) };
}

/** 17 features and the patient's demographics. */
const TOKENS = FEATURES + 1;
const set: Params = { queries: TOKENS, tokens: TOKENS, batch: BATCH, hidden: HIDDEN, heads: 4, scale: 1 / Math.sqrt(HIDDEN / 4) };
const SET = TOKENS * BATCH * HIDDEN;
const setInputs = (d: Draw) => ({ q: d.normals(SET), k: d.normals(SET), v: d.normals(SET) });

const covariance: Params = { tokens: TOKENS, batch: BATCH, channels: HIDDEN };

const pointwise = (entry: string, names: readonly string[]): BenchCase => ({
  spec: activation,
  entry,
  shape: `${SET}`,
  params: { n: SET },
  inputs: (d) => Object.fromEntries(names.map((name) => [name, d.uniforms(SET, -1, 1)])),
});

/** One visit of the patients through one GRU. */
const cell: Params = { rows: BATCH, hidden: HIDDEN };
const CELL = BATCH * HIDDEN;
const cellInputs = (d: Draw) => ({ gi: d.normals(3 * CELL), gh: d.normals(3 * CELL), h: d.uniforms(CELL, -1, 1) });

export const expert: readonly BenchCase[] = [
  { spec: gru, entry: 'gru_fwd', shape: size, params: shape, inputs: gruInputs },
  { spec: gru, entry: 'gru_bwd', shape: size, params: shape, inputs: gruSaved, steady: ['dh', 'gates'] },
  { spec: gru, entry: 'gru_bwd_params', shape: size, params: shape, inputs: gruGradients },
  { spec: timeAttention, entry: 'time_attention_fwd', shape: size, params: shape, inputs: timeInputs },
  { spec: timeAttention, entry: 'time_attention_bwd', shape: size, params: shape, inputs: timeSaved },
  {
    spec: timeAttention,
    entry: 'time_attention_bwd_qk',
    shape: size,
    params: shape,
    inputs: (d) => ({ ddot: d.normals(STEPS), qk: timeInputs(d).qk, starts }),
  },
  {
    spec: timeAttention,
    entry: 'time_attention_bwd_rate',
    shape: `${FEATURES}x${BATCH}`,
    params: { features: FEATURES, batch: BATCH },
    inputs: (d) => ({ drate: d.normals(FEATURES), rate_terms: d.normals(FEATURES * BATCH) }),
  },
  { spec: setAttention, entry: 'set_attention_fwd', shape: `${TOKENS}x${BATCH}x${HIDDEN}`, params: set, inputs: setInputs },
  {
    spec: setAttention,
    entry: 'set_attention_bwd',
    shape: `${TOKENS}x${BATCH}x${HIDDEN}`,
    params: set,
    inputs: (d) => {
      const x = setInputs(d);
      return { ...x, p: f32(launchRef(setAttention, 'set_attention_fwd', x, set).p), dout: d.normals(SET) };
    },
    steady: ['p', 'dout'],
  },
  {
    spec: decov,
    entry: 'decov_center',
    shape: `${TOKENS}x${BATCH}x${HIDDEN}`,
    params: covariance,
    inputs: (d) => ({ x: d.normals(SET) }),
  },
  {
    spec: decov,
    entry: 'decov_loss',
    shape: `${TOKENS}x${HIDDEN}`,
    params: covariance,
    inputs: (d) => ({ cov: d.normals(TOKENS * HIDDEN * HIDDEN) }),
  },
  {
    spec: bce,
    entry: 'bce_logits',
    shape: `${BATCH}`,
    params: { n: BATCH },
    inputs: (d) => ({ logits: d.normals(BATCH), labels: Float32Array.from(d.ints(BATCH, 2)), weights: d.uniforms(BATCH) }),
  },
  { spec: gruCell, entry: 'gru_cell_fwd', shape: `${BATCH}x${HIDDEN}`, params: cell, inputs: cellInputs },
  {
    spec: gruCell,
    entry: 'gru_cell_bwd',
    shape: `${BATCH}x${HIDDEN}`,
    params: cell,
    inputs: (d) => ({ ...cellInputs(d), dy: d.normals(CELL) }),
  },
  {
    spec: gate,
    entry: 'gate_fwd',
    shape: `${STEPS}`,
    params: { n: STEPS },
    inputs: (d) => ({ x: d.normals(STEPS), z: d.normals(STEPS) }),
  },
  {
    spec: gate,
    entry: 'gate_bwd',
    shape: `${STEPS}`,
    params: { n: STEPS },
    inputs: (d) => ({ dy: d.normals(STEPS), x: d.normals(STEPS), g: d.uniforms(STEPS, 0, 1) }),
  },
  pointwise('tanh_fwd', ['x']),
  pointwise('tanh_bwd', ['dy', 'y']),
  pointwise('relu_fwd', ['x']),
  pointwise('relu_bwd', ['dy', 'y']),
];
