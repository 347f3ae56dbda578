// Rotary position embedding; formula in rope.wgsl. A work item is a token with all its heads.

/** `heads` heads of one token at `position`. */
// @ts-ignore: decorator
@inline
function turn(y: usize, x: usize, cos_sin: usize, position: u32, heads: i32, head_dim: i32, max_pos: i32, sign: f32): void {
  const half = head_dim >> 1;
  const vec = half & ~3;
  const mid = (<usize>half) << 2;
  const row = (<usize>head_dim) << 2;
  const sign4 = f32x4.splat(sign);
  if (position >= <u32>max_pos) {
    memory.fill(y, 0, <usize>heads * row);
    return;
  }
  const table = cos_sin + <usize>position * row;
  for (let h = 0; h < heads; h++, y += row, x += row) {
    for (let d = 0; d < vec; d += 4) {
      const o = (<usize>d) << 2;
      const co = v128.load(table + o);
      const si = f32x4.mul(sign4, v128.load(table + o + mid));
      const a = v128.load(x + o);
      const b = v128.load(x + o + mid);
      v128.store(y + o, f32x4.sub(f32x4.mul(a, co), f32x4.mul(b, si)));
      v128.store(y + o + mid, f32x4.add(f32x4.mul(b, co), f32x4.mul(a, si)));
    }
    for (let d = vec; d < half; d++) {
      const o = (<usize>d) << 2;
      const co = load<f32>(table + o);
      const si: f32 = sign * load<f32>(table + o + mid);
      const a = load<f32>(x + o);
      const b = load<f32>(x + o + mid);
      store<f32>(y + o, a * co - b * si);
      store<f32>(y + o + mid, b * co + a * si);
    }
  }
}

export function rope_fwd(y: usize, x: usize, positions: usize, cos_sin: usize, tokens: i32, heads: i32, head_dim: i32, max_pos: i32,
  sign: f32, lo: i32, hi: i32): void {
  const row = (<usize>heads * head_dim) << 2;
  for (let n = <usize>lo; n < <usize>hi; n++) {
    turn(y + n * row, x + n * row, cos_sin, load<u32>(positions + (n << 2)), heads, head_dim, max_pos, sign);
  }
}

export function rope_qkv_fwd(q: usize, k: usize, v: usize, qkv: usize, positions: usize, cos_sin: usize, tokens: i32, heads: i32,
  kv_heads: i32, head_dim: i32, max_pos: i32, lo: i32, hi: i32): void {
  const wide = (<usize>heads * head_dim) << 2;
  const narrow = (<usize>kv_heads * head_dim) << 2;
  for (let n = <usize>lo; n < <usize>hi; n++) {
    const from = qkv + n * (wide + 2 * narrow);
    const position = load<u32>(positions + (n << 2));
    turn(q + n * wide, from, cos_sin, position, heads, head_dim, max_pos, 1);
    turn(k + n * narrow, from + wide, cos_sin, position, kv_heads, head_dim, max_pos, 1);
    memory.copy(v + n * narrow, from + wide + narrow, narrow);
  }
}

export function rope_qkv_bwd(dqkv: usize, dq: usize, dk: usize, dv: usize, positions: usize, cos_sin: usize, tokens: i32, heads: i32,
  kv_heads: i32, head_dim: i32, max_pos: i32, lo: i32, hi: i32): void {
  const wide = (<usize>heads * head_dim) << 2;
  const narrow = (<usize>kv_heads * head_dim) << 2;
  for (let n = <usize>lo; n < <usize>hi; n++) {
    const to = dqkv + n * (wide + 2 * narrow);
    const position = load<u32>(positions + (n << 2));
    turn(to, dq + n * wide, cos_sin, position, heads, head_dim, max_pos, -1);
    turn(to + wide, dk + n * narrow, cos_sin, position, kv_heads, head_dim, max_pos, -1);
    memory.copy(to + wide + narrow, dv + n * narrow, narrow);
  }
}
