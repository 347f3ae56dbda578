// Elementwise arithmetic; formulas in elementwise.wgsl. A work item is a block of BLOCK elements, a multiple of the SIMD width.

/** The same number stands in elementwise.ts. */
const BLOCK: i32 = 4096;

export function fill(y: usize, n: i32, value: f32, lo: i32, hi: i32): void {
  const end = y + ((<usize>min(hi * BLOCK, n)) << 2);
  const v = f32x4.splat(value);
  y += (<usize>lo * BLOCK) << 2;
  for (; y + 16 <= end; y += 16) v128.store(y, v);
  for (; y < end; y += 4) store<f32>(y, value);
}

export function add(y: usize, a: usize, b: usize, n: i32, lo: i32, hi: i32): void {
  const end = y + ((<usize>min(hi * BLOCK, n)) << 2);
  const at = (<usize>lo * BLOCK) << 2;
  y += at; a += at; b += at;
  for (; y + 16 <= end; y += 16) {
    v128.store(y, f32x4.add(v128.load(a), v128.load(b)));
    a += 16; b += 16;
  }
  for (; y < end; y += 4) {
    store<f32>(y, load<f32>(a) + load<f32>(b));
    a += 4; b += 4;
  }
}

export function add_inplace(y: usize, x: usize, n: i32, lo: i32, hi: i32): void {
  add(y, y, x, n, lo, hi);
}

export function scale_inplace(y: usize, n: i32, s: f32, lo: i32, hi: i32): void {
  const end = y + ((<usize>min(hi * BLOCK, n)) << 2);
  const s4 = f32x4.splat(s);
  y += (<usize>lo * BLOCK) << 2;
  for (; y + 16 <= end; y += 16) v128.store(y, f32x4.mul(v128.load(y), s4));
  for (; y < end; y += 4) store<f32>(y, load<f32>(y) * s);
}

export function scaled_add_inplace(y: usize, x: usize, n: i32, s: f32, lo: i32, hi: i32): void {
  const end = y + ((<usize>min(hi * BLOCK, n)) << 2);
  const s4 = f32x4.splat(s);
  const at = (<usize>lo * BLOCK) << 2;
  y += at; x += at;
  for (; y + 16 <= end; y += 16) {
    v128.store(y, f32x4.add(v128.load(y), f32x4.mul(v128.load(x), s4)));
    x += 16;
  }
  for (; y < end; y += 4) {
    store<f32>(y, load<f32>(y) + s * load<f32>(x));
    x += 4;
  }
}
