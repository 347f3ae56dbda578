alias elem = f32;
// Causal attention over packed segments with shared prefixes; q, o (tokens, heads, head_dim), k, v (tokens, kv_heads, head_dim).
//   s[i,j] = scale q[i].k[j]    lse[i] = log sum_j exp s[i,j]    p[i,j] = exp(s[i,j] - lse[i])    o[i] = sum_j p[i,j] v[j]
// Backward, p recomputed from lse (Dao et al. 2022):
//   delta[i] = do[i].o[i]    ds[i,j] = p[i,j] (do[i].v[j] - delta[i])
//   dq[i] = scale sum_j ds[i,j] k[j]    dk[j] = scale sum_i ds[i,j] q[i]    dv[j] = sum_i p[i,j] do[i]
// seg[i] = (prefix_start, prefix_end, seg_start, q_end): query i sees keys [prefix_start, prefix_end) and [seg_start, i];
// key j is seen by queries [j, q_end). Query head h reads kv head h / (heads / kv_heads).
//
// One workgroup per head and block of 32 rows (queries; keys in attention_bwd_dkdv), 4 threads ("lanes") per row, which streams
// the other side in tiles of 16 through shared memory. Lane n makes the scores of tile rows n, n + 4, ... and owns the vec4
// columns n, n + 4, ... of the result. head_dim is a multiple of 4, at most 128.
// Arrays declared in a loop are zeroed in words: without an initialiser SwiftShader (Dawn 0.6.2) keeps the last turn's values.

const BLOCK: u32 = 32u;
const LANES: u32 = 4u;
const WG: u32 = 128u;
const TILE: u32 = 16u;
const SCORES: u32 = 4u;
const MAX_COLS: u32 = 32u;
const OWN_COLS: u32 = 8u;
const LOWEST: f32 = -3.4028234e38;

struct Params { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32 }

var<workgroup> tile: array<vec4f, TILE * MAX_COLS>;
var<workgroup> weights: array<f32, BLOCK * TILE>;
var<workgroup> block_seg: array<vec4u, BLOCK>;
var<workgroup> ranges: vec4u;

fn sees(seg_i: vec4u, i: u32, j: u32) -> bool {
  return (j >= seg_i.x && j < seg_i.y) || (j >= seg_i.z && j <= i);
}

// The keys that a block of queries can see: [min prefix_start, max prefix_end) and [min seg_start, last + 1), the second cut to
// begin where the first ends; segments before a later sequence's prefix widen the first. `row_seg` is that of the thread's own row
// (the last row again beyond the end).
fn key_ranges(row_seg: vec4u, t: u32, last: u32) -> vec4u {
  if (t % LANES == 0u) { block_seg[t / LANES] = row_seg; }
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
@group(0) @binding(2) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> seg: array<vec4u>;
@group(0) @binding(6) var<uniform> p: Params;

@compute @workgroup_size(WG)
fn attention_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p.heads) * BLOCK;
  if (first >= p.tokens) { return; }
  let h = w % p.heads;
  let cols = p.head_dim / 4u;
  let row = t / LANES;
  let lane = t % LANES;
  let last = min(first + BLOCK, p.tokens) - 1u;
  let i = min(first + row, last);
  let q_at = (i * p.heads + h) * cols;
  let ldk = p.kv_heads * cols;
  let kv_at = (h / (p.heads / p.kv_heads)) * cols;
  let seg_i = seg[i];
  let range = key_ranges(seg_i, t, last);
  var m = LOWEST;
  var l = 0.0;
  var acc: array<vec4f, OWN_COLS>;
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var key = select(range.x, range.z, part == 1u); key < end; key += TILE) {
      let n = min(TILE, end - key);
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(k[(key + e / cols) * ldk + kv_at + e % cols]); }
      workgroupBarrier();
      var s = array<f32, SCORES>();
      for (var c = 0u; c < cols; c++) {
        let x = vec4f(q[q_at + c]);
        for (var a = 0u; a < SCORES; a++) { s[a] += dot(x, tile[min(lane + a * LANES, n - 1u) * cols + c]); }
      }
      for (var a = 0u; a < SCORES; a++) {
        let r = lane + a * LANES;
        weights[row * TILE + r] = select(LOWEST, s[a] * p.scale, r < n && sees(seg_i, i, key + r));
      }
      // Also ends the last read of K before V takes its place.
      workgroupBarrier();
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(v[(key + e / cols) * ldk + kv_at + e % cols]); }
      var top = m;
      for (var r = 0u; r < TILE; r++) { top = max(top, weights[row * TILE + r]); }
      let factor = exp(m - top);
      m = top;
      l *= factor;
      for (var c = 0u; c < OWN_COLS; c++) { acc[c] *= factor; }
      workgroupBarrier();
      for (var r = 0u; r < n; r++) {
        let x = weights[row * TILE + r];
        let e = select(0.0, exp(x - m), x > LOWEST);
        l += e;
        for (var c = 0u; c < OWN_COLS; c++) {
          let d = lane + c * LANES;
          if (d < cols) { acc[c] += e * tile[r * cols + d]; }
        }
      }
      workgroupBarrier();
    }
  }
  if (first + row <= last) {
    for (var c = 0u; c < OWN_COLS; c++) {
      let d = lane + c * LANES;
      if (d < cols) { o[q_at + d] = vec4<elem>(acc[c] / l); }
    }
    if (lane == 0u) { stats_out[i * p.heads + h] = vec2f(m + log(l), 0.0); }
  }
}

