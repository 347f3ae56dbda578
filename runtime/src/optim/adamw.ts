/**
 * AdamW (Loshchilov and Hutter 2019, arXiv 1711.05101) over a whole ParamStore, with clipping by global norm:
 *
 *   c = min(1, max_norm / (|g| + 1e-6)),  p -= lr wd p,  m, v from c g,  p -= lr m^ / (sqrt(v^) + eps)
 *
 * Three launches, no read-back. A norm that is not finite leaves parameters and moments untouched; the step count still advances.
 */
import { elementwise, adamw as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { ParamStore } from '../params.ts';
import type { Tensor } from '../tensor.ts';

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
  readonly m: Tensor;
  readonly v: Tensor;
  /** Steps taken, skipped ones included: the exponent of the bias corrections. */
  stepCount = 0;
  readonly #ctx: Context;
  readonly #decay: Tensor;
  readonly #partials: Tensor;
  readonly #norm: Tensor;
  readonly #options: Required<AdamWOptions>;

  /** Allocates gradients and moments. Defaults are PyTorch's; maxGradNorm 1 as in TRL. */
  constructor(params: ParamStore, options: AdamWOptions = {}) {
    const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weightDecay = 0.01, maxGradNorm = 1 } = options;
    // As f32 holds them: the kernel's m and the host's bias correction must speak of the same beta.
    this.#options = { beta1: Math.fround(beta1), beta2: Math.fround(beta2), eps, weightDecay, maxGradNorm };
    const { ctx } = params;
    this.#ctx = ctx;
    this.params = params;
    params.enableGrad();
    const n = params.length;
    this.m = ctx.persist(ctx.tensor([n]));
    this.v = ctx.persist(ctx.tensor([n]));
    for (const t of [this.m, this.v]) ctx.run(elementwise, 'fill', [t], { n, value: 0 });
    this.#decay = ctx.persist(ctx.from(params.decayBlocks()));
    this.#partials = ctx.persist(ctx.tensor([Math.ceil(n / NORM_CHUNK)]));
    this.#norm = ctx.persist(ctx.tensor([2]));
  }

  /** One update from the accumulated gradients, which stay as they are: `params.zeroGrad()` is the caller's. */
  step({ lr }: { readonly lr: number }): StepResult {
    const ctx = this.#ctx;
    const { beta1, beta2, eps, weightDecay, maxGradNorm } = this.#options;
    const { grads, values, length: n } = this.params;
    if (!grads) throw new Error('AdamW: the parameter store was destroyed');
    this.stepCount++;
    ctx.run(spec, 'grad_norm_partial', [this.#partials, grads], { n });
    ctx.run(spec, 'grad_norm_finish', [this.#norm, this.#partials], { count: this.#partials.slice.length, max_norm: maxGradNorm });
    ctx.run(spec, 'adamw', [values, this.m, this.v, grads, this.#decay, this.#norm], {
      n,
      lr,
      beta1,
      beta2,
      eps,
      weight_decay: weightDecay,
      bias_correction1: 1 - beta1 ** this.stepCount,
      bias_correction2: 1 - beta2 ** this.stepCount,
    });
    return { gradNorm: async () => (await ctx.read(this.#norm))[0] };
  }

  destroy(): void {
    for (const t of [this.m, this.v, this.#decay, this.#partials, this.#norm]) this.#ctx.free(t);
  }
}
