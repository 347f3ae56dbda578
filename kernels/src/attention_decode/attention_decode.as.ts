// Attention of single queries over a paged cache; formulas and layout in attention_decode.wgsl.
//
// One work item is a (row, kv head): its query heads, two at a time, share each loaded key and value. Keys come in tiles of 64:
// scores with 2 heads x 4 keys in registers, online softmax with 4 keys in the lanes, then 2 heads x 16 columns of values.
import { exp1, exp4_weights, fma4, hmax4, hsum4, TLS, TLS_BYTES } from '../common/simd.as';

const TILE: i32 = 64;
const LOWEST: f32 = -3.4028234e38;
/** Bytes of a line of cache. */
const LINE: usize = 64;

/** The four horizontal sums as one vector. */
// @ts-ignore: decorator
@inline
function hsum4x4(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** s0[t], s1[t] = scale q0.k[t], scale q1.k[t] for t < n rounded up to 4; at[t]: byte offset of key t. */
function scores(s0: usize, s1: usize, q0: usize, q1: usize, k: usize, at: usize, n: i32, bytes: usize, scale: f32): void {
  const scale4 = f32x4.splat(scale);
  for (let t: usize = 0; t < (<usize>n << 2); t += 16) {
    const k0 = k + load<u32>(at + t), k1 = k + load<u32>(at + t, 4), k2 = k + load<u32>(at + t, 8), k3 = k + load<u32>(at + t, 12);
    let a0 = f32x4.splat(0), a1 = f32x4.splat(0), a2 = f32x4.splat(0), a3 = f32x4.splat(0);
    let b0 = f32x4.splat(0), b1 = f32x4.splat(0), b2 = f32x4.splat(0), b3 = f32x4.splat(0);
    for (let d: usize = 0; d < bytes; d += 16) {
      const x0 = v128.load(q0 + d);
      const x1 = v128.load(q1 + d);
      let y = v128.load(k0 + d);
      a0 = fma4(x0, y, a0); b0 = fma4(x1, y, b0);
      y = v128.load(k1 + d);
      a1 = fma4(x0, y, a1); b1 = fma4(x1, y, b1);
      y = v128.load(k2 + d);
      a2 = fma4(x0, y, a2); b2 = fma4(x1, y, b2);
      y = v128.load(k3 + d);
      a3 = fma4(x0, y, a3); b3 = fma4(x1, y, b3);
    }
    v128.store(s0 + t, f32x4.mul(hsum4x4(a0, a1, a2, a3), scale4));
    v128.store(s1 + t, f32x4.mul(hsum4x4(b0, b1, b2, b3), scale4));
  }
}

/** Online softmax of one tile: s becomes exp(s - m); m, l at `state` are brought up to date; returns exp(m_old - m). */
function softmax_tile(s: usize, n: i32, state: usize): f32 {
  for (let t = n; t < ((n + 3) & ~3); t++) store<f32>(s + (<usize>t << 2), LOWEST);
  const end = s + (<usize>n << 2);
  const before = load<f32>(state);
  let top4 = f32x4.splat(before);
  for (let a = s; a < end; a += 16) top4 = f32x4.pmax(top4, v128.load(a));
  const top = hmax4(top4);
  top4 = f32x4.splat(top);
  let sum = f32x4.splat(0);
  for (let a = s; a < end; a += 16) {
    const e = exp4_weights(f32x4.sub(v128.load(a), top4));
    v128.store(a, e);
    sum = f32x4.add(sum, e);
  }
  const factor = exp1(before - top);
  store<f32>(state, top);
  store<f32>(state, load<f32>(state, 4) * factor + hsum4(sum), 4);
  return factor;
}

/** o0[d] = f0 o0[d] + sum_t s0[t] v[t][d], the same for o1. */
function accumulate(o0: usize, o1: usize, f0: f32, f1: f32, s0: usize, s1: usize, v: usize, at: usize, n: i32, bytes: usize): void {
  const g0 = f32x4.splat(f0);
  const g1 = f32x4.splat(f1);
  const end = <usize>n << 2;
  let d: usize = 0;
  for (; d + 64 <= bytes; d += 64) {
    let a0 = f32x4.mul(v128.load(o0 + d), g0), a1 = f32x4.mul(v128.load(o0 + d, 16), g0);
    let a2 = f32x4.mul(v128.load(o0 + d, 32), g0), a3 = f32x4.mul(v128.load(o0 + d, 48), g0);
    let b0 = f32x4.mul(v128.load(o1 + d), g1), b1 = f32x4.mul(v128.load(o1 + d, 16), g1);
    let b2 = f32x4.mul(v128.load(o1 + d, 32), g1), b3 = f32x4.mul(v128.load(o1 + d, 48), g1);
    for (let t: usize = 0; t < end; t += 4) {
      const row = v + load<u32>(at + t) + d;
      const x0 = v128.load_splat<f32>(s0 + t);
      const x1 = v128.load_splat<f32>(s1 + t);
      let y = v128.load(row);
      a0 = fma4(x0, y, a0); b0 = fma4(x1, y, b0);
      y = v128.load(row, 16);
      a1 = fma4(x0, y, a1); b1 = fma4(x1, y, b1);
      y = v128.load(row, 32);
      a2 = fma4(x0, y, a2); b2 = fma4(x1, y, b2);
      y = v128.load(row, 48);
      a3 = fma4(x0, y, a3); b3 = fma4(x1, y, b3);
    }
    v128.store(o0 + d, a0); v128.store(o0 + d, a1, 16); v128.store(o0 + d, a2, 32); v128.store(o0 + d, a3, 48);
    v128.store(o1 + d, b0); v128.store(o1 + d, b1, 16); v128.store(o1 + d, b2, 32); v128.store(o1 + d, b3, 48);
  }
  for (; d < bytes; d += 16) {
    let a = f32x4.mul(v128.load(o0 + d), g0);
    let b = f32x4.mul(v128.load(o1 + d), g1);
    for (let t: usize = 0; t < end; t += 4) {
      const y = v128.load(v + load<u32>(at + t) + d);
      a = fma4(v128.load_splat<f32>(s0 + t), y, a);
      b = fma4(v128.load_splat<f32>(s1 + t), y, b);
    }
    v128.store(o0 + d, a);
    v128.store(o1 + d, b);
  }
}

/**
 * at[t]: byte offset of key first + t for t < n, the last one repeated up to a multiple of 4; block by block, without a division per key. Loads a word of
 * each line of these keys and values on the way: they lie apart, and loads that wait for nothing wait together. What was loaded ends in scratch, or
 * the compiler would leave the loads out.
 */
function place(at: usize, k: usize, v: usize, bytes: usize, table: usize, first: i32, n: i32, block_size: i32, slot_bytes: usize, head: usize): void {
  let entry = table + (<usize>(first / block_size) << 2);
  let inside = first % block_size;
  let offset: usize = 0;
  let touched: u32 = 0;
  for (let t = 0; t < n; ) {
    offset = (<usize>load<u32>(entry) * block_size + inside) * slot_bytes + head;
    const end = min(n, t + block_size - inside);
    for (; t < end; t++) {
      store<u32>(at + (<usize>t << 2), <u32>offset);
      for (let d: usize = offset; d < offset + bytes; d += LINE) touched |= load<u32>(k + d) | load<u32>(v + d);
      offset += slot_bytes;
    }
    inside = 0;
    entry += 4;
  }
  for (let t = n; t < ((n + 3) & ~3); t++) store<u32>(at + (<usize>t << 2), <u32>(offset - slot_bytes));
  store<u32>(TLS + TLS_BYTES - 4, touched);
}

export function attention_decode(
  o: usize, q: usize, k_cache: usize, v_cache: usize, block_table: usize, seq_lens: usize,
  rows: i32, heads: i32, kv_heads: i32, head_dim: i32, block_size: i32, max_blocks: i32, num_blocks: i32, scale: f32,
  lo: i32, hi: i32,
): void {
  const group = heads / kv_heads;
  const bytes = <usize>head_dim << 2;
  const slot_bytes = <usize>kv_heads * bytes;
  // In TLS: byte offsets and two rows of weights of a tile, (m, l) of each query head, the group's sums and one spare row.
  const at = TLS;
  const s0 = at + 256;
  const s1 = s0 + 256;
  const state = s1 + 256;
  const acc = state + (<usize>(group + 1) << 3);
  for (let w = lo; w < hi; w++) {
    const r = w / kv_heads;
    const kv_head = w % kv_heads;
    const n = load<i32>(seq_lens + (<usize>r << 2));
    const row = (<usize>r * heads + kv_head * group) * bytes;
    const table = block_table + ((<usize>r * max_blocks) << 2);
    memory.fill(acc, 0, <usize>(group + 1) * bytes);
    for (let h: usize = 0; h <= <usize>group; h++) {
      store<f32>(state + (h << 3), LOWEST);
      store<f32>(state + (h << 3), 0, 4);
    }
    for (let first = 0; first < n; first += TILE) {
      const keys = min(TILE, n - first);
      place(at, k_cache, v_cache, bytes, table, first, keys, block_size, slot_bytes, <usize>kv_head * bytes);
      for (let h = 0; h < group; h += 2) {
        // An odd last head runs beside a copy of itself, whose sums go to the spare row.
        const odd = h + 1 == group;
        const q0 = q + row + <usize>h * bytes;
        const q1 = odd ? q0 : q0 + bytes;
        scores(s0, s1, q0, q1, k_cache, at, keys, bytes, scale);
        const f0 = softmax_tile(s0, keys, state + (<usize>h << 3));
        const f1 = softmax_tile(s1, keys, state + (<usize>(h + 1) << 3));
        const o0 = acc + <usize>h * bytes;
        accumulate(o0, o0 + bytes, f0, f1, s0, s1, v_cache, at, keys, bytes);
      }
    }
    for (let h: usize = 0; h < <usize>group; h++) {
      const inv = f32x4.splat(n == 0 ? 0 : 1 / load<f32>(state + (h << 3), 4));
      for (let d: usize = 0; d < bytes; d += 16) v128.store(o + row + h * bytes + d, f32x4.mul(v128.load(acc + h * bytes + d), inv));
    }
  }
}

/** Work items are rows. */
export function kv_write(
  k_cache: usize, v_cache: usize, k: usize, v: usize, slots: usize,
  rows: i32, kv_heads: i32, head_dim: i32, num_slots: i32, lo: i32, hi: i32,
): void {
  const bytes = (<usize>kv_heads * head_dim) << 2;
  for (let r = lo; r < hi; r++) {
    const slot = load<u32>(slots + (<usize>r << 2));
    if (slot == 0xffffffff) continue;
    memory.copy(k_cache + <usize>slot * bytes, k + <usize>r * bytes, bytes);
    memory.copy(v_cache + <usize>slot * bytes, v + <usize>r * bytes, bytes);
  }
}

/** Work items are block pairs. */
export function kv_copy_blocks(
  k_cache: usize, v_cache: usize, src: usize, dst: usize,
  count: i32, block_elems: i32, num_blocks: i32, lo: i32, hi: i32,
): void {
  const bytes = <usize>block_elems << 2;
  for (let n = lo; n < hi; n++) {
    const from = <usize>load<u32>(src + (<usize>n << 2)) * bytes;
    const to = <usize>load<u32>(dst + (<usize>n << 2)) * bytes;
    memory.copy(k_cache + to, k_cache + from, bytes);
    memory.copy(v_cache + to, v_cache + from, bytes);
  }
}
