enable subgroups;
diagnostic(off, subgroup_uniformity);
alias elem = f32;
// Quad swaps, for adapters that compute on the CPU: formulas, bindings and ranges as attention.wgsl, but a thread per row (query; key in
// attention_bwd_dkdv), no workgroup memory and no barrier. The rows of the other side come one after the other: the four threads of a quad load a
// quarter each and swap. So thread n of a quad has the four vec4 of a group in the order n, n ^ 1, n ^ 2, n ^ 3, and keeps its own row in it too:
// sums over a group are those of any other thread, (0 + 1) + (2 + 3). A loop runs over what any row of the subgroup sees, so its bounds are
// uniform there, which is all that the swaps need; which threads form a quad, and how large a subgroup is, does not matter.
// head_dim is a multiple of 4, at most 16 groups, groups 1 or 2.

const WG: u32 = 16u;
const LOWEST: f32 = -3.4028234e38;
/** Groups of 16 elements of a row. */
override groups: u32 = 2u;

struct Params { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32 }

/** A row of up to 32 elements, zeros beyond head_dim: column c of a matrix is a vec4 of neighbours. */
struct Row { a: mat4x4f, b: mat4x4f }

fn dot16(x: mat4x4f, y: mat4x4f) -> f32 {
  let s = x[0] * y[0] + x[1] * y[1] + (x[2] * y[2] + x[3] * y[3]);
  return s.x + s.y + (s.z + s.w);
}

fn row_dot(x: Row, y: Row) -> f32 {
  var s = dot16(x.a, y.a);
  if (groups > 1u) { s += dot16(x.b, y.b); }
  return s;
}

/** x f + y w. */
fn row_sum(x: Row, f: f32, y: Row, w: f32) -> Row {
  var r = Row();
  r.a = x.a * f + y.a * w;
  if (groups > 1u) { r.b = x.b * f + y.b * w; }
  return r;
}

/** A quad's loads of one group: thread n of it holds vec4 n. */
fn shared_out(v: vec4f) -> mat4x4f { return mat4x4f(v, quadSwapX(v), quadSwapY(v), quadSwapDiagonal(v)); }

fn sees(seg_i: vec4u, i: u32, j: u32) -> bool { return (j >= seg_i.x && j < seg_i.y) || (j >= seg_i.z && j <= i); }

/** The keys that any query of the subgroup sees: [x, y) and [z, w), as in attention.wgsl. */
fn key_ranges(row_seg: vec4u, i: u32) -> vec4u {
  let has_prefix = row_seg.x < row_seg.y;
  let start = subgroupMin(select(0xffffffffu, row_seg.x, has_prefix));
  let end = subgroupMax(select(0u, row_seg.y, has_prefix));
  let own = subgroupMin(row_seg.z);
  return vec4u(select(end, min(start, own), start < end), end, max(own, end), subgroupMax(i) + 1u);
}

@group(0) @binding(0) var<storage, read_write> o: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> stats_out: array<vec2f>;
// At the same place in attention_bwd_dq.
@group(0) @binding(2) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> seg: array<vec4u>;
@group(0) @binding(6) var<uniform> p: Params;

/** vec4 c of a row of cols, zeros beyond. */
fn q_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(q[at + min(c, cols - 1u)]), c < cols); }
fn k_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(k[at + min(c, cols - 1u)]), c < cols); }
fn v_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(v[at + min(c, cols - 1u)]), c < cols); }

fn q_own(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = mat4x4f(q_at(at, n, cols), q_at(at, 1u ^ n, cols), q_at(at, 2u ^ n, cols), q_at(at, 3u ^ n, cols));
  if (groups > 1u) { r.b = mat4x4f(q_at(at, 4u ^ n, cols), q_at(at, 5u ^ n, cols), q_at(at, 6u ^ n, cols), q_at(at, 7u ^ n, cols)); }
  return r;
}
fn k_shared(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = shared_out(k_at(at, n, cols));
  if (groups > 1u) { r.b = shared_out(k_at(at, 4u + n, cols)); }
  return r;
}
fn v_shared(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = shared_out(v_at(at, n, cols));
  if (groups > 1u) { r.b = shared_out(v_at(at, 4u + n, cols)); }
  return r;
}

