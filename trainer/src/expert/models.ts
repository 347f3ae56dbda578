/** From config to one member of the expert. */
import {
  ADACARE_DEFAULTS,
  AdaCare,
  CONCARE_DEFAULTS,
  ConCare,
  type Context,
  type ExpertModel,
  GruExpert,
  LogisticExpert,
} from '@eagrl/runtime';
import type { Config } from '../config/schema.ts';

/** Sex and age. */
const NUM_STATICS = 2;

/** A fresh model of `c.kind` for visits of `numColumns` numbers. `num_heads`, `ffn_size` and `decov` are ConCare's alone. */
export function createExpert(ctx: Context, c: Config['expert'], numColumns: number, seed: number): ExpertModel {
  const size = { num_features: numColumns, num_statics: NUM_STATICS, hidden_size: c.hidden_size, dropout: c.dropout };
  switch (c.kind) {
    case 'concare':
      return new ConCare(ctx, { ...CONCARE_DEFAULTS, ...size, num_heads: c.num_heads, ffn_size: c.ffn_size, decov_weight: c.decov }, seed);
    case 'gru':
      return new GruExpert(ctx, size, seed);
    case 'adacare':
      return new AdaCare(ctx, { ...ADACARE_DEFAULTS, ...size }, seed);
    case 'logistic':
      return new LogisticExpert(ctx, size, seed);
  }
}
