//!use common/sigmoid.wgsl
// What a product does last, with the finished value and an auxiliary operand: as common/epilogue.ts numbers them.

const NO_EPILOGUE: u32 = 0u;
const RESIDUAL: u32 = 1u;

/** RESIDUAL: aux + value. SWIGLU: silu(aux) value. The bits of the kernels `add` and `swiglu_fwd`. */
fn with_auxiliary(epilogue: u32, aux: f32, value: f32) -> f32 {
  if (epilogue == RESIDUAL) { return aux + value; }
  return silu(aux) * value;
}
