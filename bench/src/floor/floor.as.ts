// What a kernel cannot beat on this engine: a copy, and multiply-adds that never leave registers. See floor.ts.
import { fma4 } from "../../../kernels/src/common/simd.as";

/** Bytes per work item of floor_copy; COPY_BLOCK in floor.ts. */
const COPY_BLOCK: usize = 16384;

/** y = x, items lo..hi of COPY_BLOCK bytes, four moves of 16 bytes per turn. n is a multiple of an item and bounds nothing here. */
export function floor_copy(y: usize, x: usize, n: i32, lo: i32, hi: i32): void {
  const end = x + <usize>hi * COPY_BLOCK;
  x += <usize>lo * COPY_BLOCK;
  y += <usize>lo * COPY_BLOCK;
  for (; x < end; x += 64, y += 64) {
    v128.store(y, v128.load(x));
    v128.store(y, v128.load(x, 16), 16);
    v128.store(y, v128.load(x, 32), 32);
    v128.store(y, v128.load(x, 48), 48);
  }
}

/**
 * y[i] = sum of 12 chains, each `iters` times acc = acc * a + b. Twelve hide a latency of 4 cycles on 2 ports, and with a and b they
 * fit the 16 vector registers that x86-64 has.
 */
export function floor_fma(y: usize, items: i32, iters: i32, a: f32, b: f32, lo: i32, hi: i32): void {
  const va = f32x4.splat(a);
  const vb = f32x4.splat(b);
  for (let i = lo; i < hi; i++) {
    let s0 = f32x4.splat(1), s1 = f32x4.splat(2), s2 = f32x4.splat(3), s3 = f32x4.splat(4);
    let s4 = f32x4.splat(5), s5 = f32x4.splat(6), s6 = f32x4.splat(7), s7 = f32x4.splat(8);
    let s8 = f32x4.splat(9), s9 = f32x4.splat(10), s10 = f32x4.splat(11), s11 = f32x4.splat(12);
    for (let n = 0; n < iters; n++) {
      s0 = fma4(s0, va, vb); s1 = fma4(s1, va, vb); s2 = fma4(s2, va, vb); s3 = fma4(s3, va, vb);
      s4 = fma4(s4, va, vb); s5 = fma4(s5, va, vb); s6 = fma4(s6, va, vb); s7 = fma4(s7, va, vb);
      s8 = fma4(s8, va, vb); s9 = fma4(s9, va, vb); s10 = fma4(s10, va, vb); s11 = fma4(s11, va, vb);
    }
    const low = f32x4.add(f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3)), f32x4.add(s4, s5));
    const high = f32x4.add(f32x4.add(f32x4.add(s6, s7), f32x4.add(s8, s9)), f32x4.add(s10, s11));
    v128.store(y + (<usize>i << 4), f32x4.add(low, high));
  }
}
