// Sixteen columns of a row as a matrix of four vec4. Neighbours, for row kernels with a thread per row: adapters that compute on the CPU pay for a
// load by the instruction, not by the byte (threadPerRow in lanes.ts). Or four vec4, or sixteen numbers, `lanes` apart: what a thread of
// common/row_lanes.wgsl holds of its row.

fn sum4(v: vec4f) -> f32 { return v.x + v.y + (v.z + v.w); }

/** Sums four columns apart; `sum4` of it is the sum of all sixteen. */
fn sum16(v: mat4x4f) -> vec4f { return v[0] + v[1] + (v[2] + v[3]); }

fn max16(v: mat4x4f) -> f32 {
  let m = max(max(v[0], v[1]), max(v[2], v[3]));
  return max(max(m.x, m.y), max(m.z, m.w));
}

/** Element by element. */
fn mul16(a: mat4x4f, b: mat4x4f) -> mat4x4f { return mat4x4f(a[0] * b[0], a[1] * b[1], a[2] * b[2], a[3] * b[3]); }

fn less16(v: mat4x4f, s: f32) -> mat4x4f { return mat4x4f(v[0] - s, v[1] - s, v[2] - s, v[3] - s); }

fn exp16(v: mat4x4f) -> mat4x4f { return mat4x4f(exp(v[0]), exp(v[1]), exp(v[2]), exp(v[3])); }

const LOWEST: f32 = -3.4028234e38;

/** Of the columns of a row so far: their maximum m, and the sum of exp(x - m) four columns apart. */
struct WideSums { m: f32, l: vec4f }

fn wide_empty() -> WideSums { return WideSums(LOWEST, vec4f()); }

/** Sixteen columns more, with one rescaling. */
fn wide_push(a: WideSums, v: mat4x4f) -> WideSums {
  let m = max(a.m, max16(v));
  return WideSums(m, a.l * exp(a.m - m) + sum16(exp16(less16(v, m))));
}