struct DeltaParams { tokens: u32, heads: u32, head_dim: u32 }

const DELTA_LANES: u32 = 16u;
const DELTA_WG: u32 = 256u;

@group(0) @binding(0) var<storage, read_write> stats_delta: array<vec2f>;
@group(0) @binding(1) var<storage, read> dout_delta: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> o_delta: array<vec4<elem>>;
@group(0) @binding(3) var<uniform> p_delta: DeltaParams;

var<workgroup> partial: array<f32, DELTA_WG>;

// 16 (token, head) rows per workgroup, 16 threads each.
@compute @workgroup_size(DELTA_WG)
fn attention_bwd_delta(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let rows = p_delta.tokens * p_delta.heads;
  let cols = p_delta.head_dim / 4u;
  let r = (wid.x + wid.y * nwg.x) * (DELTA_WG / DELTA_LANES) + t / DELTA_LANES;
  var sum = 0.0;
  if (r < rows) {
    for (var c = t % DELTA_LANES; c < cols; c += DELTA_LANES) { sum += dot(vec4f(dout_delta[r * cols + c]), vec4f(o_delta[r * cols + c])); }
  }
  partial[t] = sum;
  workgroupBarrier();
  if (r < rows && t % DELTA_LANES == 0u) {
    for (var n = 1u; n < DELTA_LANES; n++) { sum += partial[t + n]; }
    stats_delta[r].y = sum;
  }
}

@group(0) @binding(0) var<storage, read_write> dq: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dout_dq: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> q_dq: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k_dq: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v_dq: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> stats_dq: array<vec2f>;
@group(0) @binding(6) var<storage, read> seg_dq: array<vec4u>;
@group(0) @binding(7) var<uniform> p_dq: Params;

@compute @workgroup_size(WG)
fn attention_bwd_dq(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p_dq.heads) * BLOCK;
  if (first >= p_dq.tokens) { return; }
  let h = w % p_dq.heads;
  let cols = p_dq.head_dim / 4u;
  let row = t / LANES;
  let lane = t % LANES;
  let last = min(first + BLOCK, p_dq.tokens) - 1u;
  let i = min(first + row, last);
  let q_at = (i * p_dq.heads + h) * cols;
  let ldk = p_dq.kv_heads * cols;
  let kv_at = (h / (p_dq.heads / p_dq.kv_heads)) * cols;
  let seg_i = seg_dq[i];
  let stat = stats_dq[i * p_dq.heads + h];
  let range = key_ranges(seg_i, t, last);
  var acc: array<vec4f, OWN_COLS>;
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var key = select(range.x, range.z, part == 1u); key < end; key += TILE) {
      let n = min(TILE, end - key);
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(v_dq[(key + e / cols) * ldk + kv_at + e % cols]); }
      workgroupBarrier();
      var dp = array<f32, SCORES>();
      for (var c = 0u; c < cols; c++) {
        let x = vec4f(dout_dq[q_at + c]);
        for (var a = 0u; a < SCORES; a++) { dp[a] += dot(x, tile[min(lane + a * LANES, n - 1u) * cols + c]); }
      }
      workgroupBarrier();
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(k_dq[(key + e / cols) * ldk + kv_at + e % cols]); }
      workgroupBarrier();
      var s = array<f32, SCORES>();
      for (var c = 0u; c < cols; c++) {
        let x = vec4f(q_dq[q_at + c]);
        for (var a = 0u; a < SCORES; a++) { s[a] += dot(x, tile[min(lane + a * LANES, n - 1u) * cols + c]); }
      }
      for (var a = 0u; a < SCORES; a++) {
        let r = lane + a * LANES;
        let seen = r < n && sees(seg_i, i, key + r);
        weights[row * TILE + r] = select(0.0, exp(s[a] * p_dq.scale - stat.x) * (dp[a] - stat.y), seen);
      }
      workgroupBarrier();
      for (var r = 0u; r < n; r++) {
        let ds = weights[row * TILE + r];
        for (var c = 0u; c < OWN_COLS; c++) {
          let d = lane + c * LANES;
          if (d < cols) { acc[c] += ds * tile[r * cols + d]; }
        }
      }
      workgroupBarrier();
    }
  }
  if (first + row <= last) {
    for (var c = 0u; c < OWN_COLS; c++) {
      let d = lane + c * LANES;
      if (d < cols) { dq[q_at + d] = vec4<elem>(acc[c] * p_dq.scale); }
    }
  }
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

