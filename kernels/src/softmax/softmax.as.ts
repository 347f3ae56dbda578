// Softmax over the last dim, one row at a time; formula in softmax.wgsl. Rows lo..hi belong to the calling thread.
import { exp1, exp4, hmax4, hsum4 } from '../common/simd.as';

export function softmax_fwd(y: usize, x: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const vec = cols & ~3;
  for (let r = lo; r < hi; r++) {
    const xr = x + ((<usize>r * cols) << 2);
    const yr = y + ((<usize>r * cols) << 2);
    let mv = f32x4.splat(-f32.MAX_VALUE);
    for (let c = 0; c < vec; c += 4) mv = f32x4.max(mv, v128.load(xr + ((<usize>c) << 2)));
    let m = hmax4(mv);
    for (let c = vec; c < cols; c++) m = max(m, load<f32>(xr + ((<usize>c) << 2)));
    const m4 = f32x4.splat(m);
    let lv = f32x4.splat(0);
    for (let c = 0; c < vec; c += 4) {
      const e = exp4(f32x4.sub(v128.load(xr + ((<usize>c) << 2)), m4));
      v128.store(yr + ((<usize>c) << 2), e);
      lv = f32x4.add(lv, e);
    }
    let l = hsum4(lv);
    for (let c = vec; c < cols; c++) {
      const e = exp1(load<f32>(xr + ((<usize>c) << 2)) - m);
      store<f32>(yr + ((<usize>c) << 2), e);
      l += e;
    }
    const inv: f32 = 1.0 / l;
    const inv4 = f32x4.splat(inv);
    for (let c = 0; c < vec; c += 4) v128.store(yr + ((<usize>c) << 2), f32x4.mul(v128.load(yr + ((<usize>c) << 2)), inv4));
    for (let c = vec; c < cols; c++) store<f32>(yr + ((<usize>c) << 2), load<f32>(yr + ((<usize>c) << 2)) * inv);
  }
}

export function softmax_bwd(dx: usize, dy: usize, y: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const vec = cols & ~3;
  for (let r = lo; r < hi; r++) {
    const at = (<usize>r * cols) << 2;
    let dv = f32x4.splat(0);
    for (let c = 0; c < vec; c += 4) {
      const o = at + ((<usize>c) << 2);
      dv = f32x4.add(dv, f32x4.mul(v128.load(dy + o), v128.load(y + o)));
    }
    let d = hsum4(dv);
    for (let c = vec; c < cols; c++) {
      const o = at + ((<usize>c) << 2);
      d += load<f32>(dy + o) * load<f32>(y + o);
    }
    const d4 = f32x4.splat(d);
    for (let c = 0; c < vec; c += 4) {
      const o = at + ((<usize>c) << 2);
      v128.store(dx + o, f32x4.mul(v128.load(y + o), f32x4.sub(v128.load(dy + o), d4)));
    }
    for (let c = vec; c < cols; c++) {
      const o = at + ((<usize>c) << 2);
      store<f32>(dx + o, load<f32>(y + o) * (load<f32>(dy + o) - d));
    }
  }
}
