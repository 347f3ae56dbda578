/**
 * ConCare (Ma et al., AAAI 2020, arXiv 1911.12216): the expert whose attention tells which features matter for one patient.
 *
 *   per dynamic feature f:  h_f = GRU_f(series of f),  token_f = time-aware attention over h_f          (kernels/src/time_attention)
 *   token_F = tanh(W_demo [statics])                                                                    one demographic token, last
 *   a = self-attention(tokens), DeCov on a before its output projection;  c = tokens + W_o a;  c += FFN(c)
 *   final attention: query = demographic token of c, keys and values = all F + 1 tokens;  logit = w . context + b
 *
 * Loss: mean binary cross-entropy + decov_weight * DeCov. Kept from the authors' code: no effective layer norm (theirs is computed and
 * not used), key size 8, dropout 0.1 inside the FFN. Patients are packed visit by visit, longest first: no padding is ever computed.
 */
import type { Context } from '../context.ts';
import { relu, tanh } from '../ops/activation.ts';
import { add } from '../ops/add.ts';
import { bceLogits } from '../ops/bce.ts';
import { concatRows } from '../ops/concat.ts';
import { decov } from '../ops/decov.ts';
import { dropout } from '../ops/dropout.ts';
import { gatherRows } from '../ops/embedding.ts';
import { gru } from '../ops/gru.ts';
import { linear } from '../ops/linear.ts';
import { setAttention } from '../ops/set_attention.ts';
import { timeAttention } from '../ops/time_attention.ts';
import type { AdamW } from '../optim/adamw.ts';
import { type ParamSpec, ParamStore } from '../params.ts';
import { streamOf, uniforms } from '../rng.ts';
import { Tape } from '../tape.ts';
import { sizeOf, type Tensor } from '../tensor.ts';

export interface ConCareConfig {
  /** Dynamic features F (columns, one-hot ones counted each) and static ones. */
  readonly num_features: number;
  readonly num_statics: number;
  readonly hidden_size: number;
  readonly num_heads: number;
  /** Size A of query and key of the time-aware attention. */
  readonly key_size: number;
  readonly ffn_size: number;
  /** Inside the FFN, in training only. */
  readonly dropout: number;
  readonly decov_weight: number;
}

/** Sizes of the authors' code; the caller adds the numbers of features. */
export const CONCARE_DEFAULTS = {
  hidden_size: 128,
  num_heads: 4,
  key_size: 8,
  ffn_size: 64,
  dropout: 0.1,
  decov_weight: 10,
} as const satisfies Partial<ConCareConfig>;

/** One patient as the model sees it: standardised, imputed. */
export interface ConCarePatient {
  /** Visits in time order, num_features numbers each; at least one. */
  readonly visits: readonly ArrayLike<number>[];
  /** num_statics numbers: sex, age. */
  readonly statics: ArrayLike<number>;
}

/** Patients on the device, longest series first. */
export interface ConCareBatch {
  readonly size: number;
  /** (F, N) and (B + 1): packed visits of all patients. */
  readonly x: Tensor;
  readonly starts: Tensor;
  /** (B, num_statics). */
  readonly statics: Tensor;
  /** order[i]: place in the caller's list of the batch's patient i. */
  readonly order: readonly number[];
}

export interface ConCareOutput {
  /** (B, 1). */
  readonly logits: Tensor;
  /** (B, 1, 1, F + 1): final attention over the features, then the demographic token. */
  readonly attention: Tensor;
  /** (F + 1): DeCov per token, unweighted; only while a tape records. */
  readonly decov: Tensor | undefined;
}

export interface ConCareLoss {
  readonly loss: number;
  readonly bce: number;
  readonly decov: number;
}

const RATE_INIT = 0.8;

/** Names, shapes, decay and bound of the uniform initialisation (PyTorch's: 1 / sqrt(fan-in); GRU: 1 / sqrt(D)) of all parameters. */
export function concareParams(c: ConCareConfig): (ParamSpec & { readonly bound: number })[] {
  const [f, d] = [c.num_features, c.hidden_size];
  const tensor = (name: string, shape: readonly number[], fanIn: number) => ({
    name,
    shape,
    decay: !name.includes('bias'),
    bound: 1 / Math.sqrt(fanIn),
  });
  const affine = (name: string, rows: number, cols: number) => [
    tensor(`${name}.weight`, [rows, cols], cols),
    tensor(`${name}.bias`, [rows], cols),
  ];
  return [
    tensor('gru.weight_ih', [f, 3 * d], d),
    tensor('gru.weight_hh', [f, 3 * d, d], d),
    tensor('gru.bias_ih', [f, 3 * d], d),
    tensor('gru.bias_hh', [f, 3 * d], d),
    // The authors keep W_t and W_x as (D, A), whose fan-in PyTorch takes to be A.
    tensor('time_attention.weight', [f, 2 * c.key_size, d], c.key_size),
    { name: 'time_attention.rate', shape: [f], decay: false, bound: 0 },
    ...affine('demographics', d, c.num_statics),
    ...['q_proj', 'k_proj', 'v_proj', 'o_proj'].flatMap((p) => affine(`self_attn.${p}`, d, d)),
    ...affine('ffn.w_1', c.ffn_size, d),
    ...affine('ffn.w_2', d, c.ffn_size),
    ...['q_proj', 'k_proj', 'v_proj'].flatMap((p) => affine(`final_attn.${p}`, d, d)),
    ...affine('output', 1, d),
  ];
}

