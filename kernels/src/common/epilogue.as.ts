// What a product does last, with the finished numbers of c and an auxiliary operand of c's shape and layout: as common/epilogue.ts numbers them.
// Once per work item, while its part of c is near: the inner blocks stay as they are without, and however many panels K has, it comes after the last.
import { silu4 } from './simd.as';

const RESIDUAL: i32 = 1;

// The bits are those of the kernels `add` and `swiglu_fwd`.

/** aux + value. */
function residual(to: usize, aux: usize, cols: i32): void {
  const end = to + ((<usize>cols) << 2);
  for (; to + 16 <= end; to += 16) {
    v128.store(to, f32x4.add(v128.load(aux), v128.load(to)));
    aux += 16;
  }
  for (; to < end; to += 4) {
    store<f32>(to, load<f32>(aux) + load<f32>(to));
    aux += 4;
  }
}

/** silu(aux) value; two vectors a turn, as in swiglu.as.ts. */
function swiglu(to: usize, aux: usize, cols: i32): void {
  const end = to + ((<usize>cols) << 2);
  for (; to + 32 <= end; to += 32) {
    const a = f32x4.mul(silu4(v128.load(aux)), v128.load(to));
    const b = f32x4.mul(silu4(v128.load(aux, 16)), v128.load(to, 16));
    v128.store(to, a);
    v128.store(to, b, 16);
    aux += 32;
  }
  for (; to + 16 <= end; to += 16) {
    v128.store(to, f32x4.mul(silu4(v128.load(aux)), v128.load(to)));
    aux += 16;
  }
  for (; to < end; to += 4) {
    store<f32>(to, f32x4.extract_lane(silu4(v128.load32_splat(aux)), 0) * load<f32>(to));
    aux += 4;
  }
}

/** Rows x cols numbers of c from `at` on, `ld` from row to row; 0 leaves them as they are. */
export function finish(epilogue: i32, c: usize, aux: usize, at: usize, ld: i32, rows: i32, cols: i32): void {
  if (epilogue == 0) return;
  for (let i = 0; i < rows; i++) {
    const o = (at + <usize>i * ld) << 2;
    if (epilogue == RESIDUAL) residual(c + o, aux + o, cols);
    else swiglu(c + o, aux + o, cols);
  }
}
