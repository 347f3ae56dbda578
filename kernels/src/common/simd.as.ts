// Shared AssemblyScript helpers: fused multiply-add where the build has it, horizontal sums, exp, log.

/** Per-thread scratch of TLS_BYTES, given by the host at instantiation. */
// @ts-ignore: decorator
@external("env", "tls")
export declare const TLS: usize;
export const TLS_BYTES: i32 = 262144;

/** a * b + c; fused in the relaxed-simd build. */
// @ts-ignore: decorator
@inline
export function fma4(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

// @ts-ignore: decorator
@inline
export function hsum4(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1)) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}

// @ts-ignore: decorator
@inline
export function hmax4(v: v128): f32 {
  return max(max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)), max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)));
}

/** Four binary16, one per 32-bit lane, to f32: exact, subnormals, infinities and NaN included. */
// @ts-ignore: decorator
@inline
export function halves4(h: v128): v128 {
  const magnitude = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const special = i32x4.ge_s(magnitude, i32x4.splat(0x0f800000));
  const value = f32x4.mul(magnitude, f32x4.splat(5.192296858534828e33)); // 2^112
  const sign = i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16);
  return v128.or(v128.or(value, sign), v128.and(special, i32x4.splat(0x7f800000)));
}

/**
 * exp of four lanes. x = n ln2 + r, |r| <= ln2/2 (Cody-Waite, ln2 in two parts), degree-6 minimax polynomial for e^r, scale by 2^n
 * in two steps so that results down to the smallest normal are right. Below -87.34 it gives 0; above 88.72 it stays at the largest finite
 * power; NaN stays NaN. n by adding and taking away 1.5 * 2^23, which rounds to nearest and leaves n in the low bits.
 * ULP error: 1.25 (measured over the clamped range).
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const lo = f32x4.splat(-87.33654);
  const under = f32x4.lt(x, lo);
  // pmin and pmax in this argument order keep a NaN in x, and cost a fifth of min and max in V8.
  const xc = f32x4.pmin(f32x4.pmax(x, lo), f32x4.splat(88.72283));
  const magic = f32x4.splat(12582912.0);
  const t = f32x4.add(f32x4.mul(xc, f32x4.splat(1.44269504088896341)), magic);
  const n = f32x4.sub(t, magic);
  let r = f32x4.sub(xc, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.12194440e-4)));
  let p = f32x4.splat(0.00138146262);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.0083687096));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.0416683872));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.166665207));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.499999935));
  p = f32x4.add(f32x4.mul(f32x4.mul(r, r), p), f32x4.add(r, f32x4.splat(1.0)));
  // 2^n in two halves: n may be -126 .. 128, and 128 does not fit one exponent field.
  const ni = i32x4.sub(t, magic);
  const n1 = i32x4.shr_s(ni, 1);
  const n2 = i32x4.sub(ni, n1);
  const s1 = i32x4.shl(i32x4.add(n1, i32x4.splat(127)), 23);
  const s2 = i32x4.shl(i32x4.add(n2, i32x4.splat(127)), 23);
  const y = f32x4.mul(f32x4.mul(p, s1), s2);
  return v128.andnot(y, under);
}

// @ts-ignore: decorator
@inline
export function exp1(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

/**
 * Natural log of a positive normal number: x = 2^e m, m in [sqrt(1/2), sqrt(2)); log m by the odd series of
 * s = (m-1)/(m+1): 2(s + s^3/3 + s^5/5 + s^7/7 + s^9/9). Zero and below give -103.28 (log of the smallest denormal), inf stays inf.
 */
// @ts-ignore: decorator
@inline
export function log1(x: f32): f32 {
  if (x <= 0) return -103.27893;
  if (x == Infinity) return x;
  let scale: i32 = 0;
  if (x < 1.17549435e-38) { x *= 8388608.0; scale = -23; }
  const bits = reinterpret<i32>(x);
  let e = ((bits >> 23) & 255) - 127;
  let m = reinterpret<f32>((bits & 0x7fffff) | 0x3f800000);
  if (m > 1.41421356) { m *= 0.5; e += 1; }
  const s: f32 = (m - 1.0) / (m + 1.0);
  const z: f32 = s * s;
  const p: f32 = 2.0 * s * (1.0 + z * (0.33333333 + z * (0.2 + z * (0.14285715 + z * 0.11111111))));
  const ef = <f32>(e + scale);
  return p + ef * -2.12194440e-4 + ef * 0.693359375;
}

