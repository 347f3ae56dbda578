alias elem = f32;
// Attention of single queries over a paged key/value cache, and the writes into that cache.
// k_cache, v_cache (num_blocks, block_size, kv_heads, head_dim); key t of row r lies in block block_table[r, t / block_size] at
// t % block_size. Row r attends keys 0 .. seq_lens[r] - 1; rows may share a sequence (prefill: each row its own length).
//   o[r,h] = sum_t p[t] v[t],  p = softmax_t(scale q[r,h].k[t]);  zeros where seq_lens[r] = 0.
// One workgroup per (row, query head), which streams the keys in tiles of 64. A thread makes one score of a tile; then the threads share out the
// columns as vec4 and, as there are more threads than columns, the keys of the tile as well: thread t owns vec4 column t % cols of keys
// t / cols, t / cols + slices, ... The slices' sums, and the threads' shares of l, are added at the end in a fixed order.
// head_dim is a multiple of 4, at most 128.
//!use common/block_reduce.wgsl

const WG: u32 = 64u;
const MAX_COLS: u32 = 32u;
const LOWEST: f32 = -3.4028234e38;

struct DecodeParams {
  rows: u32, heads: u32, kv_heads: u32, head_dim: u32, block_size: u32, max_blocks: u32, num_blocks: u32, scale: f32,
}

@group(0) @binding(0) var<storage, read_write> o: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> k_cache: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> v_cache: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> block_table: array<u32>;
@group(0) @binding(5) var<storage, read> seq_lens: array<u32>;
@group(0) @binding(6) var<uniform> p: DecodeParams;

var<workgroup> q_row: array<vec4f, MAX_COLS>;
var<workgroup> weights: array<f32, WG>;
var<workgroup> offsets: array<u32, WG>;
var<workgroup> slices: array<vec4f, WG>;
var<workgroup> seq_len: u32;

@compute @workgroup_size(WG)
fn attention_decode(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let r = w / p.heads;
  if (r >= p.rows) { return; }
  let h = w % p.heads;
  let kv_head = h / (p.heads / p.kv_heads);
  let cols = p.head_dim / 4u;
  if (t < cols) { q_row[t] = vec4f(q[w * cols + t]); }
  if (t == 0u) { seq_len = seq_lens[r]; }
  let n = workgroupUniformLoad(&seq_len);
  let column = t % cols;
  let slice = t / cols;
  let num_slices = WG / cols;
  var m = LOWEST;
  var l = 0.0;
  var acc = vec4f();
  for (var first = 0u; first < n; first += WG) {
    let key = first + t;
    var s = LOWEST;
    var at = 0u;
    if (key < n) {
      let slot = block_table[r * p.max_blocks + key / p.block_size] * p.block_size + key % p.block_size;
      at = (slot * p.kv_heads + kv_head) * cols;
      var sums = vec4f();
      for (var c = 0u; c < cols; c++) { sums += q_row[c] * vec4f(k_cache[at + c]); }
      s = p.scale * (sums.x + sums.y + (sums.z + sums.w));
    }
    let top = max(m, block_max(s, t));
    let factor = exp(m - top);
    m = top;
    let e = select(0.0, exp(s - top), key < n);
    l = l * factor + e;
    // The barriers of block_max end the last reads of both.
    weights[t] = e;
    offsets[t] = at;
    workgroupBarrier();
    acc *= factor;
    if (slice < num_slices) {
      for (var j = slice; j < min(WG, n - first); j += num_slices) { acc += weights[j] * vec4f(v_cache[offsets[j] + column]); }
    }
  }
  slices[t] = acc;
  let total = block_sum(l, t);
  if (t < cols) {
    for (var i = t + cols; i < num_slices * cols; i += cols) { acc += slices[i]; }
    o[w * cols + t] = vec4<elem>(select(vec4f(), acc / total, n > 0u));
  }
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
