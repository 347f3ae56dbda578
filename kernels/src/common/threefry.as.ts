// Threefry-2x32-20 (Salmon et al. 2011); the story is in threefry.ref.ts. Same bits as there. Four counters at a time.

// @ts-ignore: decorator
@inline
function rotl4(x: v128, r: i32): v128 {
  return v128.or(i32x4.shl(x, r), i32x4.shr_u(x, 32 - r));
}

/** First output words of four counters (ctr0 lane, ctr1 lane) under one key. */
// @ts-ignore: decorator
@inline
export function threefry4(key0: i32, key1: i32, ctr0: v128, ctr1: v128): v128 {
  const k0 = i32x4.splat(key0);
  const k1 = i32x4.splat(key1);
  const k2 = i32x4.splat(0x1bd11bda ^ key0 ^ key1);
  let x0 = i32x4.add(ctr0, k0);
  let x1 = i32x4.add(ctr1, k1);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 13), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 15), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 26), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 6), x0);
  x0 = i32x4.add(x0, k1); x1 = i32x4.add(x1, i32x4.add(k2, i32x4.splat(1)));
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 17), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 29), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 16), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 24), x0);
  x0 = i32x4.add(x0, k2); x1 = i32x4.add(x1, i32x4.add(k0, i32x4.splat(2)));
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 13), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 15), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 26), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 6), x0);
  x0 = i32x4.add(x0, k0); x1 = i32x4.add(x1, i32x4.add(k1, i32x4.splat(3)));
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 17), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 29), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 16), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 24), x0);
  x0 = i32x4.add(x0, k1); x1 = i32x4.add(x1, i32x4.add(k2, i32x4.splat(4)));
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 13), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 15), x0);
  x0 = i32x4.add(x0, x1); x1 = v128.xor(rotl4(x1, 26), x0);
  x0 = i32x4.add(x0, x1);
  return i32x4.add(x0, k2);
}

/** First output word of one counter. */
// @ts-ignore: decorator
@inline
export function threefry1(key0: i32, key1: i32, ctr0: i32, ctr1: i32): u32 {
  return <u32>i32x4.extract_lane(threefry4(key0, key1, i32x4.splat(ctr0), i32x4.splat(ctr1)), 0);
}

/** The top 24 bits as numbers in [0, 1), exact in f32. */
// @ts-ignore: decorator
@inline
export function uniform01x4(bits: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(bits, 8)), f32x4.splat(5.9604644775390625e-8));
}

// @ts-ignore: decorator
@inline
export function uniform01(bits: u32): f32 {
  return <f32>(bits >> 8) * <f32>5.9604644775390625e-8;
}
