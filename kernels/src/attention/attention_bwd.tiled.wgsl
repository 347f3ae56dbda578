alias elem = f32;
// Backward of attention for GPUs: formulas, bindings and ranges as attention.wgsl, both sides in workgroup memory, head_dim = 4 cols exactly.
// A workgroup takes a block of 32 rows (queries; keys in dkdv_parts) and streams the other side in tiles of 32. It is two teams of 8 x 8 threads.
// Team 0 makes the scores of block and tile, team 1 do.v of the same pairs: the same loop over other rows. In both, thread (y, x) has block rows
// y + 8 a and tile rows x + 8 b in a matrix [b][a]. Team 0 puts the probabilities into workgroup memory, team 1 makes the gradients of the scores of
// them. Then each team sums dv or dk over the tile; for dq each sums over half of it. Of the result a thread has vec4 columns x + 8 g of its rows.
// Rows are staged `chunk` vec4 columns at a time. Where that is a whole row, a block is loaded once and tiles are summed from workgroup memory; where
// it is less, a block is loaded again for each tile and the sums read the tile from where the caches have it.
// `slices` workgroups share the tiles of a block by turns, and all query heads of a kv head have workgroups of their own: what they sum lies in
// `parts` until a second pass adds it up in order. No atomics on floats: reruns are bit-equal.
// Indices of workgroup memory are sums of what / and % bound, in which Dawn sees that they are in range; it clamps others at each access.

/** Threads of a team along the block and along the tile, with 4 rows of each. */
const SIDE: u32 = 8u;
const ROWS: u32 = 4u * SIDE;
const TEAM: u32 = SIDE * SIDE;
const THREADS: u32 = 2u * TEAM;
/** One more than a power of two: neighbouring threads read neighbouring rows without bank conflicts. */
const WEIGHT_STRIDE: u32 = SIDE + 1u;
/** Threads of a workgroup of the second pass. */
const SUM_THREADS: u32 = 64u;

/** vec4 columns of a head, 8, 16 or 32, and those staged at a time. */
override cols: u32 = 16u;
override chunk: u32 = 16u;
override slices: u32 = 1u;

override stride: u32 = chunk + 1u;
/** vec4 columns of the result per thread, 1, 2 or 4. */
override groups: u32 = cols / SIDE;

struct Params { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32 }

/** Rows of team 0, then of team 1: q and do, k and v. */
var<workgroup> block_rows: array<vec4f, 2u * ROWS * stride>;
var<workgroup> tile_rows: array<vec4f, 2u * ROWS * stride>;
// [j * WEIGHT_STRIDE + y][a]: tile row j, block row y + 8 a.
var<workgroup> weights: array<vec4f, ROWS * WEIGHT_STRIDE>;
var<workgroup> gradients: array<vec4f, ROWS * WEIGHT_STRIDE>;
/** Bounds as largest values: ~ of a least one. */
var<workgroup> bounds: array<atomic<u32>, 3>;
var<workgroup> ranges: vec4u;

/** Column a is block row y + 8 a; by group of columns. */
struct Sums { g0: mat4x4f, g1: mat4x4f, g2: mat4x4f, g3: mat4x4f }

/** Neighbours share a row of the tile, next neighbours one of the block: such loads of vec4 are put together. */
fn column_of(t: u32) -> u32 { return t / 2u % SIDE; }
fn row_of(t: u32) -> u32 { return t % TEAM / (2u * SIDE) * 2u + t % 2u; }

/** v x^T as columns v x[a]. */
fn outer(v: vec4f, x: vec4f) -> mat4x4f { return mat4x4f(v * x.x, v * x.y, v * x.z, v * x.w); }

