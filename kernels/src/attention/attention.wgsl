alias elem = f32;
// Causal attention over packed segments with shared prefixes; q, o (tokens, heads, head_dim), k, v (tokens, kv_heads, head_dim).
//   s[i,j] = scale q[i].k[j]    lse[i] = log sum_j exp s[i,j]    p[i,j] = exp(s[i,j] - lse[i])    o[i] = sum_j p[i,j] v[j]
// Backward, p recomputed from lse (Dao et al. 2022):
//   delta[i] = do[i].o[i]    ds[i,j] = p[i,j] (do[i].v[j] - delta[i])
//   dq[i] = scale sum_j ds[i,j] k[j]    dk[j] = scale sum_i ds[i,j] q[i]    dv[j] = sum_i p[i,j] do[i]
// seg[i] = (prefix_start, prefix_end, seg_start, q_end): query i sees keys [prefix_start, prefix_end) and [seg_start, i];
// key j is seen by queries [j, q_end). Query head h reads kv head h / (heads / kv_heads).
//
// One workgroup per head and block of 32 rows (queries; keys in attention_bwd_dkdv), which streams the other side in tiles of 32.
// 64 threads as 8 x 8: thread (y, x) makes the 4 x 4 scores of rows y + 8 a and tile rows x + 8 b in registers, puts its weights into shared
// memory, and then owns vec4 columns x + 8 g of its 4 rows of the result. A 4 x 4 block of sums is a mat4x4f whose column a belongs to row a.
// q, k, v and do come straight from memory, each vec4 for 16 products; README.md has what staging them in shared memory gave.
// head_dim is a multiple of 4, at most 128.

const BLOCK: u32 = 32u;
const TILE: u32 = 32u;
const SIDE: u32 = 8u;
const WG: u32 = 64u;
const STEPS: vec4u = vec4u(0u, 8u, 16u, 24u);
const LOWEST: f32 = -3.4028234e38;

/** Columns of vec4 that a head has at the most: 8, 16 or 32. A thread has registers for a quarter, a half or all of four. */
override most_cols: u32 = 32u;

struct Params { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32 }

// weights[j * SIDE + y][a]: tile row j, row y + 8 a.
var<workgroup> weights: array<vec4f, TILE * SIDE>;
var<workgroup> partial: array<vec4f, WG>;
var<workgroup> block_seg: array<vec4u, BLOCK>;
var<workgroup> ranges: vec4u;

// Four tile rows x + 8 b of weights of rows y + 8 a, as by_key[b][a].
fn put_weights(x: u32, y: u32, by_key: mat4x4f) {
  weights[x * SIDE + y] = by_key[0];
  weights[(x + 8u) * SIDE + y] = by_key[1];
  weights[(x + 16u) * SIDE + y] = by_key[2];
  weights[(x + 24u) * SIDE + y] = by_key[3];
}

// v x^T as columns v x[a].
fn outer(v: vec4f, x: vec4f) -> mat4x4f { return mat4x4f(v * x.x, v * x.y, v * x.z, v * x.w); }

fn scale_columns(m: mat4x4f, x: vec4f) -> mat4x4f { return mat4x4f(m[0] * x.x, m[1] * x.y, m[2] * x.z, m[3] * x.w); }

fn max4(x: vec4f) -> f32 { return max(max(x.x, x.y), max(x.z, x.w)); }

// Which of four keys query i sees.
fn sees(seg_i: vec4u, i: u32, j: vec4u) -> vec4<bool> {
  return ((j >= vec4u(seg_i.x)) & (j < vec4u(seg_i.y))) | ((j >= vec4u(seg_i.z)) & (j <= vec4u(i)));
}

// The keys that a block of queries can see: [min prefix_start, max prefix_end) and [min seg_start, last + 1), the second cut to
// begin where the first ends; segments before a later sequence's prefix widen the first. `row_seg` is that of block row t
// (the last row again beyond the end), for t < BLOCK.
fn key_ranges(row_seg: vec4u, t: u32, last: u32) -> vec4u {
  if (t < BLOCK) { block_seg[t] = row_seg; }
  workgroupBarrier();
  if (t == 0u) {
    var r = vec4u(0xffffffffu, 0u, 0xffffffffu, last + 1u);
    for (var n = 0u; n < BLOCK; n++) {
      let s = block_seg[n];
      if (s.x < s.y) { r = vec4u(min(r.x, s.x), max(r.y, s.y), r.zw); }
      r.z = min(r.z, s.z);
    }
    ranges = vec4u(select(r.y, min(r.x, r.z), r.x < r.y), r.y, max(r.z, r.y), r.w);
  }
  return workgroupUniformLoad(&ranges);
}