/** 1 / (1 + e^-x), four lanes. */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  const one = f32x4.splat(1.0);
  return f32x4.div(one, f32x4.add(one, exp4(f32x4.neg(x))));
}

/** x sigmoid(x), four lanes. */
// @ts-ignore: decorator
@inline
export function silu4(x: v128): v128 {
  return f32x4.mul(x, sigmoid4(x));
}

/** tanh x = 1 - 2 / (1 + e^2x), four lanes; absolute error below 2e-7. */
// @ts-ignore: decorator
@inline
export function tanh4(x: v128): v128 {
  const one = f32x4.splat(1.0);
  return f32x4.sub(one, f32x4.div(f32x4.splat(2.0), f32x4.add(one, exp4(f32x4.add(x, x)))));
}

// @ts-ignore: decorator
@inline
export function sigmoid1(x: f32): f32 {
  return f32x4.extract_lane(sigmoid4(f32x4.splat(x)), 0);
}

/**
 * exp of four lanes of softmax weights (score - max, score - lse): as exp4, but without a clamp above 88, with a one-instruction
 * minimum and rounding (adding 1.5 * 2^23 leaves n in the low mantissa bits) and one scaling step. Below -87.33 it gives 0.
 */
// @ts-ignore: decorator
@inline
export function exp4_weights(x: v128): v128 {
  const lo = f32x4.splat(-87.33);
  const round = f32x4.splat(12582912.0);
  const under = f32x4.lt(x, lo);
  const xc = f32x4.pmax(x, lo);
  const t = fma4(xc, f32x4.splat(1.44269504088896341), round);
  const n = f32x4.sub(t, round);
  let r = fma4(n, f32x4.splat(-0.693359375), xc);
  r = fma4(n, f32x4.splat(2.12194440e-4), r);
  let p = f32x4.splat(1.3888889e-3);
  p = fma4(p, r, f32x4.splat(8.3333333e-3));
  p = fma4(p, r, f32x4.splat(4.1666668e-2));
  p = fma4(p, r, f32x4.splat(1.6666667e-1));
  p = fma4(p, r, f32x4.splat(0.5));
  p = fma4(p, r, f32x4.splat(1.0));
  p = fma4(p, r, f32x4.splat(1.0));
  return v128.andnot(i32x4.add(p, i32x4.shl(t, 23)), under);
}

/**
 * exp of four lanes of at most 0 (it holds up to 88), for sums of whole rows: 14 instructions where exp4 has 27, and so few constants that they
 * and two chains fit 16 registers. x = (n + f) ln2, |f| <= 1/2: a polynomial of degree 5 for 2^f, minimax with its constant held at 1
 * (9.2e-8), times 2^n. Relative error 1.9e-7 + 8e-8 |x|, the second from rounding x log2(e). Below -88.03 2^n is 0, and so is the result; NaN stays NaN.
 */
// @ts-ignore: decorator
@inline
export function exp4_le0(x: v128): v128 {
  const log2e = f32x4.splat(1.44269504088896341);
  const one = f32x4.splat(1.0);
  const magic = f32x4.splat(12582912.0);
  const d = f32x4.pmax(x, f32x4.splat(-88.029691));
  const t = fma4(d, log2e, magic);
  const f = fma4(d, log2e, f32x4.sub(magic, t));
  let p = f32x4.splat(1.3264727e-3);
  p = fma4(p, f, f32x4.splat(9.6715130e-3));
  p = fma4(p, f, f32x4.splat(5.5507336e-2));
  p = fma4(p, f, f32x4.splat(2.4022242e-1));
  p = fma4(p, f, f32x4.splat(6.9314700e-1));
  p = fma4(p, f, one);
  return f32x4.mul(p, i32x4.add(i32x4.shl(t, 23), one));
}

// @ts-ignore: decorator
@inline
export function exp1_le0(x: f32): f32 {
  return f32x4.extract_lane(exp4_le0(f32x4.splat(x)), 0);
}
