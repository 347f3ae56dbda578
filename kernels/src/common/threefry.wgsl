// Threefry-2x32-20 (Salmon et al. 2011); the story is in common/threefry.ref.ts. Same bits as there.

const THREEFRY_ROTATIONS = array<vec4u, 2>(vec4u(13u, 15u, 26u, 6u), vec4u(17u, 29u, 16u, 24u));

fn threefry_round(x: vec2u, r: u32) -> vec2u {
  let x0 = x.x + x.y;
  return vec2u(x0, ((x.y << r) | (x.y >> (32u - r))) ^ x0);
}

fn threefry_group(x: vec2u, r: vec4u) -> vec2u {
  return threefry_round(threefry_round(threefry_round(threefry_round(x, r.x), r.y), r.z), r.w);
}

fn threefry2x32(key: vec2u, counter: vec2u) -> vec2u {
  let k2 = 0x1bd11bdau ^ key.x ^ key.y;
  var x = counter + key;
  x = threefry_group(x, THREEFRY_ROTATIONS[0]) + vec2u(key.y, k2 + 1u);
  x = threefry_group(x, THREEFRY_ROTATIONS[1]) + vec2u(k2, key.x + 2u);
  x = threefry_group(x, THREEFRY_ROTATIONS[0]) + vec2u(key.x, key.y + 3u);
  x = threefry_group(x, THREEFRY_ROTATIONS[1]) + vec2u(key.y, k2 + 4u);
  return threefry_group(x, THREEFRY_ROTATIONS[0]) + vec2u(k2, key.x + 5u);
}

// The top 24 bits as a number in [0, 1), exact in f32.
fn uniform01(bits: u32) -> f32 { return f32(bits >> 8u) * 0x1p-24; }
