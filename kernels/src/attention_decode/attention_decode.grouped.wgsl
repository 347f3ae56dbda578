alias elem = f32;
// For hardware; formulas, bindings and cache as attention_decode.wgsl. One workgroup per row and up to `together` query heads of a kv head, which
// share each load. Keys come in tiles: a thread loads eight vec4 of the keys and eight of the values of a tile at once, so that 32 threads read whole
// sectors and many loads are on their way. Four threads share the dot products of a key, then slices of `columns` threads share out the tile's keys:
// each slice has a maximum and sums of its own, so a tile takes two barriers and no reduction over the workgroup.
// A tile is made alone and put to those before it in order. So tiles in workgroups of their own (decode_tiles) that a second pass puts together
// (decode_combine) give the bits of one workgroup that goes over all of them (decode_all).
// Vectors over heads have a component for each of four. head_dim is a multiple of 4, at most 32 wide.

const LANES: u32 = 4u;
const LOWEST: f32 = -3.4028234e38;
const THREADS: u32 = 256u;
/** Keys that all threads score at once. */
const ABREAST: u32 = THREADS / LANES;

/** Groups of 8 vec4 columns of a head: 2 or 4. */
override wide: u32 = 2u;
/** Query heads of a workgroup: 2 or 4. */
override together: u32 = 4u;

override columns: u32 = 8u * wide;
/** Keys of a tile; threads that own the same columns, and the keys of a tile between two of one of them. */
override tile: u32 = 8u * THREADS / columns;
override slices: u32 = THREADS / columns;
/** vec4 of a key that a thread has: 4 or 8. */
override key_parts: u32 = columns / LANES;
/** 2 more than a multiple of 8: two keys of four lanes meet 32 banks of 4 bytes. */
override pitch: u32 = tile + 2u;
/** vec4 that a tile leaves for the second pass. */
override stride: u32 = together * THREADS + 2u * slices;

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
// Of each tile: acc of head h and thread t at h threads + t; then m of the slices, then their l.
@group(0) @binding(7) var<storage, read_write> parts: array<vec4f>;

var<workgroup> queries: array<vec4f, together * columns>;
// Where the keys of a tile lie in the cache, in vec4; of two tiles by turns.
var<workgroup> offsets: array<u32, 2u * tile>;
// A lane's share of the scores of a key, at lane pitch + key. At the end, the slices' acc.
var<workgroup> shares: array<vec4f, max(LANES * pitch, together * THREADS)>;
var<workgroup> scores: array<vec4f, tile>;
var<workgroup> slice_m: array<vec4f, slices>;
var<workgroup> slice_l: array<vec4f, slices>;
var<workgroup> seq_len: u32;

/** Heads h0 .. h0 + count of a row, on one kv head. */
struct Query { row: u32, kv_head: u32, h0: u32, count: u32 }

/** Of some keys: by head, the maximum m, the sum of exp(s - m), and column h of acc the sum of exp(s - m) v, one vec4 of it. */
struct Partial { m: vec4f, l: vec4f, acc: mat4x4f }

/** Workgroups for the heads of a kv head. */
fn teams() -> u32 { return (p.heads / p.kv_heads + together - 1u) / together; }

fn query_of(w: u32) -> Query {
  let group = p.heads / p.kv_heads;
  let nth = w % teams();
  let kv_head = w / teams() % p.kv_heads;
  let first = nth * together;
  return Query(w / teams() / p.kv_heads, kv_head, kv_head * group + first, min(together, group - first));
}

fn tiles() -> u32 { return (p.max_blocks * p.block_size + tile - 1u) / tile; }

/** The queries to workgroup memory, zeros beyond head_dim, the last head again for those that are not there. Gives the keys that the row attends. */
fn begin(team: Query, t: u32) -> u32 {
  let cols = p.head_dim / 4u;
  if (t < together * columns) {
    let c = t % columns;
    var x = vec4f();
    if (c < cols) { x = vec4f(q[(team.row * p.heads + team.h0 + min(t / columns, team.count - 1u)) * cols + c]); }
    queries[t] = x;
  }
  if (t == 0u) { seq_len = seq_lens[team.row]; }
  return workgroupUniformLoad(&seq_len);
}

/** Where key `key` lies, the last one's place beyond it. */
fn place(team: Query, key: u32, n: u32) -> u32 {
  let there = min(key, n - 1u);
  let slot = block_table[team.row * p.max_blocks + there / p.block_size] * p.block_size + there % p.block_size;
  return (slot * p.kv_heads + team.kv_head) * (p.head_dim / 4u);
}

/** Column of the nth vec4 that a thread has of the keys. */
fn key_column(n: u32, t: u32) -> u32 { return t % LANES + LANES * (n % key_parts); }

/** Beyond head_dim the last column again: queries are 0 there, and sums are not stored. */
fn key_of(n: u32, page: u32, t: u32) -> vec4f {
  return vec4f(k_cache[offsets[page + n / key_parts * ABREAST + t / LANES] + min(key_column(n, t), p.head_dim / 4u - 1u)]);
}