/** vec4 c of a row held in registers. */
fn column(r: Row, c: u32, n: u32) -> vec4f {
  var m = r.a;
  if (groups > 1u && c / 4u == 1u) { m = r.b; }
  return m[(c ^ n) % 4u];
}

@compute @workgroup_size(WG)
fn attention_fwd(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32,
) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p.heads) * WG;
  if (first >= p.tokens) { return; }
  let h = w % p.heads;
  let cols = p.head_dim / 4u;
  let ldk = p.kv_heads * cols;
  let kv = (h / (p.heads / p.kv_heads)) * cols;
  let i = min(first + t, p.tokens - 1u);
  let at = (i * p.heads + h) * cols;
  let n = lane % 4u;
  let query = q_own(at, n, cols);
  let seg_i = seg[i];
  let range = key_ranges(seg_i, i);
  var m = LOWEST;
  var l = 0.0;
  var acc = Row();
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var j = select(range.x, range.z, part == 1u); j < end; j += 2u) {
      // Two keys at a time: one rescaling of the sums for both.
      let j1 = min(j + 1u, end - 1u);
      let s0 = p.scale * row_dot(query, k_shared(j * ldk + kv, n, cols));
      let s1 = p.scale * row_dot(query, k_shared(j1 * ldk + kv, n, cols));
      let seen0 = sees(seg_i, i, j);
      let seen1 = j + 1u < end && sees(seg_i, i, j1);
      let top = max(m, max(select(LOWEST, s0, seen0), select(LOWEST, s1, seen1)));
      let f = exp(m - top);
      let e0 = select(0.0, exp(s0 - top), seen0);
      let e1 = select(0.0, exp(s1 - top), seen1);
      m = top;
      l = l * f + (e0 + e1);
      acc = row_sum(row_sum(acc, f, v_shared(j * ldk + kv, n, cols), e0), 1.0, v_shared(j1 * ldk + kv, n, cols), e1);
    }
  }
  if (first + t >= p.tokens) { return; }
  for (var c = 0u; c < cols; c++) { o[at + c] = vec4<elem>(column(acc, c, n) / l); }
  stats_out[i * p.heads + h] = vec2f(m + log(l), 0.0);
}

@group(0) @binding(0) var<storage, read_write> dq: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dout_dq: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> stats_dq: array<vec2f>;
@group(0) @binding(6) var<storage, read> seg_dq: array<vec4u>;
@group(0) @binding(7) var<uniform> p_dq: Params;

fn dout_dq_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(dout_dq[at + min(c, cols - 1u)]), c < cols); }

fn dout_own(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = mat4x4f(dout_dq_at(at, n, cols), dout_dq_at(at, 1u ^ n, cols), dout_dq_at(at, 2u ^ n, cols), dout_dq_at(at, 3u ^ n, cols));
  if (groups > 1u) { r.b = mat4x4f(dout_dq_at(at, 4u ^ n, cols), dout_dq_at(at, 5u ^ n, cols), dout_dq_at(at, 6u ^ n, cols), dout_dq_at(at, 7u ^ n, cols)); }
  return r;
}

@compute @workgroup_size(WG)
fn attention_bwd_dq(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32,
) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p_dq.heads) * WG;
  if (first >= p_dq.tokens) { return; }
  let h = w % p_dq.heads;
  let cols = p_dq.head_dim / 4u;
  let ldk = p_dq.kv_heads * cols;
  let kv = (h / (p_dq.heads / p_dq.kv_heads)) * cols;
  let i = min(first + t, p_dq.tokens - 1u);
  let at = (i * p_dq.heads + h) * cols;
  let n = lane % 4u;
  let query = q_own(at, n, cols);
  let dout = dout_own(at, n, cols);
  let stat = stats_dq[i * p_dq.heads + h];
  let seg_i = seg_dq[i];
  let range = key_ranges(seg_i, i);
  var acc = Row();
  for (var part = 0u; part < 2u; part++) {
    let end = select(range.y, range.w, part == 1u);
    for (var j = select(range.x, range.z, part == 1u); j < end; j++) {
      let key = k_shared(j * ldk + kv, n, cols);
      let prob = exp(row_dot(query, key) * p_dq.scale - stat.x);
      let dp = row_dot(dout, v_shared(j * ldk + kv, n, cols));
      acc = row_sum(acc, 1.0, key, select(0.0, prob * (dp - stat.y), sees(seg_i, i, j)));
    }
  }
  if (first + t >= p_dq.tokens) { return; }
  for (var c = 0u; c < cols; c++) { dq[at + c] = vec4<elem>(column(acc, c, n) * p_dq.scale); }
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

