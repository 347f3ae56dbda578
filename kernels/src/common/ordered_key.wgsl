// Bisection over the ordered bit patterns of f32, two steps at a time. The including file declares mass_of(x, m, scale), exp((x - m) scale).

/** An unsigned integer that orders as the number does, and back. */
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}
fn of_key(key: u32) -> f32 { return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u)); }
fn keys_of(asked: vec3u) -> vec3f { return vec3f(of_key(asked.x), of_key(asked.y), of_key(asked.z)); }

// Where two steps of a bisection of lo .. hi may ask, and what is left after them.
fn quarters(lo: u32, hi: u32) -> vec3u {
  let mid = lo + (hi - lo) / 2u;
  return vec3u(lo + (mid - lo) / 2u, mid, mid + (hi - mid) / 2u);
}
fn narrowed(lo: u32, hi: u32, asked: vec3u, enough: vec3<bool>) -> vec2u {
  let upper = select(vec2u(asked.y, asked.z), vec2u(asked.z, hi), enough.z);
  let lower = select(vec2u(lo, asked.x), vec2u(asked.x, asked.y), enough.x);
  return select(lower, upper, enough.y);
}

/** The lowest key of at least min_p times the mass of the maximum m, or lo where that is higher. */
fn key_of_min_p(lo: u32, m: f32, scale: f32, min_p: f32) -> u32 {
  // `hi` has the mass, `low` has not.
  var low = key_of(-3.4028234e38);
  var hi = key_of(m);
  for (var step = 0u; step < 32u; step++) {
    let mid = low + (hi - low) / 2u;
    let enough = mid > low && mass_of(of_key(mid), m, scale) >= min_p;
    hi = select(hi, mid, enough);
    low = select(mid, low, enough);
  }
  return max(lo, hi);
}