fn value_of(n: u32, page: u32, t: u32) -> vec4f {
  return vec4f(v_cache[offsets[page + n * slices + t / columns] + min(t % columns, p.head_dim / 4u - 1u)]);
}

fn dot4(s: f32, x: vec4f, y: vec4f) -> f32 { return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, s)))); }

/** By head, what vec4 n and n + 1 of the keys add to a score. */
fn pair_dot(n: u32, k0: vec4f, k1: vec4f, t: u32) -> vec4f {
  let c0 = key_column(n, t);
  let c1 = key_column(n + 1u, t);
  let x = dot4(dot4(0.0, queries[c0], k0), queries[c1], k1);
  let y = dot4(dot4(0.0, queries[columns + c0], k0), queries[columns + c1], k1);
  if (together == 2u) { return vec4f(x, y, 0.0, 0.0); }
  let z = dot4(dot4(0.0, queries[2u * columns + c0], k0), queries[2u * columns + c1], k1);
  let w = dot4(dot4(0.0, queries[3u * columns + c0], k0), queries[3u * columns + c1], k1);
  return vec4f(x, y, z, w);
}

/** exp(s - top) of a key, 0 of one that is not there. */
fn weight(s: vec4f, top: vec4f) -> vec4f {
  if (together == 2u) { return vec4f(select(vec2f(), exp(s.xy - top.xy), s.xy > vec2f(LOWEST)), 0.0, 0.0); }
  return select(vec4f(), exp(s - top), s > vec4f(LOWEST));
}

/** a + v e^T: column h for head h. */
fn add_outer(a: mat4x4f, v: vec4f, e: vec4f) -> mat4x4f {
  let x = fma(v, vec4f(e.x), a[0]);
  let y = fma(v, vec4f(e.y), a[1]);
  if (together == 2u) { return mat4x4f(x, y, vec4f(), vec4f()); }
  return mat4x4f(x, y, fma(v, vec4f(e.z), a[2]), fma(v, vec4f(e.w), a[3]));
}

fn empty() -> Partial { return Partial(vec4f(LOWEST), vec4f(), mat4x4f()); }

fn merged(a: Partial, b: Partial) -> Partial {
  let top = max(a.m, b.m);
  let fa = exp(a.m - top);
  let fb = exp(b.m - top);
  let l = fma(a.l, fa, b.l * fb);
  let x = fma(a.acc[0], vec4f(fa.x), b.acc[0] * fb.x);
  let y = fma(a.acc[1], vec4f(fa.y), b.acc[1] * fb.y);
  if (together == 2u) { return Partial(top, l, mat4x4f(x, y, vec4f(), vec4f())); }
  return Partial(top, l, mat4x4f(x, y, fma(a.acc[2], vec4f(fa.z), b.acc[2] * fb.z), fma(a.acc[3], vec4f(fa.w), b.acc[3] * fb.w)));
}

/** The tile from key `start` on, whose places are in offsets from `page` on; `following`: those of the next one go to the other page. */
fn tile_sums(team: Query, start: u32, n: u32, page: u32, following: bool, t: u32) -> Partial {
  let k0 = key_of(0u, page, t); let k1 = key_of(1u, page, t); let k2 = key_of(2u, page, t); let k3 = key_of(3u, page, t);
  let k4 = key_of(4u, page, t); let k5 = key_of(5u, page, t); let k6 = key_of(6u, page, t); let k7 = key_of(7u, page, t);
  let v0 = value_of(0u, page, t); let v1 = value_of(1u, page, t); let v2 = value_of(2u, page, t); let v3 = value_of(3u, page, t);
  let v4 = value_of(4u, page, t); let v5 = value_of(5u, page, t); let v6 = value_of(6u, page, t); let v7 = value_of(7u, page, t);
  if (following && t < tile) { offsets[tile - page + t] = place(team, start + tile + t, n); }
  let d0 = pair_dot(0u, k0, k1, t) + pair_dot(2u, k2, k3, t);
  let d1 = pair_dot(4u, k4, k5, t) + pair_dot(6u, k6, k7, t);
  let at = t % LANES * pitch + t / LANES;
  if (wide == 2u) {
    shares[at] = d0;
    shares[at + ABREAST] = d1;
  } else {
    shares[at] = d0 + d1;
  }
  workgroupBarrier();
  if (t < tile) {
    let s = p.scale * (shares[t] + shares[pitch + t] + (shares[2u * pitch + t] + shares[3u * pitch + t]));
    scores[t] = select(vec4f(LOWEST), s, start + t < n);
  }
  workgroupBarrier();
  let slice = t / columns;
  let s0 = scores[slice]; let s1 = scores[slice + slices]; let s2 = scores[slice + 2u * slices]; let s3 = scores[slice + 3u * slices];
  let s4 = scores[slice + 4u * slices]; let s5 = scores[slice + 5u * slices];
  let s6 = scores[slice + 6u * slices]; let s7 = scores[slice + 7u * slices];
  let top = max(max(max(s0, s1), max(s2, s3)), max(max(s4, s5), max(s6, s7)));
  let e0 = weight(s0, top); let e1 = weight(s1, top); let e2 = weight(s2, top); let e3 = weight(s3, top);
  let e4 = weight(s4, top); let e5 = weight(s5, top); let e6 = weight(s6, top); let e7 = weight(s7, top);
  var acc = mat4x4f();
  acc = add_outer(acc, v0, e0);
  acc = add_outer(acc, v1, e1);
  acc = add_outer(acc, v2, e2);
  acc = add_outer(acc, v3, e3);
  acc = add_outer(acc, v4, e4);
  acc = add_outer(acc, v5, e5);
  acc = add_outer(acc, v6, e6);
  acc = add_outer(acc, v7, e7);
  return Partial(top, (e0 + e1) + (e2 + e3) + ((e4 + e5) + (e6 + e7)), acc);
}