fn own_k_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(k_dkdv[at + min(c, cols - 1u)]), c < cols); }
fn own_v_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(v_dkdv[at + min(c, cols - 1u)]), c < cols); }
fn q_dkdv_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(q_dkdv[at + min(c, cols - 1u)]), c < cols); }
fn dout_dkdv_at(at: u32, c: u32, cols: u32) -> vec4f { return select(vec4f(), vec4f(dout_dkdv[at + min(c, cols - 1u)]), c < cols); }

fn k_own(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = mat4x4f(own_k_at(at, n, cols), own_k_at(at, 1u ^ n, cols), own_k_at(at, 2u ^ n, cols), own_k_at(at, 3u ^ n, cols));
  if (groups > 1u) { r.b = mat4x4f(own_k_at(at, 4u ^ n, cols), own_k_at(at, 5u ^ n, cols), own_k_at(at, 6u ^ n, cols), own_k_at(at, 7u ^ n, cols)); }
  return r;
}
fn v_own(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = mat4x4f(own_v_at(at, n, cols), own_v_at(at, 1u ^ n, cols), own_v_at(at, 2u ^ n, cols), own_v_at(at, 3u ^ n, cols));
  if (groups > 1u) { r.b = mat4x4f(own_v_at(at, 4u ^ n, cols), own_v_at(at, 5u ^ n, cols), own_v_at(at, 6u ^ n, cols), own_v_at(at, 7u ^ n, cols)); }
  return r;
}
fn q_shared(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = shared_out(q_dkdv_at(at, n, cols));
  if (groups > 1u) { r.b = shared_out(q_dkdv_at(at, 4u + n, cols)); }
  return r;
}
fn dout_shared(at: u32, n: u32, cols: u32) -> Row {
  var r = Row();
  r.a = shared_out(dout_dkdv_at(at, n, cols));
  if (groups > 1u) { r.b = shared_out(dout_dkdv_at(at, 4u + n, cols)); }
  return r;
}

@compute @workgroup_size(WG)
fn attention_bwd_dkdv(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32,
) {
  let w = wid.x + wid.y * nwg.x;
  let first = (w / p_dkdv.kv_heads) * WG;
  if (first >= p_dkdv.tokens) { return; }
  let kv_head = w % p_dkdv.kv_heads;
  let group = p_dkdv.heads / p_dkdv.kv_heads;
  let cols = p_dkdv.head_dim / 4u;
  let j = min(first + t, p_dkdv.tokens - 1u);
  let at = (j * p_dkdv.kv_heads + kv_head) * cols;
  let n = lane % 4u;
  let key = k_own(at, n, cols);
  let value = v_own(at, n, cols);
  let j_end = seg_dkdv[j].w;
  let start = subgroupMin(j);
  let end = subgroupMax(j_end);
  var acc_k = Row();
  var acc_v = Row();
  for (var h = kv_head * group; h < (kv_head + 1u) * group; h++) {
    for (var i = start; i < end; i++) {
      let row = i * p_dkdv.heads + h;
      let stat = stats_dkdv[row];
      let query = q_shared(row * cols, n, cols);
      let dout = dout_shared(row * cols, n, cols);
      let prob = select(0.0, exp(row_dot(key, query) * p_dkdv.scale - stat.x), i >= j && i < j_end);
      let ds = prob * (row_dot(value, dout) - stat.y);
      acc_v = row_sum(acc_v, 1.0, dout, prob);
      acc_k = row_sum(acc_k, 1.0, query, ds);
    }
  }
  if (first + t >= p_dkdv.tokens) { return; }
  for (var c = 0u; c < cols; c++) {
    dk[at + c] = vec4<elem>(column(acc_k, c, n) * p_dkdv.scale);
    dv[at + c] = vec4<elem>(column(acc_v, c, n));
  }
}
