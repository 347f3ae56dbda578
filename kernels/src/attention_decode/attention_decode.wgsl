alias elem = f32;
// Attention of single queries over a paged key/value cache, and the writes into that cache.
// k_cache, v_cache (num_blocks, block_size, kv_heads, head_dim); key t of row r lies in block block_table[r, t / block_size] at
// t % block_size. Row r attends keys 0 .. seq_lens[r] - 1; rows may share a sequence (prefill: each row its own length).
//   o[r,h] = sum_t p[t] v[t],  p = softmax_t(scale q[r,h].k[t]);  zeros where seq_lens[r] = 0.
// One workgroup per (row, query head): 64 threads make one score each, then thread t owns the columns t and t + 64.
// head_dim is a multiple of 4, at most 128.
//!use common/block_reduce.wgsl

const WG: u32 = 64u;
const MAX_COLS: u32 = 128u;
const LOWEST: f32 = -3.4028234e38;

struct DecodeParams {
  rows: u32, heads: u32, kv_heads: u32, head_dim: u32, block_size: u32, max_blocks: u32, num_blocks: u32, scale: f32,
}

@group(0) @binding(0) var<storage, read_write> o: array<elem>;
@group(0) @binding(1) var<storage, read> q: array<elem>;
@group(0) @binding(2) var<storage, read> k_cache: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> v_cache: array<elem>;
@group(0) @binding(4) var<storage, read> block_table: array<u32>;
@group(0) @binding(5) var<storage, read> seq_lens: array<u32>;
@group(0) @binding(6) var<uniform> p: DecodeParams;

var<workgroup> q_row: array<vec4f, MAX_COLS / 4u>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> offsets: array<u32, WG>;
var<workgroup> seq_len: u32;

@compute @workgroup_size(WG)
fn attention_decode(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let r = w / p.heads;
  if (r >= p.rows) { return; }
  let h = w % p.heads;
  let kv_head = h / (p.heads / p.kv_heads);
  let cols = p.head_dim / 4u;
  if (t < cols) {
    let at = w * p.head_dim + t * 4u;
    q_row[t] = vec4f(f32(q[at]), f32(q[at + 1u]), f32(q[at + 2u]), f32(q[at + 3u]));
  }
  if (t == 0u) { seq_len = seq_lens[r]; }
  let n = workgroupUniformLoad(&seq_len);
  var m = LOWEST;
  var l = 0.0;
  var acc0 = 0.0;
  var acc1 = 0.0;
  for (var first = 0u; first < n; first += WG) {
    let key = first + t;
    var s = LOWEST;
    var at = 0u;
    if (key < n) {
      let slot = block_table[r * p.max_blocks + key / p.block_size] * p.block_size + key % p.block_size;
      at = (slot * p.kv_heads + kv_head) * p.head_dim;
      s = 0.0;
      for (var c = 0u; c < cols; c++) { s += dot(q_row[c], vec4f(k_cache[at / 4u + c])); }
      s *= p.scale;
    }
    offsets[t] = at;
    let top = max(m, block_max(s, t));
    let e = select(0.0, exp(s - top), key < n);
    weights[t] = e;
    let factor = exp(m - top);
    m = top;
    l = l * factor + block_sum(e, t);
    acc0 *= factor;
    acc1 *= factor;
    for (var j = 0u; j < min(WG, n - first); j++) {
      let x = weights[j];
      if (t < p.head_dim) { acc0 += x * f32(v_cache[offsets[j] + t]); }
      if (t + WG < p.head_dim) { acc1 += x * f32(v_cache[offsets[j] + t + WG]); }
    }
    workgroupBarrier();
  }
  let inv = select(0.0, 1.0 / l, n > 0u);
  if (t < p.head_dim) { o[w * p.head_dim + t] = elem(acc0 * inv); }
  if (t + WG < p.head_dim) { o[w * p.head_dim + t + WG] = elem(acc1 * inv); }
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