/** s and thread t's products of one staged chunk. Written out so that each term is a multiply-add. */
fn products(s: mat4x4f, t: u32) -> mat4x4f {
  let side = t / TEAM % 2u;
  let block_at = (side * ROWS + t % TEAM / (2u * SIDE) * 2u + t % 2u) * stride;
  let tile_at = (side * ROWS + t / 2u % SIDE) * stride;
  var s0 = s[0];
  var s1 = s[1];
  var s2 = s[2];
  var s3 = s[3];
  for (var c = 0u; c < chunk; c++) {
    let t0 = tile_rows[tile_at + c];
    let t1 = tile_rows[tile_at + SIDE * stride + c];
    let t2 = tile_rows[tile_at + 2u * SIDE * stride + c];
    let t3 = tile_rows[tile_at + 3u * SIDE * stride + c];
    let rows = transpose(mat4x4f(
      block_rows[block_at + c], block_rows[block_at + SIDE * stride + c],
      block_rows[block_at + 2u * SIDE * stride + c], block_rows[block_at + 3u * SIDE * stride + c],
    ));
    s0 = s0 + rows[0] * t0.x + rows[1] * t0.y + rows[2] * t0.z + rows[3] * t0.w;
    s1 = s1 + rows[0] * t1.x + rows[1] * t1.y + rows[2] * t1.z + rows[3] * t1.w;
    s2 = s2 + rows[0] * t2.x + rows[1] * t2.y + rows[2] * t2.z + rows[3] * t2.w;
    s3 = s3 + rows[0] * t3.x + rows[1] * t3.y + rows[2] * t3.z + rows[3] * t3.w;
  }
  return mat4x4f(s0, s1, s2, s3);
}

@group(0) @binding(0) var<storage, read_write> dq: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read> dout_dq: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> stats_dq: array<vec2f>;
@group(0) @binding(6) var<storage, read> seg_dq: array<vec4u>;
@group(0) @binding(7) var<uniform> p_dq: Params;
/** (slices, tokens, heads, cols) */
@group(0) @binding(8) var<storage, read_write> parts_dq: array<vec4f>;

/** As key_ranges of attention.wgsl: the keys that queries first .. last can see, [x, y) and [z, w). */
fn key_ranges(first: u32, last: u32, t: u32) -> vec4u {
  if (t < ROWS && first + t <= last) {
    let s = seg_dq[first + t];
    if (s.x < s.y) {
      atomicMax(&bounds[0], ~s.x);
      atomicMax(&bounds[1], s.y);
    }
    atomicMax(&bounds[2], ~s.z);
  }
  workgroupBarrier();
  if (t == 0u) {
    let start = ~atomicLoad(&bounds[0]);
    let end = atomicLoad(&bounds[1]);
    let own = ~atomicLoad(&bounds[2]);
    ranges = vec4u(select(end, min(start, own), start < end), end, max(own, end), last + 1u);
  }
  return workgroupUniformLoad(&ranges);
}

fn fill_queries(first: u32, last: u32, h: u32, c0: u32, t: u32) {
  for (var n = 0u; n < ROWS * chunk / THREADS; n++) {
    let r = (n * THREADS + t % THREADS) / chunk;
    let c = t % chunk;
    let at = (min(first + r, last) * p_dq.heads + h) * cols + c0 + c;
    block_rows[r * stride + c] = vec4f(q[at]);
    block_rows[(ROWS + r) * stride + c] = vec4f(dout_dq[at]);
  }
}

fn fill_keys(first: u32, end: u32, head: u32, c0: u32, t: u32) {
  for (var n = 0u; n < ROWS * chunk / THREADS; n++) {
    let r = (n * THREADS + t % THREADS) / chunk;
    let c = t % chunk;
    let at = (min(first + r, end - 1u) * p_dq.kv_heads + head) * cols + c0 + c;
    tile_rows[r * stride + c] = vec4f(k[at]);
    tile_rows[(ROWS + r) * stride + c] = vec4f(v[at]);
  }
}

/** lse of four rows; their delta. */
fn query_stats(i: vec4u, h: u32, want_delta: bool) -> vec4f {
  let row = i * p_dq.heads + h;
  let stat = transpose(mat4x2f(stats_dq[row.x], stats_dq[row.y], stats_dq[row.z], stats_dq[row.w]));
  return select(stat[0], stat[1], want_delta);
}

