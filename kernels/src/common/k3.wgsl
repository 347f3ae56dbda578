// exp(q) - q - 1; by its series near 0, where the difference would cancel.
fn k3(q: f32) -> f32 {
  let series = q * q * (0.5 + q * (0.16666667 + q * (0.041666668 + q * (0.0083333338 + q * 0.0013888889))));
  return select(exp(q) - q - 1.0, series, abs(q) < 0.25);
}
