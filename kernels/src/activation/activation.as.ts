// Activations; formulas in activation.wgsl. A work item is four elements; the last one may be short.
import { tanh4 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

export function tanh_fwd(y: usize, x: usize, n: i32, lo: i32, hi: i32): void {
  for (let g = lo; g < hi; g++) {
    const i = g << 2;
    if (i + 4 <= n) {
      v128.store(at(y, i), tanh4(v128.load(at(x, i))));
    } else {
      for (let j = i; j < n; j++) store<f32>(at(y, j), f32x4.extract_lane(tanh4(v128.load32_splat(at(x, j))), 0));
    }
  }
}

export function tanh_bwd(dx: usize, dy: usize, y: usize, n: i32, lo: i32, hi: i32): void {
  for (let g = lo; g < hi; g++) {
    const i = g << 2;
    if (i + 4 <= n) {
      const s = v128.load(at(y, i));
      v128.store(at(dx, i), f32x4.mul(v128.load(at(dy, i)), f32x4.sub(f32x4.splat(1), f32x4.mul(s, s))));
    } else {
      for (let j = i; j < n; j++) {
        const s = load<f32>(at(y, j));
        store<f32>(at(dx, j), load<f32>(at(dy, j)) * (1 - s * s));
      }
    }
  }
}

export function relu_fwd(y: usize, x: usize, n: i32, lo: i32, hi: i32): void {
  for (let g = lo; g < hi; g++) {
    const i = g << 2;
    if (i + 4 <= n) {
      v128.store(at(y, i), f32x4.max(v128.load(at(x, i)), f32x4.splat(0)));
    } else {
      for (let j = i; j < n; j++) store<f32>(at(y, j), max(load<f32>(at(x, j)), <f32>0));
    }
  }
}

export function relu_bwd(dx: usize, dy: usize, y: usize, n: i32, lo: i32, hi: i32): void {
  for (let g = lo; g < hi; g++) {
    const i = g << 2;
    if (i + 4 <= n) {
      v128.store(at(dx, i), v128.and(v128.load(at(dy, i)), f32x4.gt(v128.load(at(y, i)), f32x4.splat(0))));
    } else {
      for (let j = i; j < n; j++) store<f32>(at(dx, j), load<f32>(at(y, j)) > 0 ? load<f32>(at(dy, j)) : 0);
    }
  }
}