@group(0) @binding(0) var<storage, read_write> o: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> stats_out: array<vec2f>;
// At the same place in attention_bwd_dq.
@group(0) @binding(2) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> seg: array<vec4u>;
@group(0) @binding(6) var<uniform> p: Params;

// q[at[a]].k[k_at[b]] as column a, row b; cols vec4 each.
fn scores(at: vec4u, k_at: vec4u, cols: u32) -> mat4x4f {
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var c = 0u; c < cols; c++) {
    let keys = mat4x4f(vec4f(k[k_at.x + c]), vec4f(k[k_at.y + c]), vec4f(k[k_at.z + c]), vec4f(k[k_at.w + c]));
    s0 += vec4f(q[at.x + c]) * keys;
    s1 += vec4f(q[at.y + c]) * keys;
    s2 += vec4f(q[at.z + c]) * keys;
    s3 += vec4f(q[at.w + c]) * keys;
  }
  return mat4x4f(s0, s1, s2, s3);
}

// One row of the result, vec4 columns x + 8 g of it. Rows are stored one by one, not in a loop: an index that is no constant would put
// the sums of the inner loops into memory on compilers that do not unroll it.
fn put_o(row: u32, x: u32, cols: u32, sums: mat4x4f, l: f32, lse: f32) {
  let at = row * cols + x;
  if (x < cols) { o[at] = vec4<elem>(sums[0] / l); }
  if (x + 8u < cols) { o[at + 8u] = vec4<elem>(sums[1] / l); }
  if (x + 16u < cols) { o[at + 16u] = vec4<elem>(sums[2] / l); }
  if (x + 24u < cols) { o[at + 24u] = vec4<elem>(sums[3] / l); }
  if (x == 0u) { stats_out[row] = vec2f(lse, 0.0); }
}

