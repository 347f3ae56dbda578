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

interface Fused {
  tokens: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  max_pos: number;
}
type Turn = Pick<Buffers, 'positions' | 'cos_sin'>;

/** Where a token's q, k and v lie in its row of the fused projection, and the shape of a turn. */
function parts({ tokens, heads, kv_heads, head_dim, max_pos }: Fused) {
  const wide = heads * head_dim;
  const narrow = kv_heads * head_dim;
  const row = wide + 2 * narrow;
  const shape = (h: number, sign: number) => ({ tokens, heads: h, head_dim, max_pos, sign });
  return { q: { at: 0, width: wide }, k: { at: wide, width: narrow }, v: { at: wide + narrow, width: narrow }, row, shape };
}

const cut = (from: Float64Array, tokens: number, row: number, { at, width }: { at: number; width: number }) =>
  Float64Array.from({ length: tokens * width }, (_, i) => from[Math.floor(i / width) * row + at + (i % width)]);

function paste(into: Float64Array, row: number, { at, width }: { at: number; width: number }, from: Float64Array): void {
  for (let i = 0; i < from.length; i++) into[Math.floor(i / width) * row + at + (i % width)] = from[i];
}

export function rope_qkv_fwd({ q, k, v, qkv, ...turn }: Record<'q' | 'k' | 'v' | 'qkv', Float64Array> & Turn, s: Fused): void {
  const { row, shape, ...p } = parts(s);
  rope_fwd({ y: q, x: cut(qkv, s.tokens, row, p.q), ...turn }, shape(s.heads, 1));
  rope_fwd({ y: k, x: cut(qkv, s.tokens, row, p.k), ...turn }, shape(s.kv_heads, 1));
  v.set(cut(qkv, s.tokens, row, p.v));
}

export function rope_qkv_bwd({ dqkv, dq, dk, dv, ...turn }: Record<'dqkv' | 'dq' | 'dk' | 'dv', Float64Array> & Turn, s: Fused): void {
  const { row, shape, ...p } = parts(s);
  for (const [place, d, heads] of [
    [p.q, dq, s.heads],
    [p.k, dk, s.kv_heads],
  ] as const) {
    const y = new Float64Array(s.tokens * place.width);
    rope_fwd({ y, x: d.subarray(0, y.length), ...turn }, shape(heads, -1));
    paste(dqkv, row, place, y);
  }
  paste(dqkv, row, p.v, dv.subarray(0, s.tokens * p.v.width));
}