/** Probabilities of key j for queries i, 0 where they do not see it or it is none. seg: of each query prefix_start, prefix_end, seg_start. */
fn key_probability(s: vec4f, lse: vec4f, seg: array<vec4u, 3>, i: vec4u, j: u32, end: u32) -> vec4f {
  let key = vec4u(j);
  let sees = ((key >= seg[0]) & (key < seg[1])) | ((key >= seg[2]) & (key <= i));
  return select(vec4f(), exp(s * p_dq.scale - lse), sees & (key < vec4u(end)));
}

/** Team 0: its probabilities of queries i into workgroup memory. */
fn put_key_probabilities(s: mat4x4f, lse: vec4f, i: vec4u, key: u32, end: u32, t: u32) {
  let x = t / 2u % SIDE;
  let at = x * WEIGHT_STRIDE + t % TEAM / (2u * SIDE) * 2u + t % 2u;
  let a = seg_dq[i.x];
  let b = seg_dq[i.y];
  let d = seg_dq[i.z];
  let e = seg_dq[i.w];
  let seg = array<vec4u, 3>(vec4u(a.x, b.x, d.x, e.x), vec4u(a.y, b.y, d.y, e.y), vec4u(a.z, b.z, d.z, e.z));
  weights[at] = key_probability(s[0], lse, seg, i, key + x, end);
  weights[at + SIDE * WEIGHT_STRIDE] = key_probability(s[1], lse, seg, i, key + x + SIDE, end);
  weights[at + 2u * SIDE * WEIGHT_STRIDE] = key_probability(s[2], lse, seg, i, key + x + 2u * SIDE, end);
  weights[at + 3u * SIDE * WEIGHT_STRIDE] = key_probability(s[3], lse, seg, i, key + x + 3u * SIDE, end);
}

/** Team 1: probabilities become gradients of scores. */
fn scale_probabilities(dp: mat4x4f, delta: vec4f, t: u32) {
  let at = t / 2u % SIDE * WEIGHT_STRIDE + t % TEAM / (2u * SIDE) * 2u + t % 2u;
  weights[at] *= dp[0] - delta;
  weights[at + SIDE * WEIGHT_STRIDE] *= dp[1] - delta;
  weights[at + 2u * SIDE * WEIGHT_STRIDE] *= dp[2] - delta;
  weights[at + 3u * SIDE * WEIGHT_STRIDE] *= dp[3] - delta;
}

/** The sum of the other team comes over to team 0 through workgroup memory. */
fn with_other_team(sum: mat4x4f, t: u32) -> mat4x4f {
  let lane = t % TEAM;
  workgroupBarrier();
  if (t >= TEAM) {
    block_rows[lane] = sum[0];
    block_rows[TEAM + lane] = sum[1];
    block_rows[2u * TEAM + lane] = sum[2];
    block_rows[3u * TEAM + lane] = sum[3];
  }
  workgroupBarrier();
  return sum + mat4x4f(block_rows[lane], block_rows[TEAM + lane], block_rows[2u * TEAM + lane], block_rows[3u * TEAM + lane]);
}

