//!use common/sigmoid.wgsl
// What a product does last, with the finished value and an auxiliary operand: as common/epilogue.ts numbers them. The including file has
// the params block `p` with its epilogue.

const NO_EPILOGUE: u32 = 0u;
const RESIDUAL: u32 = 1u;

/** RESIDUAL: aux + value. SWIGLU: silu(aux) value. The bits of the kernels `add` and `swiglu_fwd`. */
fn with_auxiliary(epilogue: u32, aux: f32, value: f32) -> f32 {
  if (epilogue == RESIDUAL) { return aux + value; }
  return silu(aux) * value;
}

/**
 * All of a thread's outputs, or none: SwiftShader runs what an `if` leaves out under a mask, exp as well, so a thread with many outputs finishes them
 * in a second loop, over so many.
 */
fn epilogues(outputs: u32) -> u32 { return select(outputs, 0u, p.epilogue == NO_EPILOGUE); }