@compute @workgroup_size(WG)
fn attention_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p.heads) * BLOCK;
  if (first >= p.tokens) { return; }
  let h = w % p.heads;
  let cols = p.head_dim / 4u;
  let y = t / SIDE;
  let x = t % SIDE;
  let last = min(first + BLOCK, p.tokens) - 1u;
  let i = min(first + y + STEPS, vec4u(last));
  let at = (i * p.heads + h) * cols;
  let ldk = p.kv_heads * cols;
  let kv_at = (h / (p.heads / p.kv_heads)) * cols;
  let range = key_ranges(seg[min(first + t, last)], t, last);
  // The vec4 columns this thread owns; past the end it makes the last one again, and does not store it.
  let own = min(x + STEPS, vec4u(cols - 1u));
  var m = vec4f(LOWEST);
  var l = vec4f();
  var acc0 = mat4x4f();
  var acc1 = mat4x4f();
  var acc2 = mat4x4f();
  var acc3 = mat4x4f();
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var key = select(range.x, range.z, part == 1u); key < end; key += TILE) {
      let n = min(TILE, end - key);
      let j = key + x + STEPS;
      let k_at = min(j, vec4u(end - 1u)) * ldk + kv_at;
      let raw = scores(at, k_at, cols);
      let there = j < vec4u(end);
      var s0 = select(vec4f(LOWEST), raw[0] * p.scale, there & sees(seg[i.x], i.x, j));
      var s1 = select(vec4f(LOWEST), raw[1] * p.scale, there & sees(seg[i.y], i.y, j));
      var s2 = select(vec4f(LOWEST), raw[2] * p.scale, there & sees(seg[i.z], i.z, j));
      var s3 = select(vec4f(LOWEST), raw[3] * p.scale, there & sees(seg[i.w], i.w, j));
      partial[t] = vec4f(max4(s0), max4(s1), max4(s2), max4(s3));
      // Also ends the last read of the weights before they change.
      workgroupBarrier();
      var top = m;
      for (var u = 0u; u < SIDE; u++) { top = max(top, partial[y * SIDE + u]); }
      let factor = exp(m - top);
      m = top;
      s0 = select(vec4f(), exp(s0 - top.x), s0 > vec4f(LOWEST));
      s1 = select(vec4f(), exp(s1 - top.y), s1 > vec4f(LOWEST));
      s2 = select(vec4f(), exp(s2 - top.z), s2 > vec4f(LOWEST));
      s3 = select(vec4f(), exp(s3 - top.w), s3 > vec4f(LOWEST));
      let by_key = transpose(mat4x4f(s0, s1, s2, s3));
      l = l * factor + by_key[0] + by_key[1] + by_key[2] + by_key[3];
      put_weights(x, y, by_key);
      acc0 = scale_columns(acc0, factor);
      if (most_cols > 8u) { acc1 = scale_columns(acc1, factor); }
      if (most_cols > 16u) {
        acc2 = scale_columns(acc2, factor);
        acc3 = scale_columns(acc3, factor);
      }
      workgroupBarrier();
      var v_at = key * ldk + kv_at;
      for (var r = 0u; r < n; r++) {
        let e = weights[r * SIDE + y];
        acc0 += outer(vec4f(v[v_at + own.x]), e);
        if (most_cols > 8u) { acc1 += outer(vec4f(v[v_at + own.y]), e); }
        if (most_cols > 16u) {
          acc2 += outer(vec4f(v[v_at + own.z]), e);
          acc3 += outer(vec4f(v[v_at + own.w]), e);
        }
        v_at += ldk;
      }
    }
  }
  partial[t] = l;
  workgroupBarrier();
  l = vec4f();
  for (var u = 0u; u < SIDE; u++) { l += partial[y * SIDE + u]; }
  let lse = m + log(l);
  let stored = first + y + STEPS <= vec4u(last);
  if (stored.x) { put_o(i.x * p.heads + h, x, cols, mat4x4f(acc0[0], acc1[0], acc2[0], acc3[0]), l.x, lse.x); }
  if (stored.y) { put_o(i.y * p.heads + h, x, cols, mat4x4f(acc0[1], acc1[1], acc2[1], acc3[1]), l.y, lse.y); }
  if (stored.z) { put_o(i.z * p.heads + h, x, cols, mat4x4f(acc0[2], acc1[2], acc2[2], acc3[2]), l.z, lse.z); }
  if (stored.w) { put_o(i.w * p.heads + h, x, cols, mat4x4f(acc0[3], acc1[3], acc2[3], acc3[3]), l.w, lse.w); }
}

struct DeltaParams { tokens: u32, heads: u32, head_dim: u32 }

const DELTA_WG: u32 = 64u;

@group(0) @binding(0) var<storage, read_write> stats_delta: array<vec2f>;
@group(0) @binding(1) var<storage, read> dout_delta: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> o_delta: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> p_delta: DeltaParams;

// A thread per (token, head) row.
@compute @workgroup_size(DELTA_WG)
fn attention_bwd_delta(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let cols = p_delta.head_dim / 4u;
  let r = (wid.x + wid.y * nwg.x) * DELTA_WG + t;
  if (r >= p_delta.tokens * p_delta.heads) { return; }
  var sums = vec4f();
  for (var c = r * cols; c < (r + 1u) * cols; c++) { sums += vec4f(dout_delta[c]) * vec4f(o_delta[c]); }
  stats_delta[r].y = (sums.x + sums.y) + (sums.z + sums.w);
}

@group(0) @binding(0) var<storage, read_write> dq: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dout_dq: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> stats_dq: array<vec2f>;
@group(0) @binding(6) var<storage, read> seg_dq: array<vec4u>;
@group(0) @binding(7) var<uniform> p_dq: Params;

// Four scores' share of the gradient: p (dp - delta), 0 where the key is not seen.
fn score_gradient(s: vec4f, dp: vec4f, stat: vec2f, seen: vec4<bool>) -> vec4f {
  return select(vec4f(), exp(s * p_dq.scale - stat.x) * (dp - stat.y), seen);
}

