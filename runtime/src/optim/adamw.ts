/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over a whole ParamStore, with clipping by global norm:
 *
 *   c = min(1, max_norm / (|g| + 1e-6)),  p -= lr wd p,  m, v from c g,  p -= lr m^ / (sqrt(v^) + eps)
 *
 * A launch for each flat buffer of the store, and two for the norm; no read-back. A norm that is not finite leaves parameters and moments untouched; the step count still advances.
 */
import { elementwise, adamw as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { ParamStore } from '../params.ts';
import { alignUp, type Tensor, view } from '../tensor.ts';

export interface AdamWOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly eps?: number;
  readonly weightDecay?: number;
  /** Clip to this global norm; 0 or less does not clip. */
  readonly maxGradNorm?: number;
}

/** What one step leaves to be read. */
export interface StepResult {
  /** Global norm before clipping; ask before the next step is queued. Not finite: the step was skipped. */
  gradNorm(): Promise<number>;
}

/** Elements of the gradient per partial sum: kernels/src/adamw. */
const NORM_CHUNK = 4096;

export class AdamW {
  readonly params: ParamStore;
  /** Moments in the layout of the store's values. */
  readonly m: readonly Tensor[];
  readonly v: readonly Tensor[];
  /** Steps taken, skipped ones included: the exponent of the bias corrections. */
  stepCount = 0;
  readonly #ctx: Context;
  readonly #decay: readonly Tensor[];
  /** Sums of squares, those of each flat buffer from a granule on; gaps zero. */
  readonly #partials: Tensor;
  readonly #partialsOf: readonly Tensor[];
  readonly #norm: Tensor;
  readonly #options: Required<AdamWOptions>;

  /**
   * Allocates gradients, which are the store's, and moments. Defaults are PyTorch's; maxGradNorm 1 as in TRL.
   * @throws DeviceError when memory does not suffice; then no moments are held.
   */
  constructor(params: ParamStore, options: AdamWOptions = {}) {
    const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01, maxGradNorm = 1 } = options;
    // As f32 holds them: the kernel's m and the host's bias correction must speak of the same beta.
    this.#options = { beta1: Math.fround(beta1), beta2: Math.fround(beta2), eps, weightDecay, maxGradNorm };
    const { ctx } = params;
    this.#ctx = ctx;
    this.params = params;
    params.enableGrad();
    let length = 0;
    const places = params.values.map(({ slice }) => {
      const place = { start: alignUp(length), count: Math.ceil(slice.length / NORM_CHUNK) };
      length = place.start + place.count;
      return place;
    });
    const moments: Tensor[] = [];
    try {
      moments.push(...params.zerosLike());
      moments.push(...params.zerosLike());
      const made = ctx.scope(() => {
        const partials = ctx.tensor([length]);
        ctx.run(elementwise, 'fill', [partials], { n: length, value: 0 });
        return [partials, ctx.tensor([2]), ...params.decayBlocks().map((blocks) => ctx.from(blocks))];
      });
      [this.#partials, this.#norm, ...this.#decay] = made.map((t) => ctx.persist(t));
    } catch (error) {
      for (const t of moments) ctx.free(t);
      throw error;
    }
    this.m = moments.slice(0, places.length);
    this.v = moments.slice(places.length);
    this.#partialsOf = places.map(({ start, count }) => view(this.#partials, [count], start));
  }

  /** One update from the accumulated gradients, which stay as they are: `params.zeroGrad()` is the caller's. */
  step({ lr }: { readonly lr: number }): StepResult {
    const ctx = this.#ctx;
    const { beta1, beta2, eps, weightDecay, maxGradNorm } = this.#options;
    const { grads, values } = this.params;
    if (!grads) throw new Error('AdamW: the parameter store was destroyed');
    this.stepCount++;
    for (const [i, g] of grads.entries()) ctx.run(spec, 'grad_norm_partial', [this.#partialsOf[i], g], { n: g.slice.length });
    ctx.run(spec, 'grad_norm_finish', [this.#norm, this.#partials], { count: this.#partials.slice.length, max_norm: maxGradNorm });
    const hyper = {
      lr,
      beta1,
      beta2,
      eps,
      weight_decay: weightDecay,
      bias_correction1: 1 - beta1 ** this.stepCount,
      bias_correction2: 1 - beta2 ** this.stepCount,
    };
    for (const [i, g] of grads.entries()) {
      ctx.run(spec, 'adamw', [values[i], this.m[i], this.v[i], g, this.#decay[i], this.#norm], { n: g.slice.length, ...hyper });
    }
    return { gradNorm: async () => (await ctx.read(this.#norm))[0] };
  }

  destroy(): void {
    for (const t of [...this.m, ...this.v, ...this.#decay, this.#partials, this.#norm]) this.#ctx.free(t);
  }
}
