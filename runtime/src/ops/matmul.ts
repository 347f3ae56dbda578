/**
 * c (M, N) = alpha op(a) op(b) [+ c] [+ bias (N)], `batch` times, then the epilogue. No tape: the ops that use it have their own backward.
 * NN: a (M, K), b (K, N). NT: a (M, K), b (N, K). TN: a (K, M), b (K, N).
 */
import { EPILOGUE, type EpilogueName, matmul as spec } from '@eagrl/kernels';
import type { Context } from '../context.ts';
import type { Tensor } from '../tensor.ts';

/** What is done last, with the finished value: `residual` aux + value, `swiglu` silu(aux) value. aux has c's shape and is not c. */
export interface Epilogue {
  readonly kind: Exclude<EpilogueName, 'none'>;
  readonly aux: Tensor;
}

export interface MatmulShape {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly alpha?: number;
  /** 1 adds to what c holds. */
  readonly accumulate?: 0 | 1;
  readonly bias?: Tensor;
  readonly epilogue?: Epilogue;
  readonly batch?: number;
  /** Elements from one batch to the next; 0 shares the operand. */
  readonly strideA?: number;
  readonly strideB?: number;
  readonly strideC?: number;
}

export function matmul(ctx: Context, form: 'nn' | 'nt' | 'tn', c: Tensor, a: Tensor, b: Tensor, shape: MatmulShape): void {
  const { m, n, k, alpha = 1, accumulate = 0, bias, epilogue, batch = 1, strideA = 0, strideB = 0, strideC = 0 } = shape;
  const params = {
    m,
    n,
    k,
    batch,
    stride_a: strideA,
    stride_b: strideB,
    stride_c: strideC,
    alpha,
    accumulate,
    has_bias: bias ? 1 : 0,
    epilogue: EPILOGUE[epilogue?.kind ?? 'none'],
  };
  // Without a bias or an epilogue the bindings still want buffers; nothing is read from them.
  ctx.run(spec, `matmul_${form}`, [c, a, b, bias ?? b, epilogue?.aux ?? b], params);
}
