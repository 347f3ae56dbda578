/**
 * What the experts other than ConCare have in common: a patient's visits as rows of [features, statics], mean binary cross-entropy, and an
 * answer with its importance. A model says how logits come from the rows.
 *
 * Importance of input j for a patient: |sum over the visits t of x_tj d logit / d x_tj|, each patient's sum made 1. To first order that is
 * how far the logit would move if the whole series were the train mean, which is 0 after standardisation (a level of a one-hot feature:
 * if the patient were not at it).
 *
 * Patients are sorted, longest first, and rows are visit-major: visit t of patient i is row starts[t] + i. Nobody is padded, and the state
 * of those who have a visit t is the head of the state before.
 */
import type { Context } from '../context.ts';
import { bceLogits } from '../ops/bce.ts';
import { concatRows } from '../ops/concat.ts';
import { dropout } from '../ops/dropout.ts';
import { gatherRows } from '../ops/embedding.ts';
import { gruCell } from '../ops/gru_cell.ts';
import { linear } from '../ops/linear.ts';
import type { AdamW } from '../optim/adamw.ts';
import { type ParamSpec, ParamStore } from '../params.ts';
import { streamOf, uniforms } from '../rng.ts';
import { Tape } from '../tape.ts';
import { sizeOf, type Tensor } from '../tensor.ts';
import type { ExpertAnswers, ExpertLoss, ExpertModel, ExpertPatient } from './expert.ts';

export interface SeriesConfig {
  /** Dynamic features F (columns, one-hot ones counted each) and static ones S; a row holds F + S numbers. */
  readonly num_features: number;
  readonly num_statics: number;
  readonly hidden_size: number;
  /** Of the state that the output reads, in training only. */
  readonly dropout: number;
}

/** Patients on the device, longest first. */
export interface SeriesBatch {
  readonly size: number;
  /** counts[t]: patients with a visit t; starts[t]: their first row. */
  readonly counts: readonly number[];
  readonly starts: readonly number[];
  /** (N, F + S) on the host and on the device, N visits of all patients. */
  readonly values: Float32Array;
  readonly rows: Tensor;
  /** order[i]: place in the caller's list of the batch's patient i. */
  readonly order: readonly number[];
}

/** A parameter with the bound of its uniform initialisation. */
export type BoundedParam = ParamSpec & { readonly bound: number };

/** Weight (rows, cols) and bias (rows); PyTorch's bound 1 / sqrt(fan-in) unless another is given. */
export function affineParams(name: string, rows: number, cols: number, bound = 1 / Math.sqrt(cols)): BoundedParam[] {
  return [
    { name: `${name}.weight`, shape: [rows, cols], decay: true, bound },
    { name: `${name}.bias`, shape: [rows], decay: false, bound },
  ];
}

export abstract class SeriesExpert implements ExpertModel {
  readonly config: SeriesConfig;
  readonly params: ParamStore;
  protected readonly ctx: Context;
  readonly #seed: number;
  /** Training passes so far: the stream of the next dropout mask. */
  #steps = 0;

  protected constructor(ctx: Context, config: SeriesConfig, specs: readonly BoundedParam[], seed: number) {
    this.config = config;
    this.ctx = ctx;
    this.#seed = seed;
    this.params = new ParamStore(ctx, specs);
    for (const { name, shape, bound } of specs) this.params.write(name, uniforms(seed, streamOf(name), sizeOf(shape), -bound, bound));
  }

  /** Logits (B, 1) in the batch's order. `drop` acts on what the output reads, in training alone. */
  protected abstract forward(batch: SeriesBatch, drop: (state: Tensor) => Tensor): Tensor;

  /** y = t W^T, plus the bias where there is one of that name. */
  protected product(name: string, t: Tensor): Tensor {
    const bias = `${name}.bias`;
    return linear(this.ctx, t, this.params.get(`${name}.weight`), this.params.has(bias) ? this.params.get(bias) : undefined);
  }