// As put_o, of the row that begins at `at`.
fn put_dq(at: u32, x: u32, cols: u32, sums: mat4x4f) {
  if (x < cols) { dq[at + x] = vec4<elem>(sums[0] * p_dq.scale); }
  if (x + 8u < cols) { dq[at + x + 8u] = vec4<elem>(sums[1] * p_dq.scale); }
  if (x + 16u < cols) { dq[at + x + 16u] = vec4<elem>(sums[2] * p_dq.scale); }
  if (x + 24u < cols) { dq[at + x + 24u] = vec4<elem>(sums[3] * p_dq.scale); }
}

@compute @workgroup_size(WG)
fn attention_bwd_dq(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p_dq.heads) * BLOCK;
  if (first >= p_dq.tokens) { return; }
  let h = w % p_dq.heads;
  let cols = p_dq.head_dim / 4u;
  let y = t / SIDE;
  let x = t % SIDE;
  let last = min(first + BLOCK, p_dq.tokens) - 1u;
  let i = min(first + y + STEPS, vec4u(last));
  let row = i * p_dq.heads + h;
  let at = row * cols;
  let ldk = p_dq.kv_heads * cols;
  let kv_at = (h / (p_dq.heads / p_dq.kv_heads)) * cols;
  let range = key_ranges(seg_dq[min(first + t, last)], t, last);
  let own = min(x + STEPS, vec4u(cols - 1u));
  var acc0 = mat4x4f();
  var acc1 = mat4x4f();
  var acc2 = mat4x4f();
  var acc3 = mat4x4f();
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var key = select(range.x, range.z, part == 1u); key < end; key += TILE) {
      let n = min(TILE, end - key);
      let j = key + x + STEPS;
      let k_at = min(j, vec4u(end - 1u)) * ldk + kv_at;
      let s = scores(at, k_at, cols);
      var dp0 = vec4f();
      var dp1 = vec4f();
      var dp2 = vec4f();
      var dp3 = vec4f();
      for (var c = 0u; c < cols; c++) {
        let values = mat4x4f(vec4f(v[k_at.x + c]), vec4f(v[k_at.y + c]), vec4f(v[k_at.z + c]), vec4f(v[k_at.w + c]));
        dp0 += vec4f(dout_dq[at.x + c]) * values;
        dp1 += vec4f(dout_dq[at.y + c]) * values;
        dp2 += vec4f(dout_dq[at.z + c]) * values;
        dp3 += vec4f(dout_dq[at.w + c]) * values;
      }
      let there = j < vec4u(end);
      let by_key = transpose(mat4x4f(
        score_gradient(s[0], dp0, stats_dq[row.x], there & sees(seg_dq[i.x], i.x, j)),
        score_gradient(s[1], dp1, stats_dq[row.y], there & sees(seg_dq[i.y], i.y, j)),
        score_gradient(s[2], dp2, stats_dq[row.z], there & sees(seg_dq[i.z], i.z, j)),
        score_gradient(s[3], dp3, stats_dq[row.w], there & sees(seg_dq[i.w], i.w, j)),
      ));
      put_weights(x, y, by_key);
      workgroupBarrier();
      var kr_at = key * ldk + kv_at;
      for (var r = 0u; r < n; r++) {
        let ds = weights[r * SIDE + y];
        acc0 += outer(vec4f(k[kr_at + own.x]), ds);
        if (most_cols > 8u) { acc1 += outer(vec4f(k[kr_at + own.y]), ds); }
        if (most_cols > 16u) {
          acc2 += outer(vec4f(k[kr_at + own.z]), ds);
          acc3 += outer(vec4f(k[kr_at + own.w]), ds);
        }
        kr_at += ldk;
      }
      workgroupBarrier();
    }
  }
  let stored = first + y + STEPS <= vec4u(last);
  if (stored.x) { put_dq(at.x, x, cols, mat4x4f(acc0[0], acc1[0], acc2[0], acc3[0])); }
  if (stored.y) { put_dq(at.y, x, cols, mat4x4f(acc0[1], acc1[1], acc2[1], acc3[1])); }
  if (stored.z) { put_dq(at.z, x, cols, mat4x4f(acc0[2], acc1[2], acc2[2], acc3[2])); }
  if (stored.w) { put_dq(at.w, x, cols, mat4x4f(acc0[3], acc1[3], acc2[3], acc3[3])); }
}

