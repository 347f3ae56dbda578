alias elem = f32;
// Attention of single queries over a paged key/value cache, and the writes into that cache.
// k_cache, v_cache (num_blocks, block_size, kv_heads, head_dim); key t of row r lies in block block_table[r, t / block_size] at
// t % block_size. Row r attends keys 0 .. seq_lens[r] - 1; rows may share a sequence (prefill: each row its own length).
//   o[r,h] = sum_t p[t] v[t],  p = softmax_t(scale q[r,h].k[t]);  zeros where seq_lens[r] = 0.
// One workgroup per (row, query head), which goes over its keys chunk by chunk (common/decode_chunk.wgsl). head_dim is a multiple of 4, at
// most 128.
//!use common/block_reduce.wgsl
//!use common/decode_chunk.wgsl

@compute @workgroup_size(WG)
fn attention_decode(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  if (w >= p.rows * p.heads) { return; }
  let n = begin(w, t);
  var a = Partial(LOWEST, 0.0, vec4f());
  for (var start = 0u; start < n; start += CHUNK) { a = merged(a, chunk(w, start, n, t)); }
  finish(w, a, n, t);
}

struct WriteParams { rows: u32, kv_heads: u32, head_dim: u32, num_slots: u32 }

const COPY_WG: u32 = 256u;
const SKIP: u32 = 0xffffffffu;

@group(0) @binding(0) var<storage, read_write> k_written: array<elem>;
@group(0) @binding(1) var<storage, read_write> v_written: array<elem>;
@group(0) @binding(2) var<storage, read> k_new: array<elem>;
@group(0) @binding(3) var<storage, read> v_new: array<elem>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<uniform> p_write: WriteParams;

// Row r of k and v to slot slots[r] = block * block_size + offset; SKIP leaves the row out. One thread per element.
@compute @workgroup_size(COPY_WG)
fn kv_write(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = (wid.x + wid.y * nwg.x) * COPY_WG + t;
  let width = p_write.kv_heads * p_write.head_dim;
  if (e >= p_write.rows * width) { return; }
  let slot = slots[e / width];
  if (slot == SKIP) { return; }
  let to = slot * width + e % width;
  k_written[to] = k_new[e];
  v_written[to] = v_new[e];
}

struct CopyParams { count: u32, block_elems: u32, num_blocks: u32 }

@group(0) @binding(0) var<storage, read_write> k_forked: array<elem>;
@group(0) @binding(1) var<storage, read_write> v_forked: array<elem>;
@group(0) @binding(2) var<storage, read> src: array<u32>;
@group(0) @binding(3) var<storage, read> dst: array<u32>;
@group(0) @binding(4) var<uniform> p_copy: CopyParams;

// Block src[n] to block dst[n]; the destinations differ from each other and from every source. One thread per element.
@compute @workgroup_size(COPY_WG)
fn kv_copy_blocks(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = (wid.x + wid.y * nwg.x) * COPY_WG + t;
  if (e >= p_copy.count * p_copy.block_elems) { return; }
  let n = e / p_copy.block_elems;
  let source = src[n] * p_copy.block_elems + e % p_copy.block_elems;
  let to = dst[n] * p_copy.block_elems + e % p_copy.block_elems;
  k_forked[to] = k_forked[source];
  v_forked[to] = v_forked[source];
}