  /** @throws Error for a patient without visits or with the wrong number of values. */
  #batch(patients: readonly ExpertPatient[]): SeriesBatch {
    const { num_features: f, num_statics: s } = this.config;
    const { name } = this.constructor;
    patients.forEach(({ visits, statics }, i) => {
      if (visits.length === 0) throw new Error(`${name}: patient ${i} of the batch has no visits`);
      const wrong = visits.find((v) => v.length !== f);
      if (wrong) throw new Error(`${name}: patient ${i} of the batch has a visit of ${wrong.length} values, expected ${f}`);
      if (statics.length !== s) throw new Error(`${name}: patient ${i} of the batch has ${statics.length} statics, expected ${s}`);
    });
    const order = patients.map((_, i) => i).sort((a, b) => patients[b].visits.length - patients[a].visits.length || a - b);
    const counts = Array.from(
      { length: patients[order[0]].visits.length },
      (_, t) => order.filter((p) => patients[p].visits.length > t).length,
    );
    const starts = [0];
    for (const count of counts) starts.push(starts[starts.length - 1] + count);
    const values = new Float32Array(starts[counts.length] * (f + s));
    order.forEach((p, i) => {
      patients[p].visits.forEach((visit, t) => {
        values.set(visit, (starts[t] + i) * (f + s));
        values.set(patients[p].statics, (starts[t] + i) * (f + s) + f);
      });
    });
    return { size: order.length, counts, starts, values, rows: this.ctx.from(values, [starts[counts.length], f + s]), order };
  }

  /** Adds the gradients of mean binary cross-entropy to the parameters'. `labels` in the order of `patients`. */
  async accumulate(patients: readonly ExpertPatient[], labels: ArrayLike<number>): Promise<ExpertLoss> {
    if (patients.length === 0 || labels.length !== patients.length) {
      throw new Error(`${this.constructor.name}: ${patients.length} patients with ${labels.length} labels; expected as many, at least one`);
    }
    const { ctx } = this;
    const { dropout: rate } = this.config;
    const read = ctx.scope(() => {
      const batch = this.#batch(patients);
      const tape = new Tape(ctx);
      try {
        const drop = (state: Tensor) => (rate > 0 ? dropout(ctx, state, { rate, seed: this.#seed, stream: this.#steps }) : state);
        const logits = this.forward(batch, drop);
        const sorted = Float32Array.from(batch.order, (i) => labels[i]);
        const { losses } = bceLogits(ctx, logits, sorted, new Float32Array(batch.size).fill(1 / batch.size));
        const queued = ctx.read(losses);
        tape.backward();
        return queued;
      } catch (error) {
        tape.discard();
        throw error;
      }
    });
    this.#steps++;
    const bce = (await read).reduce((a, b) => a + b, 0);
    return { loss: bce, bce };
  }

  async trainStep(
    patients: readonly ExpertPatient[],
    labels: ArrayLike<number>,
    optimizer: AdamW,
    lr: number,
  ): Promise<ExpertLoss & { readonly gradNorm: number }> {
    this.params.zeroGrad();
    const loss = this.accumulate(patients, labels);
    const gradNorm = optimizer.step({ lr }).gradNorm();
    return { ...(await loss), gradNorm: await gradNorm };
  }

  async predict(patients: readonly ExpertPatient[], { batchSize = 256 } = {}): Promise<ExpertAnswers> {
    const { num_features: f } = this.config;
    const probabilities = new Float32Array(patients.length);
    const attention = new Float32Array(patients.length * (f + 1));
    for (let start = 0; start < patients.length; start += batchSize) {
      const { batch, reads } = this.ctx.scope(() => {
        const { rows, ...rest } = this.#batch(patients.slice(start, start + batchSize));
        return { batch: rest, reads: this.#explain({ rows, ...rest }) };
      });
      const [logits, effects] = await Promise.all(reads);
      batch.order.forEach((place, i) => {
        probabilities[start + place] = 1 / (1 + Math.exp(-logits[i]));
        attention.set(this.#importance(batch, i, effects), (start + place) * (f + 1));
      });
    }
    return { probabilities, attention };
  }

  /** Logits (B), and the gradient (N, F + S) of each patient's logit by the inputs, times these. */
  #explain(batch: SeriesBatch): Promise<Float32Array>[] {
    const { ctx } = this;
    const tape = new Tape(ctx);
    try {
      tape.watch(batch.rows);
      const logits = this.forward(batch, (state) => state);
      const reads = [ctx.read(logits)];
      tape.backward(logits, ctx.from(new Float32Array(batch.size).fill(1), [batch.size, 1]));
      const gradient = tape.takeGrad(batch.rows);
      reads.push(ctx.read(gradient).then((g) => g.map((slope, i) => slope * batch.values[i])));
      ctx.free(gradient);
      // Backward has also added to the parameters' gradients, which are nobody's here.
      this.params.zeroGrad();
      return reads;
    } catch (error) {
      tape.discard();
      throw error;
    }
  }

  /** (F + 1) of patient i, the statics in one; zeros when nothing has an effect. */
  #importance({ counts, starts }: Pick<SeriesBatch, 'counts' | 'starts'>, i: number, effects: Float32Array): Float64Array {
    const { num_features: f, num_statics: s } = this.config;
    const sums = new Float64Array(f + s);
    for (let t = 0; t < counts.length && i < counts[t]; t++) {
      for (let j = 0; j < f + s; j++) sums[j] += effects[(starts[t] + i) * (f + s) + j];
    }
    const own = Float64Array.from({ length: f + 1 }, (_, j) => Math.abs(sums[j]));
    own[f] = sums.subarray(f).reduce((total, v) => total + Math.abs(v), 0);
    const total = own.reduce((a, b) => a + b, 0);
    return total > 0 ? own.map((v) => v / total) : own;
  }

  destroy(): void {
    this.params.destroy();
  }
}

/** Parameters of `finalStates`, without the product of the input. PyTorch's bound 1 / sqrt(D). */
export const recurrentParams = (hidden: number): BoundedParam[] => affineParams('gru.hh', 3 * hidden, hidden, 1 / Math.sqrt(hidden));

/** Runs a GRU over the visits: gi (N, 3D), `product` of a state (R, D) to (R, 3D). Gives the state after each patient's last visit (B, D). */
export function finalStates(ctx: Context, gi: Tensor, product: (state: Tensor) => Tensor, { counts, starts, size }: SeriesBatch): Tensor {
  const hidden = gi.shape[1] / 3;
  const rows = (from: number, to: number) => Uint32Array.from({ length: to - from }, (_, i) => from + i);
  const states: Tensor[] = [];
  counts.forEach((count, t) => {
    const before = t === 0 ? ctx.from(new Float32Array(size * hidden), [size, hidden]) : states[t - 1];
    const state = before.shape[0] === count ? before : gatherRows(ctx, before, rows(0, count));
    states.push(gruCell(ctx, gatherRows(ctx, gi, rows(starts[t], starts[t] + count)), product(state), state));
  });
  // The longest records end the list of states and begin the batch.
  return counts.reduceRight<Tensor | null>((ended, count, t) => {
    if (ended === null) return states[t];
    const longer = counts[t + 1];
    return longer === count ? ended : concatRows(ctx, ended, gatherRows(ctx, states[t], rows(longer, count)));
  }, null) as Tensor;
}
