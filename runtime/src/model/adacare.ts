/**
 * AdaCare (Ma et al., AAAI 2020, arXiv 1911.12205): what a value means depends on how it changed, at several scales.
 *
 *   for each dilation d in 1, 3, 5:  c_d = relu(causal convolution of the visits, kernel 2: W0 x_{t-d} + W1 x_t + b)      (N, kernels)
 *   recalibration of the c:  s = relu(squeeze of all c_d),  c'_d = c_d sigmoid(excite_d s)
 *   recalibration of x:      g = sigmoid(excite relu(squeeze x)),  x' = x g
 *   h = GRU(x', c'_1, c'_3, c'_5);  logit = w . h + b
 *
 * Kept from the authors' code: dilations, kernel size, squeeze ratio 4, sigmoid. Visits before the first are 0. Importance
 * is that of series_expert.ts: the recalibration weights g, which the paper reads, named the causes of a generated cohort no better than
 * chance (LOG.md), since the weights behind a gate make up for it.
 */
import type { Context } from '../context.ts';
import { relu } from '../ops/activation.ts';
import { add } from '../ops/add.ts';
import { concatRows } from '../ops/concat.ts';
import { gatherRows } from '../ops/embedding.ts';
import { gate } from '../ops/gate.ts';
import type { Tensor } from '../tensor.ts';
import {
  affineParams,
  type BoundedParam,
  finalStates,
  recurrentParams,
  type SeriesBatch,
  type SeriesConfig,
  SeriesExpert,
} from './series_expert.ts';

export interface AdaCareConfig extends SeriesConfig {
  /** Convolution kernels of each dilation. */
  readonly kernels: number;
}

/** Of the authors' code. */
export const ADACARE_DEFAULTS = { kernels: 64 } as const satisfies Partial<AdaCareConfig>;
const DILATIONS = [1, 3, 5] as const;
const SQUEEZE = 4;

const squeezed = (channels: number): number => Math.max(1, Math.floor(channels / SQUEEZE));

/** A matrix alone: a sum of products has one bias. */
const matrixParams = (...shape: Parameters<typeof affineParams>): BoundedParam[] => affineParams(...shape).slice(0, 1);

/** The matrices that read the concatenation of all inputs are kept in parts, one per input. */
export function adacareParams({ num_features: f, num_statics: s, hidden_size: d, kernels: k }: AdaCareConfig): BoundedParam[] {
  const [i, all, inner] = [f + s, DILATIONS.length * k, squeezed(DILATIONS.length * k)];
  const gru = 1 / Math.sqrt(d);
  return [
    ...DILATIONS.flatMap((dilation) => [
      ...matrixParams(`conv.${dilation}.past`, k, i, 1 / Math.sqrt(2 * i)),
      ...affineParams(`conv.${dilation}.now`, k, i, 1 / Math.sqrt(2 * i)),
      ...(dilation === DILATIONS[0] ? affineParams : matrixParams)(`squeeze.${dilation}`, inner, k, 1 / Math.sqrt(all)),
      ...affineParams(`excite.${dilation}`, k, inner),
      ...matrixParams(`gru.ih.${dilation}`, 3 * d, k, gru),
    ]),
    ...affineParams('squeeze.x', squeezed(i), i),
    ...affineParams('excite.x', i, squeezed(i)),
    ...affineParams('gru.ih.x', 3 * d, i, gru),
    ...recurrentParams(d),
    ...affineParams('output', 1, d),
  ];
}

export class AdaCare extends SeriesExpert {
  constructor(ctx: Context, config: AdaCareConfig, seed: number) {
    super(ctx, config, adacareParams(config), seed);
  }

  protected forward(batch: SeriesBatch, drop: (state: Tensor) => Tensor): Tensor {
    const { ctx } = this;
    const sum = (terms: readonly Tensor[]) => terms.reduce((total, t) => add(ctx, total, t));
    const all = <T>(of: (dilation: number, n: number) => T) => DILATIONS.map(of);

    const scales = all((dilation) => relu(ctx, this.#convolve(batch, dilation)));
    const squeeze = relu(ctx, sum(all((dilation, n) => this.product(`squeeze.${dilation}`, scales[n]))));
    const gated = all((dilation, n) => gate(ctx, scales[n], this.product(`excite.${dilation}`, squeeze)));

    const { rows } = batch;
    const x = gate(ctx, rows, this.product('excite.x', relu(ctx, this.product('squeeze.x', rows))));
    const gi = sum([this.product('gru.ih.x', x), ...all((dilation, n) => this.product(`gru.ih.${dilation}`, gated[n]))]);
    const state = finalStates(ctx, gi, (h) => this.product('gru.hh', h), batch);
    return this.product('output', drop(state));
  }

  /** (N, kernels): W0 x_{t - lag} + W1 x_t + b. */
  #convolve({ rows, counts, starts }: SeriesBatch, lag: number): Tensor {
    const { ctx } = this;
    const now = this.product(`conv.${lag}.now`, rows);
    if (lag >= counts.length) return now;
    // Rows are visit-major, so those without a visit so long before come first.
    const before = counts.slice(lag).flatMap((count, t) => Array.from({ length: count }, (_, i) => starts[t] + i));
    const [none, width] = [starts[lag], rows.shape[1]];
    const past = concatRows(ctx, ctx.from(new Float32Array(none * width), [none, width]), gatherRows(ctx, rows, Uint32Array.from(before)));
    return add(ctx, now, this.product(`conv.${lag}.past`, past));
  }
}
