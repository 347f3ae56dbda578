/** f64 oracle of the rotary position embedding; the formula is in rope.wgsl. */
interface Buffers {
  y: Float64Array;
  x: Float64Array;
  positions: ArrayLike<number>;
  cos_sin: Float64Array;
}
interface Shape {
  tokens: number;
  heads: number;
  head_dim: number;
  max_pos: number;
  sign: number;
}

export function rope_fwd({ y, x, positions, cos_sin }: Buffers, { tokens, heads, head_dim, max_pos, sign }: Shape): void {
  const half = head_dim / 2;
  for (let n = 0; n < tokens; n++) {
    const inside = positions[n] < max_pos;
    for (let h = 0; h < heads; h++) {
      const at = (n * heads + h) * head_dim;
      for (let d = 0; d < half; d++) {
        const co = inside ? cos_sin[positions[n] * head_dim + d] : 0;
        const si = inside ? sign * cos_sin[positions[n] * head_dim + half + d] : 0;
        y[at + d] = x[at + d] * co - x[at + half + d] * si;
        y[at + half + d] = x[at + half + d] * co + x[at + d] * si;
      }
    }
  }
}
