// A chunk of CHUNK keys seen by one query of one head, as 64 threads make it: the online softmax of each thread's part of it. Chunks are cut at
// the same keys however the work is shared out, and put together one after the other, so a workgroup that does all of them gives the same
// sums as workgroups of one chunk each. The including file also uses common/block_reduce.wgsl.

const WG: u32 = 64u;
const MAX_COLS: u32 = 32u;
const LOWEST: f32 = -3.4028234e38;
const CHUNK: u32 = 512u;

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

/** m is the workgroup's; l and acc are a thread's own parts of the sums of exp(s - m) and exp(s - m) v. */
struct Partial { m: f32, l: f32, acc: vec4f }

/** Query w = row heads + head into q_row; gives the keys that its row attends. */
fn begin(w: u32, t: u32) -> u32 {
  let cols = p.head_dim / 4u;
  if (t < cols) { q_row[t] = vec4f(q[w * cols + t]); }
  if (t == 0u) { seq_len = seq_lens[w / p.heads]; }
  return workgroupUniformLoad(&seq_len);
}

fn merged(a: Partial, b: Partial) -> Partial {
  let top = max(a.m, b.m);
  let fa = exp(a.m - top);
  let fb = exp(b.m - top);
  return Partial(top, a.l * fa + b.l * fb, a.acc * fa + b.acc * fb);
}

/** Keys from `start` up to its chunk's end or n. Streams them in tiles of 64: a thread makes one score of a tile, then owns vec4 column
    t % cols of keys t / cols, t / cols + num_slices, ... of it. */
fn chunk(w: u32, start: u32, n: u32, t: u32) -> Partial {
  let r = w / p.heads;
  let kv_head = w % p.heads / (p.heads / p.kv_heads);
  let cols = p.head_dim / 4u;
  let column = t % cols;
  let slice = t / cols;
  let num_slices = WG / cols;
  let end = min(start + CHUNK, n);
  var a = Partial(LOWEST, 0.0, vec4f());
  for (var first = start; first < end; first += WG) {
    let key = first + t;
    var s = LOWEST;
    var at = 0u;
    if (key < end) {
      let slot = block_table[r * p.max_blocks + key / p.block_size] * p.block_size + key % p.block_size;
      at = (slot * p.kv_heads + kv_head) * cols;
      var sums = vec4f();
      for (var c = 0u; c < cols; c++) { sums += q_row[c] * vec4f(k_cache[at + c]); }
      s = p.scale * (sums.x + sums.y + (sums.z + sums.w));
    }
    let top = max(a.m, block_max(s, t));
    let factor = exp(a.m - top);
    a.m = top;
    let e = select(0.0, exp(s - top), key < end);
    a.l = a.l * factor + e;
    // The barriers of block_max end the last reads of both.
    weights[t] = e;
    offsets[t] = at;
    workgroupBarrier();
    a.acc *= factor;
    if (slice < num_slices) {
      for (var j = slice; j < min(WG, end - first); j += num_slices) { a.acc += weights[j] * vec4f(v_cache[offsets[j] + column]); }
    }
  }
  return a;
}

/** o of query w from the parts of all chunks: the slices' sums, and the threads' shares of l, in a fixed order; zeros without keys. */
fn finish(w: u32, a: Partial, n: u32, t: u32) {
  let cols = p.head_dim / 4u;
  slices[t] = a.acc;
  let total = block_sum(a.l, t);
  if (t < cols) {
    var acc = a.acc;
    for (var i = t + cols; i < WG / cols * cols; i += cols) { acc += slices[i]; }
    o[w * cols + t] = vec4<elem>(select(vec4f(), acc / total, n > 0u));
  }
}
