/**
 * What a product does last, as the kernels number it, with the finished value (alpha, bias and accumulate are done) and an auxiliary operand of
 * c's shape and layout, which never is c: residual c = aux + value; swiglu c = silu(aux) value. The bits of the kernels `add` and `swiglu_fwd`.
 */
export const EPILOGUE = { none: 0, residual: 1, swiglu: 2 } as const;
export type EpilogueName = keyof typeof EPILOGUE;
