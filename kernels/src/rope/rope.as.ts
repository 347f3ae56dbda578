// Rotary position embedding; formula in rope.wgsl. A work item is a token with all its heads.

export function rope_fwd(y: usize, x: usize, positions: usize, cos_sin: usize, tokens: i32, heads: i32, head_dim: i32, max_pos: i32,
  sign: f32, lo: i32, hi: i32): void {
  const half = head_dim >> 1;
  const vec = half & ~3;
  const mid = (<usize>half) << 2;
  const row = (<usize>head_dim) << 2;
  const sign4 = f32x4.splat(sign);
  for (let n = lo; n < hi; n++) {
    const position = load<u32>(positions + ((<usize>n) << 2));
    let at = <usize>n * heads * row;
    if (position >= <u32>max_pos) {
      memory.fill(y + at, 0, <usize>heads * row);
      continue;
    }
    const table = cos_sin + <usize>position * row;
    for (let h = 0; h < heads; h++) {
      for (let d = 0; d < vec; d += 4) {
        const o = (<usize>d) << 2;
        const co = v128.load(table + o);
        const si = f32x4.mul(sign4, v128.load(table + o + mid));
        const a = v128.load(x + at + o);
        const b = v128.load(x + at + o + mid);
        v128.store(y + at + o, f32x4.sub(f32x4.mul(a, co), f32x4.mul(b, si)));
        v128.store(y + at + o + mid, f32x4.add(f32x4.mul(b, co), f32x4.mul(a, si)));
      }
      for (let d = vec; d < half; d++) {
        const o = (<usize>d) << 2;
        const co = load<f32>(table + o);
        const si: f32 = sign * load<f32>(table + o + mid);
        const a = load<f32>(x + at + o);
        const b = load<f32>(x + at + o + mid);
        store<f32>(y + at + o, a * co - b * si);
        store<f32>(y + at + o + mid, b * co + a * si);
      }
      at += row;
    }
  }
}
