/** f64 oracle of attention over a paged cache and of the writes into it; the formulas are in attention_decode.wgsl. */
interface Decode {
  rows: number;
  heads: number;
  kv_heads: number;
  head_dim: number;
  block_size: number;
  max_blocks: number;
  scale: number;
}
type Buffers = Record<string, Float64Array>;

export function attention_decode({ o, q, k_cache, v_cache, block_table, seq_lens }: Buffers, p: Decode): void {
  const { heads, kv_heads, head_dim: D } = p;
  for (let r = 0; r < p.rows; r++) {
    for (let h = 0; h < heads; h++) {
      const at = (r * heads + h) * D;
      const keys = Array.from({ length: seq_lens[r] }, (_, t) => {
        const slot = block_table[r * p.max_blocks + Math.floor(t / p.block_size)] * p.block_size + (t % p.block_size);
        return (slot * kv_heads + Math.floor(h / (heads / kv_heads))) * D;
      });
      const scores = keys.map((key) => {
        let s = 0;
        for (let d = 0; d < D; d++) s += q[at + d] * k_cache[key + d];
        return p.scale * s;
      });
      const top = Math.max(...scores);
      const weights = scores.map((s) => Math.exp(s - top));
      const sum = weights.reduce((a, b) => a + b, 0);
      for (let d = 0; d < D; d++) o[at + d] = keys.reduce((a, key, n) => a + (weights[n] / sum) * v_cache[key + d], 0);
    }
  }
}

export function kv_write({ k_cache, v_cache, k, v, slots }: Buffers, { rows, kv_heads, head_dim }: Decode): void {
  const width = kv_heads * head_dim;
  for (let r = 0; r < rows; r++) {
    if (slots[r] === 0xffffffff) continue;
    for (let e = 0; e < width; e++) {
      k_cache[slots[r] * width + e] = k[r * width + e];
      v_cache[slots[r] * width + e] = v[r * width + e];
    }
  }
}

export function kv_copy_blocks(
  { k_cache, v_cache, src, dst }: Buffers,
  { count, block_elems }: { count: number; block_elems: number },
): void {
  for (const cache of [k_cache, v_cache]) {
    for (let n = 0; n < count; n++) cache.copyWithin(dst[n] * block_elems, src[n] * block_elems, (src[n] + 1) * block_elems);
  }
}
