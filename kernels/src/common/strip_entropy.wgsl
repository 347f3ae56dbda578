// One pass over a row in strips (common/strips.wgsl), online, as common/row_softmax.wgsl: m, the maximum so far; l = sum exp(d), s = sum exp(d) d
// with d = (x - m) scale. Then log-sum-exp = m scale + ln l, and the entropy in nats = ln l - s / l.

// exp(-200) is 0 in f32: the floor keeps exp(d) d at 0 where d would be minus infinity.
const FLOOR: f32 = -200.0;

fn floored(v: mat4x4f) -> mat4x4f {
  let least = vec4f(FLOOR);
  return mat4x4f(max(v[0], least), max(v[1], least), max(v[2], least), max(v[3], least));
}

/** l and s four columns apart. */
struct StripEntropy { m: f32, l: vec4f, s: vec4f }

fn strip_entropy_empty() -> StripEntropy { return StripEntropy(LOWEST, vec4f(), vec4f()); }

/** 16 columns more from c on, with one rescaling. */
fn strip_entropy_push(x: StripEntropy, v: mat4x4f, c: u32, cols: u32, scale: f32) -> StripEntropy {
  let m = max(x.m, max16(v));
  let down = max((x.m - m) * scale, FLOOR);
  let d = floored(less16(v, m) * scale);
  let e = within(exp16(d), c, cols);
  return StripEntropy(m, x.l * exp(down) + sum16(e), (x.s + x.l * down) * exp(down) + sum16(mul16(e, d)));
}

/** m, l and s of the row from those of its threads. */
fn strip_entropy_of_row(x: StripEntropy, scale: f32, t: u32) -> vec3f {
  let m = row_max(x.m, t);
  let down = max((x.m - m) * scale, FLOOR);
  let e = exp(down);
  let l = sum4(x.l);
  return vec3f(m, row_sum2(vec2f(l * e, e * (sum4(x.s) + l * down)), t));
}