var<workgroup> weights_ds: array<f32, BLOCK * TILE>;

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
  let row = t / LANES;
  let lane = t % LANES;
  let last = min(first + BLOCK, p_dkdv.tokens) - 1u;
  let j = min(first + row, last);
  let k_at = (j * p_dkdv.kv_heads + kv_head) * cols;
  let q_end = seg_dkdv[j].w;
  if (lane == 0u) { block_seg[row] = vec4u(q_end); }
  workgroupBarrier();
  if (t == 0u) {
    var top = 0u;
    for (var n = 0u; n < BLOCK; n++) { top = max(top, block_seg[n].x); }
    ranges = vec4u(top);
  }
  let end = workgroupUniformLoad(&ranges).x;
  var dk_acc: array<vec4f, OWN_COLS>;
  var dv_acc: array<vec4f, OWN_COLS>;
  for (var h = kv_head * group; h < (kv_head + 1u) * group; h++) {
    for (var query = first; query < end; query += TILE) {
      let n = min(TILE, end - query);
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(q_dkdv[(query + e / cols) * ldq + h * cols + e % cols]); }
      workgroupBarrier();
      var s = array<f32, SCORES>();
      for (var c = 0u; c < cols; c++) {
        let x = vec4f(k_dkdv[k_at + c]);
        for (var a = 0u; a < SCORES; a++) { s[a] += dot(x, tile[min(lane + a * LANES, n - 1u) * cols + c]); }
      }
      workgroupBarrier();
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(dout_dkdv[(query + e / cols) * ldq + h * cols + e % cols]); }
      workgroupBarrier();
      var dp = array<f32, SCORES>();
      for (var c = 0u; c < cols; c++) {
        let x = vec4f(v_dkdv[k_at + c]);
        for (var a = 0u; a < SCORES; a++) { dp[a] += dot(x, tile[min(lane + a * LANES, n - 1u) * cols + c]); }
      }
      for (var a = 0u; a < SCORES; a++) {
        let r = lane + a * LANES;
        let i = query + min(r, n - 1u);
        let stat = stats_dkdv[i * p_dkdv.heads + h];
        let prob = select(0.0, exp(s[a] * p_dkdv.scale - stat.x), r < n && i >= j && i < q_end);
        weights[row * TILE + r] = prob;
        weights_ds[row * TILE + r] = prob * (dp[a] - stat.y);
      }
      workgroupBarrier();
      for (var r = 0u; r < n; r++) {
        let prob = weights[row * TILE + r];
        for (var c = 0u; c < OWN_COLS; c++) {
          let d = lane + c * LANES;
          if (d < cols) { dv_acc[c] += prob * tile[r * cols + d]; }
        }
      }
      workgroupBarrier();
      for (var e = t; e < n * cols; e += WG) { tile[e] = vec4f(q_dkdv[(query + e / cols) * ldq + h * cols + e % cols]); }
      workgroupBarrier();
      for (var r = 0u; r < n; r++) {
        let ds = weights_ds[row * TILE + r];
        for (var c = 0u; c < OWN_COLS; c++) {
          let d = lane + c * LANES;
          if (d < cols) { dk_acc[c] += ds * tile[r * cols + d]; }
        }
      }
      workgroupBarrier();
    }
  }
  if (first + row <= last) {
    for (var c = 0u; c < OWN_COLS; c++) {
      let d = lane + c * LANES;
      if (d < cols) {
        dk[k_at + d] = vec4<elem>(dk_acc[c] * p_dkdv.scale);
        dv[k_at + d] = vec4<elem>(dv_acc[c]);
      }
    }
  }
}
