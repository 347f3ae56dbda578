//!use common/sigmoid.wgsl
/** dgate, dup of y = silu(g) u, for dy = d. */
fn gradients(d: f32, g: f32, u: f32) -> vec2f {
  let s = sigmoid(g);
  return vec2f(d * u * s * (1.0 + g * (1.0 - s)), d * g * s);
}