export class ConCare {
  readonly config: ConCareConfig;
  readonly params: ParamStore;
  readonly #ctx: Context;
  readonly #seed: number;
  /** Training passes so far: the stream of the next dropout mask. A resumed run sets it. */
  steps = 0;

  /** Seeded uniform initialisation. @throws Error when num_heads does not divide hidden_size. */
  constructor(ctx: Context, config: ConCareConfig, seed: number) {
    if (config.hidden_size % config.num_heads !== 0) {
      throw new Error(`ConCare: num_heads ${config.num_heads} does not divide hidden_size ${config.hidden_size}`);
    }
    this.config = config;
    this.#ctx = ctx;
    this.#seed = seed;
    const specs = concareParams(config);
    this.params = new ParamStore(ctx, specs);
    for (const { name, shape, bound } of specs) this.params.write(name, uniforms(seed, streamOf(name), sizeOf(shape), -bound, bound));
    this.params.write('time_attention.rate', new Float32Array(config.num_features).fill(RATE_INIT));
  }

  /** Packs and uploads patients; free it with `freeBatch`. @throws Error for a patient without visits or with the wrong number of values. */
  batch(patients: readonly ConCarePatient[]): ConCareBatch {
    const { num_features: f, num_statics: s } = this.config;
    patients.forEach(({ visits, statics }, i) => {
      if (visits.length === 0) throw new Error(`ConCare: patient ${i} of the batch has no visits`);
      const wrong = visits.find((v) => v.length !== f);
      if (wrong) throw new Error(`ConCare: patient ${i} of the batch has a visit of ${wrong.length} values, expected ${f}`);
      if (statics.length !== s) throw new Error(`ConCare: patient ${i} of the batch has ${statics.length} statics, expected ${s}`);
    });
    const order = patients.map((_, i) => i).sort((a, b) => patients[b].visits.length - patients[a].visits.length || a - b);
    const starts = new Uint32Array(order.length + 1);
    order.forEach((p, i) => {
      starts[i + 1] = starts[i] + patients[p].visits.length;
    });
    const n = starts[order.length];
    const x = new Float32Array(f * n);
    const statics = new Float32Array(order.length * s);
    order.forEach((p, i) => {
      statics.set(patients[p].statics, i * s);
      patients[p].visits.forEach((visit, t) => {
        for (let j = 0; j < f; j++) x[j * n + starts[i] + t] = visit[j];
      });
    });
    const ctx = this.#ctx;
    return { size: order.length, x: ctx.from(x, [f, n]), starts: ctx.from(starts), statics: ctx.from(statics, [order.length, s]), order };
  }

  freeBatch({ x, starts, statics }: ConCareBatch): void {
    for (const t of [x, starts, statics]) this.#ctx.free(t);
  }

