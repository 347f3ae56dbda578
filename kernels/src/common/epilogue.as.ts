// What a product does last, with the finished numbers of c and an auxiliary operand of c's shape and layout: as common/epilogue.ts numbers them.
// Once per work item, while its part of c is near: the inner blocks stay as they are without, and however many panels K has, it comes after the last.
import { silu4 } from './simd.as';

const RESIDUAL: i32 = 1;

/** RESIDUAL: aux + value. SWIGLU: silu(aux) value. The bits of the kernels `add` and `swiglu_fwd`. */
// @ts-ignore: decorator
@inline
function with_auxiliary(epilogue: i32, aux: v128, value: v128): v128 {
  if (epilogue == RESIDUAL) return f32x4.add(aux, value);
  return f32x4.mul(silu4(aux), value);
}

/** Rows x cols numbers of c from `at` on, `ld` from row to row; 0 leaves them as they are. */
export function finish(epilogue: i32, c: usize, aux: usize, at: usize, ld: i32, rows: i32, cols: i32): void {
  if (epilogue == 0) return;
  for (let i = 0; i < rows; i++) {
    let to = c + ((at + <usize>i * ld) << 2);
    let x = aux + (to - c);
    const end = to + ((<usize>cols) << 2);
    for (; to + 16 <= end; to += 16) {
      v128.store(to, with_auxiliary(epilogue, v128.load(x), v128.load(to)));
      x += 16;
    }
    for (; to < end; to += 4) {
      store<f32>(to, f32x4.extract_lane(with_auxiliary(epilogue, v128.load32_splat(x), v128.load32_splat(to)), 0));
      x += 4;
    }
  }
}