/** What the tiles slice, slice + slices, ... add to dq of head h and queries first .. last, without the scale; whole in team 0. */
fn dq_sums(first: u32, last: u32, h: u32, slice: u32, t: u32) -> Sums {
  let side = t / TEAM % 2u;
  let x = t / 2u % SIDE;
  let y = t % TEAM / (2u * SIDE) * 2u + t % 2u;
  let head = h / (p_dq.heads / p_dq.kv_heads);
  let i = min(vec4u(first + y) + SIDE * vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let stat = query_stats(i, h, side == 1u);
  let range = key_ranges(first, last, t);
  let prefix_tiles = (range.y - range.x + ROWS - 1u) / ROWS;
  let all_tiles = prefix_tiles + (range.w - range.z + ROWS - 1u) / ROWS;
  var g0 = mat4x4f();
  var g1 = mat4x4f();
  var g2 = mat4x4f();
  var g3 = mat4x4f();
  if (chunk == cols) { fill_queries(first, last, h, 0u, t); }
  for (var n = slice; n < all_tiles; n += slices) {
    let in_prefix = n < prefix_tiles;
    let key = select(range.z + (n - prefix_tiles) * ROWS, range.x + n * ROWS, in_prefix);
    let end = select(range.w, range.y, in_prefix);
    var s = mat4x4f();
    for (var c0 = 0u; c0 < cols; c0 += chunk) {
      workgroupBarrier();
      if (chunk < cols) { fill_queries(first, last, h, c0, t); }
      fill_keys(key, end, head, c0, t);
      workgroupBarrier();
      s = products(s, t);
    }
    if (side == 0u) { put_key_probabilities(s, stat, i, key, end, t); }
    workgroupBarrier();
    if (side == 1u) { scale_probabilities(s, stat, t); }
    workgroupBarrier();
    for (var u = 0u; u < ROWS / 2u; u++) {
      let r = 2u * u + side;
      let w = weights[r * WEIGHT_STRIDE + y];
      if (chunk == cols) {
        let at = r * stride + x;
        g0 += outer(tile_rows[at], w);
        if (groups > 1u) { g1 += outer(tile_rows[at + SIDE], w); }
        if (groups > 2u) {
          g2 += outer(tile_rows[at + 2u * SIDE], w);
          g3 += outer(tile_rows[at + 3u * SIDE], w);
        }
      } else {
        let at = (min(key + r, end - 1u) * p_dq.kv_heads + head) * cols + x;
        g0 += outer(vec4f(k[at]), w);
        if (groups > 1u) { g1 += outer(vec4f(k[at + SIDE]), w); }
        if (groups > 2u) {
          g2 += outer(vec4f(k[at + 2u * SIDE]), w);
          g3 += outer(vec4f(k[at + 3u * SIDE]), w);
        }
      }
    }
  }
  g0 = with_other_team(g0, t);
  if (groups > 1u) { g1 = with_other_team(g1, t); }
  if (groups > 2u) {
    g2 = with_other_team(g2, t);
    g3 = with_other_team(g3, t);
  }
  return Sums(g0, g1, g2, g3);
}

/** Column `col` of rows i, i + 8, i + 16, i + 24, scaled. */
fn put_dq(sums: mat4x4f, i: u32, last: u32, h: u32, col: u32) {
  let step = SIDE * p_dq.heads * cols;
  let at = (i * p_dq.heads + h) * cols + col;
  if (i <= last) { dq[at] = vec4<elem>(sums[0] * p_dq.scale); }
  if (i + SIDE <= last) { dq[at + step] = vec4<elem>(sums[1] * p_dq.scale); }
  if (i + 2u * SIDE <= last) { dq[at + 2u * step] = vec4<elem>(sums[2] * p_dq.scale); }
  if (i + 3u * SIDE <= last) { dq[at + 3u * step] = vec4<elem>(sums[3] * p_dq.scale); }
}

/** The last block, which sees most, comes first. */
@compute @workgroup_size(THREADS)
fn attention_bwd_dq(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let blocks = (p_dq.tokens + ROWS - 1u) / ROWS;
  if (w >= blocks * p_dq.heads) { return; }
  let first = (blocks - 1u - w / p_dq.heads) * ROWS;
  let last = min(first + ROWS, p_dq.tokens) - 1u;
  let h = w % p_dq.heads;
  let s = dq_sums(first, last, h, 0u, t);
  if (t >= TEAM) { return; }
  let x = column_of(t);
  let i = first + row_of(t);
  put_dq(s.g0, i, last, h, x);
  if (groups > 1u) { put_dq(s.g1, i, last, h, x + SIDE); }
  if (groups > 2u) {
    put_dq(s.g2, i, last, h, x + 2u * SIDE);
    put_dq(s.g3, i, last, h, x + 3u * SIDE);
  }
}

fn put_dq_part(sums: mat4x4f, i: u32, last: u32, h: u32, slice: u32, col: u32) {
  let step = SIDE * p_dq.heads * cols;
  let at = ((slice * p_dq.tokens + i) * p_dq.heads + h) * cols + col;
  if (i <= last) { parts_dq[at] = sums[0]; }
  if (i + SIDE <= last) { parts_dq[at + step] = sums[1]; }
  if (i + 2u * SIDE <= last) { parts_dq[at + 2u * step] = sums[2]; }
  if (i + 3u * SIDE <= last) { parts_dq[at + 3u * step] = sums[3]; }
}

@compute @workgroup_size(THREADS)
fn dq_parts(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let blocks = (p_dq.tokens + ROWS - 1u) / ROWS;
  let each = p_dq.heads * slices;
  if (w >= blocks * each) { return; }
  let first = (blocks - 1u - w / each) * ROWS;
  let last = min(first + ROWS, p_dq.tokens) - 1u;
  let h = w % p_dq.heads;
  let slice = w / p_dq.heads % slices;
  let s = dq_sums(first, last, h, slice, t);
  if (t >= TEAM) { return; }
  let x = column_of(t);
  let i = first + row_of(t);
  put_dq_part(s.g0, i, last, h, slice, x);
  if (groups > 1u) { put_dq_part(s.g1, i, last, h, slice, x + SIDE); }
  if (groups > 2u) {
    put_dq_part(s.g2, i, last, h, slice, x + 2u * SIDE);
    put_dq_part(s.g3, i, last, h, slice, x + 3u * SIDE);
  }
}

/** A thread per vec4 of dq. */
@compute @workgroup_size(SUM_THREADS)
fn dq_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = (wid.x + wid.y * nwg.x) * SUM_THREADS + t;
  let n = p_dq.tokens * p_dq.heads * cols;
  if (e >= n) { return; }
  var sum = vec4f();
  for (var s = 0u; s < slices; s++) { sum += parts_dq[s * n + e]; }
  dq[e] = vec4<elem>(sum * p_dq.scale);
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
/** (2: dv and dk, heads / kv_heads, slices, tokens, kv_heads, cols) */
@group(0) @binding(9) var<storage, read_write> parts_dkdv: array<vec4f>;

fn fill_own_keys(first: u32, last: u32, head: u32, c0: u32, t: u32) {
  for (var n = 0u; n < ROWS * chunk / THREADS; n++) {
    let r = (n * THREADS + t % THREADS) / chunk;
    let c = t % chunk;
    let at = (min(first + r, last) * p_dkdv.kv_heads + head) * cols + c0 + c;
    block_rows[r * stride + c] = vec4f(k_dkdv[at]);
    block_rows[(ROWS + r) * stride + c] = vec4f(v_dkdv[at]);
  }
}

fn fill_other_queries(first: u32, end: u32, h: u32, c0: u32, t: u32) {
  for (var n = 0u; n < ROWS * chunk / THREADS; n++) {
    let r = (n * THREADS + t % THREADS) / chunk;
    let c = t % chunk;
    let at = (min(first + r, end - 1u) * p_dkdv.heads + h) * cols + c0 + c;
    tile_rows[r * stride + c] = vec4f(q_dkdv[at]);
    tile_rows[(ROWS + r) * stride + c] = vec4f(dout_dkdv[at]);
  }
}

/** Probabilities of query i for keys j, 0 where it does not see them; a query that is none is beyond every end. */
fn query_probability(s: vec4f, lse: f32, i: u32, j: vec4u, ends: vec4u) -> vec4f {
  return select(vec4f(), exp(s * p_dkdv.scale - lse), (vec4u(i) >= j) & (vec4u(i) < ends));
}

/** As put_key_probabilities. */
fn put_query_probabilities(s: mat4x4f, lse: vec4f, i: vec4u, j: vec4u, ends: vec4u, t: u32) {
  let at = t / 2u % SIDE * WEIGHT_STRIDE + t % TEAM / (2u * SIDE) * 2u + t % 2u;
  weights[at] = query_probability(s[0], lse.x, i.x, j, ends);
  weights[at + SIDE * WEIGHT_STRIDE] = query_probability(s[1], lse.y, i.y, j, ends);
  weights[at + 2u * SIDE * WEIGHT_STRIDE] = query_probability(s[2], lse.z, i.z, j, ends);
  weights[at + 3u * SIDE * WEIGHT_STRIDE] = query_probability(s[3], lse.w, i.w, j, ends);
}

/** Team 1: gradients of scores beside the probabilities. */
fn put_gradients(dp: mat4x4f, delta: vec4f, t: u32) {
  let at = t / 2u % SIDE * WEIGHT_STRIDE + t % TEAM / (2u * SIDE) * 2u + t % 2u;
  gradients[at] = weights[at] * (dp[0] - delta.x);
  gradients[at + SIDE * WEIGHT_STRIDE] = weights[at + SIDE * WEIGHT_STRIDE] * (dp[1] - delta.y);
  gradients[at + 2u * SIDE * WEIGHT_STRIDE] = weights[at + 2u * SIDE * WEIGHT_STRIDE] * (dp[2] - delta.z);
  gradients[at + 3u * SIDE * WEIGHT_STRIDE] = weights[at + 3u * SIDE * WEIGHT_STRIDE] * (dp[3] - delta.w);
}

/** dv (team 0) and dk without the scale (team 1) of keys first .. last, from query head h and the tiles slice, slice + slices, ... */
fn dkdv_sums(first: u32, last: u32, h: u32, slice: u32, t: u32) -> Sums {
  let side = t / TEAM % 2u;
  let x = t / 2u % SIDE;
  let y = t % TEAM / (2u * SIDE) * 2u + t % 2u;
  let head = h / (p_dkdv.heads / p_dkdv.kv_heads);
  let j = min(vec4u(first + y) + SIDE * vec4u(0u, 1u, 2u, 3u), vec4u(last));
  let ends = vec4u(seg_dkdv[j.x].w, seg_dkdv[j.y].w, seg_dkdv[j.z].w, seg_dkdv[j.w].w);
  if (t < ROWS && first + t <= last) { atomicMax(&bounds[0], seg_dkdv[first + t].w); }
  workgroupBarrier();
  if (t == 0u) { ranges = vec4u(atomicLoad(&bounds[0])); }
  let end = workgroupUniformLoad(&ranges).x;
  var g0 = mat4x4f();
  var g1 = mat4x4f();
  var g2 = mat4x4f();
  var g3 = mat4x4f();
  if (chunk == cols) { fill_own_keys(first, last, head, 0u, t); }
  for (var query = first + slice * ROWS; query < end; query += slices * ROWS) {
    let i = vec4u(query + x) + SIDE * vec4u(0u, 1u, 2u, 3u);
    let row = min(i, vec4u(end - 1u)) * p_dkdv.heads + h;
    let both = transpose(mat4x2f(stats_dkdv[row.x], stats_dkdv[row.y], stats_dkdv[row.z], stats_dkdv[row.w]));
    let stat = select(both[0], both[1], side == 1u);
    var s = mat4x4f();
    for (var c0 = 0u; c0 < cols; c0 += chunk) {
      workgroupBarrier();
      if (chunk < cols) { fill_own_keys(first, last, head, c0, t); }
      fill_other_queries(query, end, h, c0, t);
      workgroupBarrier();
      s = products(s, t);
    }
    if (side == 0u) { put_query_probabilities(s, stat, i, j, ends, t); }
    workgroupBarrier();
    if (side == 1u) { put_gradients(s, stat, t); }
    workgroupBarrier();
    if (side == 0u) {
      for (var r = 0u; r < ROWS; r++) {
        let w = weights[r * WEIGHT_STRIDE + y];
        if (chunk == cols) {
          let at = (ROWS + r) * stride + x;
          g0 += outer(tile_rows[at], w);
          if (groups > 1u) { g1 += outer(tile_rows[at + SIDE], w); }
          if (groups > 2u) {
            g2 += outer(tile_rows[at + 2u * SIDE], w);
            g3 += outer(tile_rows[at + 3u * SIDE], w);
          }
        } else {
          let at = (min(query + r, end - 1u) * p_dkdv.heads + h) * cols + x;
          g0 += outer(vec4f(dout_dkdv[at]), w);
          if (groups > 1u) { g1 += outer(vec4f(dout_dkdv[at + SIDE]), w); }
          if (groups > 2u) {
            g2 += outer(vec4f(dout_dkdv[at + 2u * SIDE]), w);
            g3 += outer(vec4f(dout_dkdv[at + 3u * SIDE]), w);
          }
        }
      }
    } else {
      for (var r = 0u; r < ROWS; r++) {
        let w = gradients[r * WEIGHT_STRIDE + y];
        if (chunk == cols) {
          let at = r * stride + x;
          g0 += outer(tile_rows[at], w);
          if (groups > 1u) { g1 += outer(tile_rows[at + SIDE], w); }
          if (groups > 2u) {
            g2 += outer(tile_rows[at + 2u * SIDE], w);
            g3 += outer(tile_rows[at + 3u * SIDE], w);
          }
        } else {
          let at = (min(query + r, end - 1u) * p_dkdv.heads + h) * cols + x;
          g0 += outer(vec4f(q_dkdv[at]), w);
          if (groups > 1u) { g1 += outer(vec4f(q_dkdv[at + SIDE]), w); }
          if (groups > 2u) {
            g2 += outer(vec4f(q_dkdv[at + 2u * SIDE]), w);
            g3 += outer(vec4f(q_dkdv[at + 3u * SIDE]), w);
          }
        }
      }
    }
  }
  return Sums(g0, g1, g2, g3);
}

fn put_dkdv_part(sums: mat4x4f, j: u32, last: u32, head: u32, part: u32, col: u32) {
  let step = SIDE * p_dkdv.kv_heads * cols;
  let at = ((part * p_dkdv.tokens + j) * p_dkdv.kv_heads + head) * cols + col;
  if (j <= last) { parts_dkdv[at] = sums[0]; }
  if (j + SIDE <= last) { parts_dkdv[at + step] = sums[1]; }
  if (j + 2u * SIDE <= last) { parts_dkdv[at + 2u * step] = sums[2]; }
  if (j + 3u * SIDE <= last) { parts_dkdv[at + 3u * step] = sums[3]; }
}

/** The first block, which most queries see, comes first. */
@compute @workgroup_size(THREADS)
fn dkdv_parts(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let each = p_dkdv.heads * slices;
  let first = w / each * ROWS;
  if (first >= p_dkdv.tokens) { return; }
  let last = min(first + ROWS, p_dkdv.tokens) - 1u;
  let h = w % p_dkdv.heads;
  let slice = w / p_dkdv.heads % slices;
  let of_head = p_dkdv.heads / p_dkdv.kv_heads;
  let head = h / of_head;
  let s = dkdv_sums(first, last, h, slice, t);
  let part = (t / TEAM * of_head + h % of_head) * slices + slice;
  let x = column_of(t);
  let j = first + row_of(t);
  put_dkdv_part(s.g0, j, last, head, part, x);
  if (groups > 1u) { put_dkdv_part(s.g1, j, last, head, part, x + SIDE); }
  if (groups > 2u) {
    put_dkdv_part(s.g2, j, last, head, part, x + 2u * SIDE);
    put_dkdv_part(s.g3, j, last, head, part, x + 3u * SIDE);
  }
}

/** A thread per vec4 of dv, then of dk. */
@compute @workgroup_size(SUM_THREADS)
fn dkdv_sum(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let e = (wid.x + wid.y * nwg.x) * SUM_THREADS + t;
  let n = p_dkdv.tokens * p_dkdv.kv_heads * cols;
  if (e >= 2u * n) { return; }
  let count = p_dkdv.heads / p_dkdv.kv_heads * slices;
  let keys = e >= n;
  let at = select(e, e - n, keys);
  let first = select(0u, count, keys);
  var sum = vec4f();
  for (var s = 0u; s < count; s++) { sum += parts_dkdv[(first + s) * n + at]; }
  if (keys) { dk[at] = vec4<elem>(sum * p_dkdv.scale); } else { dv[at] = vec4<elem>(sum); }
}