  /** The whole network. While a tape records, dropout acts and DeCov's gradient is on its way. */
  forward({ size, x, starts, statics }: ConCareBatch): ConCareOutput {
    const ctx = this.#ctx;
    const { num_features: f, hidden_size: d, num_heads: heads, dropout: rate, decov_weight } = this.config;
    const p = (name: string) => this.params.get(name);
    const affine = (name: string, t: Tensor) => linear(ctx, t, p(`${name}.weight`), p(`${name}.bias`));
    const weights = { weightIh: p('gru.weight_ih'), weightHh: p('gru.weight_hh'), biasIh: p('gru.bias_ih'), biasHh: p('gru.bias_hh') };
    const h = gru(ctx, x, weights, starts); // (F, N, D)
    const features = timeAttention(ctx, h, p('time_attention.weight'), p('time_attention.rate'), starts); // (F B, D)
    const tokens = concatRows(ctx, features, tanh(ctx, affine('demographics', statics))); // ((F + 1) B, D), token-major

    const [q, k, v] = ['q_proj', 'k_proj', 'v_proj'].map((name) => affine(`self_attn.${name}`, tokens));
    const { out } = setAttention(ctx, q, k, v, { batch: size, heads, scale: 1 / Math.sqrt(d / heads) });
    const penalty = ctx.tape && decov(ctx, out, { batch: size, weight: decov_weight });
    const attended = add(ctx, tokens, affine('self_attn.o_proj', out));

    let inner = relu(ctx, affine('ffn.w_1', attended));
    if (ctx.tape && rate > 0) inner = dropout(ctx, inner, { rate, seed: this.#seed, stream: this.steps });
    const contexts = add(ctx, attended, affine('ffn.w_2', inner));

    const demographic = gatherRows(
      ctx,
      contexts,
      Uint32Array.from({ length: size }, (_, b) => f * size + b),
    );
    const query = affine('final_attn.q_proj', demographic);
    const keys = affine('final_attn.k_proj', contexts);
    const values = affine('final_attn.v_proj', contexts);
    const final = setAttention(ctx, query, keys, values, { batch: size, heads: 1, scale: 1 });
    return { logits: affine('output', final.out), attention: final.weights, decov: penalty };
  }

  /**
   * Forward and backward: adds the gradients of mean binary cross-entropy + decov_weight * DeCov to the parameters'. `labels` in the
   * order of `patients`. Everything is queued when the call returns; the promise is for the numbers alone.
   */
  async accumulate(patients: readonly ConCarePatient[], labels: ArrayLike<number>): Promise<ConCareLoss> {
    if (patients.length === 0 || labels.length !== patients.length) {
      throw new Error(`ConCare: ${patients.length} patients with ${labels.length} labels; expected as many, at least one`);
    }
    const ctx = this.#ctx;
    const reads = ctx.scope(() => {
      const batch = this.batch(patients);
      const sorted = Float32Array.from(batch.order, (i) => labels[i]);
      const tape = new Tape(ctx);
      try {
        const { logits, decov: penalties } = this.forward(batch);
        const { losses } = bceLogits(ctx, logits, sorted, new Float32Array(batch.size).fill(1 / batch.size));
        const queued = [losses, ...(penalties ? [penalties] : [])].map((t) => ctx.read(t));
        tape.backward();
        return queued;
      } catch (error) {
        tape.discard();
        throw error;
      }
    });
    this.steps++;
    const [bce, penalty] = (await Promise.all(reads)).map((values) => values.reduce((a, b) => a + b, 0));
    return { loss: bce + this.config.decov_weight * penalty, bce, decov: penalty };
  }

  /** One update on one batch: gradients from zero, then the optimiser's step, without waiting in between. */
  async trainStep(
    patients: readonly ConCarePatient[],
    labels: ArrayLike<number>,
    optimizer: AdamW,
    lr: number,
  ): Promise<ConCareLoss & { readonly gradNorm: number }> {
    this.params.zeroGrad();
    const loss = this.accumulate(patients, labels);
    const gradNorm = optimizer.step({ lr }).gradNorm();
    return { ...(await loss), gradNorm: await gradNorm };
  }

  /**
   * Probabilities (one per patient) and the final attention (F + 1 numbers per patient, the demographic token last), in the order of
   * `patients`; no dropout. `batchSize` bounds memory.
   */
  async predict(
    patients: readonly ConCarePatient[],
    { batchSize = 256 } = {},
  ): Promise<{ probabilities: Float32Array; attention: Float32Array }> {
    const ctx = this.#ctx;
    const width = this.config.num_features + 1;
    const probabilities = new Float32Array(patients.length);
    const attention = new Float32Array(patients.length * width);
    for (let start = 0; start < patients.length; start += batchSize) {
      const { order, reads } = ctx.scope(() => {
        const batch = this.batch(patients.slice(start, start + batchSize));
        const out = this.forward(batch);
        return { order: batch.order, reads: [ctx.read(out.logits), ctx.read(out.attention)] };
      });
      const [logits, weights] = await Promise.all(reads);
      order.forEach((place, i) => {
        probabilities[start + place] = 1 / (1 + Math.exp(-logits[i]));
        attention.set(weights.subarray(i * width, (i + 1) * width), (start + place) * width);
      });
    }
    return { probabilities, attention };
  }

  destroy(): void {
    this.params.destroy();
  }
}

/**
 * Importance of each clinical feature: the final attention without the demographic token, columns of a one-hot feature summed, averaged
 * over an ensemble. `attentions`: one (B, F + 1) array per model; `columnFeature[j]`: which of `numFeatures` column j belongs to.
 * Returns (B, numFeatures).
 */
export function attentionImportance(
  attentions: readonly Float32Array[],
  columnFeature: readonly number[],
  numFeatures: number,
): Float32Array {
  const width = columnFeature.length + 1;
  if (attentions.length === 0) throw new Error('attentionImportance: expected the attention of at least one model');
  const batch = attentions[0].length / width;
  const odd = attentions.find((a) => a.length !== attentions[0].length);
  if (odd || !Number.isInteger(batch)) {
    throw new Error(`attentionImportance: expected arrays of patients x ${width} numbers, got ${attentions.map((a) => a.length)}`);
  }
  const outside = columnFeature.findIndex((f) => f < 0 || f >= numFeatures);
  if (outside >= 0)
    throw new Error(`attentionImportance: column ${outside} belongs to feature ${columnFeature[outside]} of ${numFeatures}`);
  const importance = new Float32Array(batch * numFeatures);
  for (const a of attentions) {
    for (let b = 0; b < batch; b++) {
      columnFeature.forEach((feature, j) => {
        importance[b * numFeatures + feature] += a[b * width + j] / attentions.length;
      });
    }
  }
  return importance;
}
