// Softmax over the last dim, one row at a time; formula in softmax.wgsl. Rows lo..hi belong to the calling thread. A row is read from memory
// once and written once: the passes after the first find it in cache.
import { hsum4 } from '../common/simd.as';
import { row_exp, row_max, row_scale } from '../common/row_softmax.as';

export function softmax_fwd(y: usize, x: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  for (let r = lo; r < hi; r++) {
    const xr = x + <usize>r * row;
    const yr = y + <usize>r * row;
    const l = row_exp(yr, xr, cols, row_max(xr, cols), r + 1 < hi ? xr + row : xr);
    row_scale(yr, cols, <f32>1.0 / l);
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
