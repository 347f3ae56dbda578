// RMSNorm over the last dim; formulas in rmsnorm.wgsl. Forward and dx: a work item is a row. dweight: a work item is 16 columns,
// one cache line of every row, in 4 registers.
import { fma4, hsum4 } from '../common/simd.as';

const COLS: i32 = 16;

export function rmsnorm_fwd(y: usize, rstd: usize, x: usize, weight: usize, rows: i32, cols: i32, eps: f32, lo: i32, hi: i32): void {
  const vec = cols & ~3;
  for (let n = lo; n < hi; n++) {
    const at = (<usize>n * cols) << 2;
    let sv = f32x4.splat(0);
    for (let c = 0; c < vec; c += 4) {
      const v = v128.load(x + at + ((<usize>c) << 2));
      sv = fma4(v, v, sv);
    }
    let s = hsum4(sv);
    for (let c = vec; c < cols; c++) {
      const v = load<f32>(x + at + ((<usize>c) << 2));
      s += v * v;
    }
    const r: f32 = 1.0 / sqrt<f32>(s / <f32>cols + eps);
    store<f32>(rstd + ((<usize>n) << 2), r);
    const r4 = f32x4.splat(r);
    for (let c = 0; c < vec; c += 4) {
      const o = (<usize>c) << 2;
      v128.store(y + at + o, f32x4.mul(f32x4.mul(v128.load(x + at + o), r4), v128.load(weight + o)));
    }
    for (let c = vec; c < cols; c++) {
      const o = (<usize>c) << 2;
      store<f32>(y + at + o, load<f32>(x + at + o) * r * load<f32>(weight + o));
    }
  }
}

export function rmsnorm_bwd_dx(dx: usize, dy: usize, x: usize, weight: usize, rstd: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const vec = cols & ~3;
  for (let n = lo; n < hi; n++) {
    const at = (<usize>n * cols) << 2;
    let dv = f32x4.splat(0);
    for (let c = 0; c < vec; c += 4) {
      const o = (<usize>c) << 2;
      dv = fma4(f32x4.mul(v128.load(dy + at + o), v128.load(weight + o)), v128.load(x + at + o), dv);
    }
    let d = hsum4(dv);
    for (let c = vec; c < cols; c++) {
      const o = (<usize>c) << 2;
      d += load<f32>(dy + at + o) * load<f32>(weight + o) * load<f32>(x + at + o);
    }
    const r = load<f32>(rstd + ((<usize>n) << 2));
    const k: f32 = d / <f32>cols * r * r;
    const r4 = f32x4.splat(r);
    const k4 = f32x4.splat(k);
    for (let c = 0; c < vec; c += 4) {
      const o = (<usize>c) << 2;
      const direct = f32x4.mul(v128.load(dy + at + o), v128.load(weight + o));
      v128.store(dx + at + o, f32x4.mul(r4, f32x4.sub(direct, f32x4.mul(v128.load(x + at + o), k4))));
    }
    for (let c = vec; c < cols; c++) {
      const o = (<usize>c) << 2;
      store<f32>(dx + at + o, r * (load<f32>(dy + at + o) * load<f32>(weight + o) - load<f32>(x + at + o) * k));
    }
  }
}

export function rmsnorm_bwd_dweight(dweight: usize, dy: usize, x: usize, rstd: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  for (let item = lo; item < hi; item++) {
    const c0 = item * COLS;
    const at = (<usize>c0) << 2;
    if (c0 + COLS <= cols) {
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
      let g = dy + at;
      let v = x + at;
      for (let n = 0; n < rows; n++) {
        const r = v128.load32_splat(rstd + ((<usize>n) << 2));
        s0 = fma4(f32x4.mul(v128.load(g), v128.load(v)), r, s0);
        s1 = fma4(f32x4.mul(v128.load(g, 16), v128.load(v, 16)), r, s1);
        s2 = fma4(f32x4.mul(v128.load(g, 32), v128.load(v, 32)), r, s2);
        s3 = fma4(f32x4.mul(v128.load(g, 48), v128.load(v, 48)), r, s3);
        g += row;
        v += row;
      }
      const to = dweight + at;
      v128.store(to, f32x4.add(v128.load(to), s0));
      v128.store(to, f32x4.add(v128.load(to, 16), s1), 16);
      v128.store(to, f32x4.add(v128.load(to, 32), s2), 32);
      v128.store(to, f32x4.add(v128.load(to, 48), s3), 48);
      continue;
    }
    for (let c = c0; c < cols; c++) {
      const o = (<usize>c) << 2;
      let s: f32 = 0;
      for (let n = 0; n < rows; n++) {
        s += load<f32>(dy + <usize>n * row + o) * load<f32>(x + <usize>n * row + o) * load<f32>(rstd + ((<usize>n) << 2));
      }
      store<f32>(dweight + o, load<f32>(dweight + o) + s);
    }
  }
}
