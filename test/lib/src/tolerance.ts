/**
 * The one table of tolerances. `rms`: relative root-mean-square error against the f64 reference, over the whole tensor;
 * `abs`: floor for the per-element check |got - want| <= abs + rel |want|. Chosen from the arithmetic, not tuned until green.
 */
export interface Tolerance {
  readonly rel: number;
  readonly abs: number;
}

export const TOLERANCE = {
  /** One or two roundings per element (add, scale, copy of f32 arithmetic): a few units of 2^-24. */
  elementwise: { rel: 1e-6, abs: 1e-7 },
  /** Passes through exp, log, tanh or a division; WGSL allows exp 3 + 2|x| ULP, log and division some ULP more. */
  transcendental: { rel: 1e-5, abs: 1e-6 },
  /** Sums of up to a few thousand products of order-1 terms in f32, any order: error grows like sqrt(K) 2^-24 of the sum of magnitudes. */
  reduction: { rel: 2e-5, abs: 2e-5 },
  /** Several chained reductions and transcendentals (attention backward, GRU through time). */
  chained: { rel: 1e-4, abs: 5e-5 },
  /** Central finite differences of an f64 reference, step 1e-5: truncation h^2 and cancellation 1e-16 / h. */
  finiteDifference: { rel: 1e-5, abs: 1e-7 },
} as const satisfies Record<string, Tolerance>;

/**
 * Of k products of order-1 terms added front to back: the partial sums grow to sqrt(k), each of k roundings is off by 2^-25 of one, so the last
 * deviates by k 2^-25 / sqrt(2), 1.1e-5 at k 515. Four deviations for one element among thousands.
 */
export const sumTolerance = (k: number): Tolerance => ({
  ...TOLERANCE.reduction,
  abs: Math.max(TOLERANCE.reduction.abs, (4 * k * 2 ** -25) / Math.SQRT2),
});