@group(0) @binding(0) var<storage, read_write> dk: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> dv: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> dout_dkdv: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> q_dkdv: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> k_dkdv: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> v_dkdv: array<vec4<elem>>;
@group(0) @binding(6) var<storage, read> stats_dkdv: array<vec2f>;
@group(0) @binding(7) var<storage, read> seg_dkdv: array<vec4u>;
@group(0) @binding(8) var<uniform> p_dkdv: Params;

var<workgroup> weights_ds: array<vec4f, TILE * SIDE>;

// Four probabilities of one key, by the queries i of the tile.
fn probability(s: vec4f, lse: vec4f, i: vec4u, j: u32, j_end: u32) -> vec4f {
  return select(vec4f(), exp(s * p_dkdv.scale - lse), (i >= vec4u(j)) & (i < vec4u(j_end)));
}

// As put_dq.
fn put_dkdv(at: u32, x: u32, cols: u32, keys: mat4x4f, values: mat4x4f) {
  if (x < cols) {
    dk[at + x] = vec4<elem>(keys[0] * p_dkdv.scale);
    dv[at + x] = vec4<elem>(values[0]);
  }
  if (x + 8u < cols) {
    dk[at + x + 8u] = vec4<elem>(keys[1] * p_dkdv.scale);
    dv[at + x + 8u] = vec4<elem>(values[1]);
  }
  if (x + 16u < cols) {
    dk[at + x + 16u] = vec4<elem>(keys[2] * p_dkdv.scale);
    dv[at + x + 16u] = vec4<elem>(values[2]);
  }
  if (x + 24u < cols) {
    dk[at + x + 24u] = vec4<elem>(keys[3] * p_dkdv.scale);
    dv[at + x + 24u] = vec4<elem>(values[3]);
  }
}

