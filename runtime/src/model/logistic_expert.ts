/** Logistic regression on the last visit (values carried forward) and the statics, logit = w . x + b: the sanity row any expert should beat. */
import type { Context } from '../context.ts';
import { gatherRows } from '../ops/embedding.ts';
import type { Tensor } from '../tensor.ts';
import { affineParams, type BoundedParam, type SeriesBatch, type SeriesConfig, SeriesExpert } from './series_expert.ts';

export function logisticExpertParams({ num_features: f, num_statics: s }: SeriesConfig): BoundedParam[] {
  return affineParams('output', 1, f + s);
}

/** `hidden_size` and `dropout` of the config are without meaning here. */
export class LogisticExpert extends SeriesExpert {
  constructor(ctx: Context, config: SeriesConfig, seed: number) {
    super(ctx, config, logisticExpertParams(config), seed);
  }

  protected forward({ rows, size, counts, starts }: SeriesBatch): Tensor {
    const last = Uint32Array.from({ length: size }, (_, i) => {
      const visits = counts.filter((count) => i < count).length;
      return starts[visits - 1] + i;
    });
    return this.product('output', gatherRows(this.ctx, rows, last));
  }
}