/** o of the heads from the slices, in order; zeros without keys. */
fn finish(team: Query, a: Partial, n: u32, t: u32) {
  let cols = p.head_dim / 4u;
  // The last reads of the shares lie before a barrier of tile_sums.
  shares[t] = a.acc[0];
  shares[THREADS + t] = a.acc[1];
  if (together > 2u) {
    shares[2u * THREADS + t] = a.acc[2];
    shares[3u * THREADS + t] = a.acc[3];
  }
  if (t % columns == 0u) {
    slice_m[t / columns] = a.m;
    slice_l[t / columns] = a.l;
  }
  workgroupBarrier();
  let h = t / columns;
  let c = t % columns;
  if (h >= team.count || c >= cols) { return; }
  var top = LOWEST;
  for (var s = 0u; s < slices; s++) { top = max(top, slice_m[s][h]); }
  var l = 0.0;
  var acc = vec4f();
  for (var s = 0u; s < slices; s++) {
    let f = exp(slice_m[s][h] - top);
    l += f * slice_l[s][h];
    acc += f * shares[h * THREADS + s * columns + c];
  }
  o[(team.row * p.heads + team.h0 + h) * cols + c] = vec4<elem>(select(vec4f(), acc / l, n > 0u));
}

@compute @workgroup_size(THREADS)
fn decode_all(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let team = query_of(wid.x + wid.y * nwg.x);
  if (team.row >= p.rows) { return; }
  let n = begin(team, t);
  if (n > 0u && t < tile) { offsets[t] = place(team, t, n); }
  workgroupBarrier();
  var a = empty();
  for (var start = 0u; start < n; start += tile) {
    a = merged(a, tile_sums(team, start, n, start / tile % 2u * tile, start + tile < n, t));
  }
  finish(team, a, n, t);
}

@compute @workgroup_size(THREADS)
fn decode_tiles(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = wid.x + wid.y * nwg.x;
  let team = query_of(index / tiles());
  if (team.row >= p.rows) { return; }
  let n = begin(team, t);
  let start = index % tiles() * tile;
  if (start >= n) { return; }
  if (t < tile) { offsets[t] = place(team, start + t, n); }
  workgroupBarrier();
  let a = tile_sums(team, start, n, 0u, false, t);
  let at = index * stride;
  parts[at + t] = a.acc[0];
  parts[at + THREADS + t] = a.acc[1];
  if (together > 2u) {
    parts[at + 2u * THREADS + t] = a.acc[2];
    parts[at + 3u * THREADS + t] = a.acc[3];
  }
  if (t % columns == 0u) {
    parts[at + together * THREADS + t / columns] = a.m;
    parts[at + together * THREADS + slices + t / columns] = a.l;
  }
}

/** What tile i of a query left; nothing beyond the last. */
fn left(first: u32, i: u32, count: u32, t: u32) -> Partial {
  if (i >= count) { return empty(); }
  let at = (first + i) * stride;
  let ml = at + together * THREADS + t / columns;
  if (together == 2u) { return Partial(parts[ml], parts[ml + slices], mat4x4f(parts[at + t], parts[at + THREADS + t], vec4f(), vec4f())); }
  return Partial(parts[ml], parts[ml + slices], mat4x4f(
    parts[at + t], parts[at + THREADS + t], parts[at + 2u * THREADS + t], parts[at + 3u * THREADS + t],
  ));
}

@compute @workgroup_size(THREADS)
fn decode_combine(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let team = query_of(w);
  if (team.row >= p.rows) { return; }
  if (t == 0u) { seq_len = seq_lens[team.row]; }
  let n = workgroupUniformLoad(&seq_len);
  let first = w * tiles();
  let count = (n + tile - 1u) / tile;
  var a = empty();
  // Four at a time are loaded before the first is needed.
  for (var i = 0u; i < count; i += 4u) {
    let b0 = left(first, i, count, t);
    let b1 = left(first, i + 1u, count, t);
    let b2 = left(first, i + 2u, count, t);
    let b3 = left(first, i + 3u, count, t);
    a = merged(merged(merged(merged(a, b0), b1), b2), b3);
  }
  finish(team, a, n, t);
}
