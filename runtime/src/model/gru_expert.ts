/** GRU: one recurrent net over whole visits, the plain baseline of the field. h = GRU([features, statics] of each visit); logit = w . h + b. */
import type { Context } from '../context.ts';
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

export function gruExpertParams({ num_features: f, num_statics: s, hidden_size: d }: SeriesConfig): BoundedParam[] {
  return [...affineParams('gru.ih', 3 * d, f + s, 1 / Math.sqrt(d)), ...recurrentParams(d), ...affineParams('output', 1, d)];
}

export class GruExpert extends SeriesExpert {
  constructor(ctx: Context, config: SeriesConfig, seed: number) {
    super(ctx, config, gruExpertParams(config), seed);
  }

  protected forward(batch: SeriesBatch, drop: (state: Tensor) => Tensor): Tensor {
    const state = finalStates(this.ctx, this.product('gru.ih', batch.rows), (h) => this.product('gru.hh', h), batch);
    return this.product('output', drop(state));
  }
}