// The query heads of the kv head follow each other in a fixed order: no atomics, the same bits every time.
@compute @workgroup_size(WG)
fn attention_bwd_dkdv(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p_dkdv.kv_heads) * BLOCK;
  if (first >= p_dkdv.tokens) { return; }
  let kv_head = w % p_dkdv.kv_heads;
  let group = p_dkdv.heads / p_dkdv.kv_heads;
  let cols = p_dkdv.head_dim / 4u;
  let ldq = p_dkdv.heads * cols;
  let y = t / SIDE;
  let x = t % SIDE;
  let last = min(first + BLOCK, p_dkdv.tokens) - 1u;
  let j = min(first + y + STEPS, vec4u(last));
  let k_at = (j * p_dkdv.kv_heads + kv_head) * cols;
  let j_end = vec4u(seg_dkdv[j.x].w, seg_dkdv[j.y].w, seg_dkdv[j.z].w, seg_dkdv[j.w].w);
  let own = min(x + STEPS, vec4u(cols - 1u));
  if (t < BLOCK) { block_seg[t] = seg_dkdv[min(first + t, last)]; }
  workgroupBarrier();
  if (t == 0u) {
    var top = 0u;
    for (var n = 0u; n < BLOCK; n++) { top = max(top, block_seg[n].w); }
    ranges = vec4u(top);
  }
  let end = workgroupUniformLoad(&ranges).x;
  var dk0 = mat4x4f();
  var dk1 = mat4x4f();
  var dk2 = mat4x4f();
  var dk3 = mat4x4f();
  var dv0 = mat4x4f();
  var dv1 = mat4x4f();
  var dv2 = mat4x4f();
  var dv3 = mat4x4f();
  for (var h = kv_head * group; h < (kv_head + 1u) * group; h++) {
    for (var query = first; query < end; query += TILE) {
      let n = min(TILE, end - query);
      let i = query + x + STEPS;
      let there = min(i, vec4u(end - 1u));
      let at = there * ldq + h * cols;
      var s0 = vec4f();
      var s1 = vec4f();
      var s2 = vec4f();
      var s3 = vec4f();
      var dp0 = vec4f();
      var dp1 = vec4f();
      var dp2 = vec4f();
      var dp3 = vec4f();
      for (var c = 0u; c < cols; c++) {
        let queries = mat4x4f(vec4f(q_dkdv[at.x + c]), vec4f(q_dkdv[at.y + c]), vec4f(q_dkdv[at.z + c]), vec4f(q_dkdv[at.w + c]));
        s0 += vec4f(k_dkdv[k_at.x + c]) * queries;
        s1 += vec4f(k_dkdv[k_at.y + c]) * queries;
        s2 += vec4f(k_dkdv[k_at.z + c]) * queries;
        s3 += vec4f(k_dkdv[k_at.w + c]) * queries;
        let douts = mat4x4f(vec4f(dout_dkdv[at.x + c]), vec4f(dout_dkdv[at.y + c]), vec4f(dout_dkdv[at.z + c]), vec4f(dout_dkdv[at.w + c]));
        dp0 += vec4f(v_dkdv[k_at.x + c]) * douts;
        dp1 += vec4f(v_dkdv[k_at.y + c]) * douts;
        dp2 += vec4f(v_dkdv[k_at.z + c]) * douts;
        dp3 += vec4f(v_dkdv[k_at.w + c]) * douts;
      }
      let stat = mat4x2f(
        stats_dkdv[there.x * p_dkdv.heads + h], stats_dkdv[there.y * p_dkdv.heads + h],
        stats_dkdv[there.z * p_dkdv.heads + h], stats_dkdv[there.w * p_dkdv.heads + h],
      );
      let lse = vec4f(stat[0].x, stat[1].x, stat[2].x, stat[3].x);
      let delta = vec4f(stat[0].y, stat[1].y, stat[2].y, stat[3].y);
      // A query beyond `end` is beyond every j_end.
      s0 = probability(s0, lse, i, j.x, j_end.x);
      s1 = probability(s1, lse, i, j.y, j_end.y);
      s2 = probability(s2, lse, i, j.z, j_end.z);
      s3 = probability(s3, lse, i, j.w, j_end.w);
      let probs = transpose(mat4x4f(s0, s1, s2, s3));
      let grads = transpose(mat4x4f(s0 * (dp0 - delta), s1 * (dp1 - delta), s2 * (dp2 - delta), s3 * (dp3 - delta)));
      put_weights(x, y, probs);
      weights_ds[x * SIDE + y] = grads[0];
      weights_ds[(x + 8u) * SIDE + y] = grads[1];
      weights_ds[(x + 16u) * SIDE + y] = grads[2];
      weights_ds[(x + 24u) * SIDE + y] = grads[3];
      workgroupBarrier();
      var r_at = query * ldq + h * cols;
      for (var r = 0u; r < n; r++) {
        let prob = weights[r * SIDE + y];
        let ds = weights_ds[r * SIDE + y];
        dv0 += outer(vec4f(dout_dkdv[r_at + own.x]), prob);
        dk0 += outer(vec4f(q_dkdv[r_at + own.x]), ds);
        if (most_cols > 8u) {
          dv1 += outer(vec4f(dout_dkdv[r_at + own.y]), prob);
          dk1 += outer(vec4f(q_dkdv[r_at + own.y]), ds);
        }
        if (most_cols > 16u) {
          dv2 += outer(vec4f(dout_dkdv[r_at + own.z]), prob);
          dk2 += outer(vec4f(q_dkdv[r_at + own.z]), ds);
          dv3 += outer(vec4f(dout_dkdv[r_at + own.w]), prob);
          dk3 += outer(vec4f(q_dkdv[r_at + own.w]), ds);
        }
        r_at += ldq;
      }
      workgroupBarrier();
    }
  }
  let stored = first + y + STEPS <= vec4u(last);
  if (stored.x) { put_dkdv(k_at.x, x, cols, mat4x4f(dk0[0], dk1[0], dk2[0], dk3[0]), mat4x4f(dv0[0], dv1[0], dv2[0], dv3[0])); }
  if (stored.y) { put_dkdv(k_at.y, x, cols, mat4x4f(dk0[1], dk1[1], dk2[1], dk3[1]), mat4x4f(dv0[1], dv1[1], dv2[1], dv3[1])); }
  if (stored.z) { put_dkdv(k_at.z, x, cols, mat4x4f(dk0[2], dk1[2], dk2[2], dk3[2]), mat4x4f(dv0[2], dv1[2], dv2[2], dv3[2])); }
  if (stored.w) { put_dkdv(k_at.w, x, cols, mat4x4f(dk0[3], dk1[3], dk2[3], dk3[3]), mat4x4f(dv0[3], dv1[3], dv2[3], dv3[3])); }
}
