alias elem = f32;
// Forward pass for hardware; formulas, bindings and ranges as attention.wgsl. One workgroup per head and block of 32 query rows. Keys and values come
// in tiles of 32 through workgroup memory, 8 vec4 columns of the keys or as many vec4 of whole value rows at a time: what the next step needs is
// loaded while this one is summed, into the other of two buffers, so a step has one barrier.
// Threads lie as 2 parts x 8 x 8. Thread (part, y, x) makes the scores of rows y + 8 a with tile keys 16 part + x + 8 b, a < 4, b < 2, in registers,
// and leaves the weights in workgroup memory. Then it owns vec4 columns x + 8 g of its rows, of every value row that its part has of a step; the
// parts are added up at the end. A row's maximum is one for both parts, so adding is all.
// Blocks run from the last to the first: those that see most keys start first.
//
// For 32 multiply-adds of the scores a thread reads 6 vec4, for as many of the values 3 (head_dim 64).
// Pitches of keys and weights are odd in vec4: 8 threads that store along a row, or read 8 rows of one column, meet 32 banks.
// head_dim is a multiple of 4, at most 32 wide.

const LOWEST: f32 = -3.4028234e38;
const SIDE: u32 = 8u;
const PARTS: u32 = 2u;
const THREADS: u32 = SIDE * SIDE * PARTS;
/** Query rows of a block, and keys of a tile. */
const ROWS: u32 = 4u * SIDE;
const TILE: u32 = 2u * SIDE * PARTS;
/** vec4 columns of keys per step. */
const CHUNK: u32 = 8u;
const KEY_PITCH: u32 = TILE + 1u;
const WEIGHT_PITCH: u32 = SIDE + 1u;
const BUFFER: u32 = CHUNK * KEY_PITCH;

/** Groups of 8 vec4 columns of a head: 1, 2 or 4. */
override wide: u32 = 2u;
override columns: u32 = SIDE * wide;
/** Steps for the keys of a tile, and again for its values; value rows of a step, and of those a part's. */
override steps: u32 = columns / CHUNK;
override step_rows: u32 = TILE / steps;
override share: u32 = step_rows / PARTS;

struct Params { tokens: u32, heads: u32, kv_heads: u32, head_dim: u32, scale: f32 }

// queries[c * ROWS + r]: vec4 column c of row r. At the end, the sums of one part.
var<workgroup> queries: array<vec4f, columns * ROWS>;
// Keys: [c * KEY_PITCH + j], values: [j * columns + c].
var<workgroup> staged: array<vec4f, 2u * BUFFER>;
// weights[j * WEIGHT_PITCH + y][a]: tile key j, row y + 8 a.
var<workgroup> weights: array<vec4f, TILE * WEIGHT_PITCH>;
// partial[(part * SIDE + x) * WEIGHT_PITCH + y][a].
var<workgroup> partial: array<vec4f, PARTS * SIDE * WEIGHT_PITCH>;
var<workgroup> block_seg: array<vec4u, ROWS>;
var<workgroup> block_ranges: Ranges;

@group(0) @binding(0) var<storage, read_write> o: array<vec4<elem>>;
@group(0) @binding(1) var<storage, read_write> stats_out: array<vec2f>;
@group(0) @binding(2) var<storage, read> q: array<vec4<elem>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<elem>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<elem>>;
@group(0) @binding(5) var<storage, read> seg: array<vec4u>;
@group(0) @binding(6) var<uniform> p: Params;

/** Keys that a block can see: [x, y) and [z, w) of `seen`, as in attention.wgsl; from key `all` on, every row sees what is not behind it. */
struct Ranges { seen: vec4u, all: u32 }

fn key_ranges(t: u32, last: u32) -> Ranges {
  if (t == 0u) {
    var r = vec4u(0xffffffffu, 0u, 0xffffffffu, last + 1u);
    var all = 0u;
    for (var n = 0u; n < ROWS; n++) {
      let s = block_seg[n];
      if (s.x < s.y) { r = vec4u(min(r.x, s.x), max(r.y, s.y), r.zw); }
      r.z = min(r.z, s.z);
      all = max(all, s.z);
    }
    block_ranges = Ranges(vec4u(select(r.y, min(r.x, r.z), r.x < r.y), r.y, max(r.z, r.y), r.w), all);
  }
  return workgroupUniformLoad(&block_ranges);
}

/** A tile of keys: it begins at `key`, its range ends at `end`. */
struct Tile { key: u32, end: u32 }

fn tiles_of(start: u32, end: u32) -> u32 { return (max(end, start) - start + TILE - 1u) / TILE; }

fn tile_at(n: u32, first_tiles: u32, seen: vec4u) -> Tile {
  if (n < first_tiles) { return Tile(seen.x + n * TILE, seen.y); }
  return Tile(seen.z + (n - first_tiles) * TILE, seen.w);
}

/** Where the keys and values of a kv head lie: row j begins at vec4 base + j ld, of `cols` vec4. */
struct Lines { base: u32, ld: u32, cols: u32 }

/** What thread t brings of a step. */
struct Pair { a: vec4f, b: vec4f }

/** Beyond the end it is of the last row; beyond head_dim the last column, where queries are 0 and sums are not stored. */
fn key_of(e: u32, lines: Lines, at: Tile, step: u32) -> vec4f {
  let c = min(step * CHUNK + e % CHUNK, lines.cols - 1u);
  return vec4f(k[lines.base + min(at.key + e / CHUNK, at.end - 1u) * lines.ld + c]);
}

fn value_of(e: u32, lines: Lines, at: Tile, step: u32) -> vec4f {
  let c = min(e % columns, lines.cols - 1u);
  return vec4f(v[lines.base + min(at.key + step * step_rows + e / columns, at.end - 1u) * lines.ld + c]);
}

fn keys_of(lines: Lines, at: Tile, step: u32, t: u32) -> Pair {
  return Pair(key_of(t, lines, at, step), key_of(THREADS + t, lines, at, step));
}

fn values_of(lines: Lines, at: Tile, step: u32, t: u32) -> Pair {
  return Pair(value_of(t, lines, at, step), value_of(THREADS + t, lines, at, step));
}

fn keep_keys(buffer: u32, t: u32, next: Pair) {
  staged[buffer + t % CHUNK * KEY_PITCH + t / CHUNK] = next.a;
  staged[buffer + t % CHUNK * KEY_PITCH + (THREADS + t) / CHUNK] = next.b;
}

fn keep_values(buffer: u32, t: u32, next: Pair) {
  staged[buffer + t] = next.a;
  staged[buffer + THREADS + t] = next.b;
}

fn add4(s: f32, x: vec4f, w: vec4f) -> f32 { return s + x.x * w.x + x.y * w.y + x.z * w.z + x.w * w.w; }

fn add_row(s: vec2f, x: vec4f, w0: vec4f, w1: vec4f) -> vec2f { return vec2f(add4(s.x, x, w0), add4(s.y, x, w1)); }

/** Scores of four rows, a column each, with the thread's two keys: one vec4 of each more. */
fn add_rows(s: mat4x2f, x: mat4x4f, w0: vec4f, w1: vec4f) -> mat4x2f {
  return mat4x2f(add_row(s[0], x[0], w0, w1), add_row(s[1], x[1], w0, w1), add_row(s[2], x[2], w0, w1), add_row(s[3], x[3], w0, w1));
}

/** Scores of row i with keys j, LOWEST where it does not see them. */
fn seen_alone(s: vec2f, seg_i: vec4u, i: u32, j: vec2u, end: u32) -> vec2f {
  let seen = ((j >= vec2u(seg_i.x)) & (j < vec2u(seg_i.y))) | ((j >= vec2u(seg_i.z)) & (j <= vec2u(i)));
  return select(vec2f(LOWEST), s, seen & (j < vec2u(end)));
}

/** The same of block rows r + 8 a; the block begins at row `first`. */
fn rows_seen_alone(s: mat4x2f, r: u32, first: u32, j: vec2u, end: u32) -> mat4x2f {
  return mat4x2f(
    seen_alone(s[0], block_seg[r], first + r, j, end),
    seen_alone(s[1], block_seg[r + SIDE], first + r + SIDE, j, end),
    seen_alone(s[2], block_seg[r + 2u * SIDE], first + r + 2u * SIDE, j, end),
    seen_alone(s[3], block_seg[r + 3u * SIDE], first + r + 3u * SIDE, j, end),
  );
}

fn row_maxima(s: mat4x2f) -> vec4f { return vec4f(max(s[0].x, s[0].y), max(s[1].x, s[1].y), max(s[2].x, s[2].y), max(s[3].x, s[3].y)); }

/** exp(s - top) of the keys that are seen. */
fn row_weights(s: vec2f, top: f32) -> vec2f { return select(vec2f(), exp(s - top), s > vec2f(LOWEST)); }

/** Of four rows, a column for each key. */
fn weights_of(s: mat4x2f, top: vec4f) -> mat2x4f {
  return transpose(mat4x2f(row_weights(s[0], top.x), row_weights(s[1], top.y), row_weights(s[2], top.z), row_weights(s[3], top.w)));
}

// v x^T as columns v x[a].
fn outer(v: vec4f, x: vec4f) -> mat4x4f { return mat4x4f(v * x.x, v * x.y, v * x.z, v * x.w); }

fn scale_columns(m: mat4x4f, x: vec4f) -> mat4x4f { return mat4x4f(m[0] * x.x, m[1] * x.y, m[2] * x.z, m[3] * x.w); }

/** A matrix of sums of the nth thread of a part, to place g of its own in the memory of the queries, and from there. */
fn put_sums(g: u32, n: u32, sums: mat4x4f) {
  let at = 4u * g * SIDE * SIDE + n;
  queries[at] = sums[0];
  queries[at + SIDE * SIDE] = sums[1];
  queries[at + 2u * SIDE * SIDE] = sums[2];
  queries[at + 3u * SIDE * SIDE] = sums[3];
}

fn sums_at(g: u32, n: u32) -> mat4x4f {
  let at = 4u * g * SIDE * SIDE + n;
  return mat4x4f(queries[at], queries[at + SIDE * SIDE], queries[at + 2u * SIDE * SIDE], queries[at + 3u * SIDE * SIDE]);
}

/** One row of the result, vec4 columns x + 8 g of it. */
fn put_o(row: u32, x: u32, cols: u32, sums: mat4x4f, l: f32, lse: f32) {
  let at = row * cols + x;
  if (x < cols) { o[at] = vec4<elem>(sums[0] / l); }
  if (wide > 1u && x + 8u < cols) { o[at + 8u] = vec4<elem>(sums[1] / l); }
  if (wide > 2u && x + 16u < cols) { o[at + 16u] = vec4<elem>(sums[2] / l); }
  if (wide > 2u && x + 24u < cols) { o[at + 24u] = vec4<elem>(sums[3] / l); }
  if (x == 0u) { stats_out[row] = vec2f(lse, 0.0); }
}

/** Sums of four rows by group of columns. */
struct Sums { acc0: mat4x4f, acc1: mat4x4f, acc2: mat4x4f, acc3: mat4x4f }

/** Rows i + 8 a of head h, up to row `last`. */
fn put_rows(i: u32, h: u32, last: u32, x: u32, a: Sums, l: vec4f, m: vec4f) {
  let cols = p.head_dim / 4u;
  let lse = m + log(l);
  let row = i * p.heads + h;
  let next = SIDE * p.heads;
  if (i <= last) { put_o(row, x, cols, mat4x4f(a.acc0[0], a.acc1[0], a.acc2[0], a.acc3[0]), l.x, lse.x); }
  if (i + SIDE <= last) { put_o(row + next, x, cols, mat4x4f(a.acc0[1], a.acc1[1], a.acc2[1], a.acc3[1]), l.y, lse.y); }
  if (i + 2u * SIDE <= last) { put_o(row + 2u * next, x, cols, mat4x4f(a.acc0[2], a.acc1[2], a.acc2[2], a.acc3[2]), l.z, lse.z); }
  if (i + 3u * SIDE <= last) { put_o(row + 3u * next, x, cols, mat4x4f(a.acc0[3], a.acc1[3], a.acc2[3], a.acc3[3]), l.w, lse.w); }
}

@compute @workgroup_size(THREADS)
fn attention_fwd(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let w = wid.x + wid.y * nwg.x;
  let blocks = (p.tokens + ROWS - 1u) / ROWS;
  if (w >= blocks * p.heads) { return; }
  let first = (blocks - 1u - w / p.heads) * ROWS;
  let h = w % p.heads;
  let cols = p.head_dim / 4u;
  let last = min(first + ROWS, p.tokens) - 1u;
  let lines = Lines((h / (p.heads / p.kv_heads)) * cols, p.kv_heads * cols, cols);
  for (var e = t; e < columns * ROWS; e += THREADS) {
    let c = e % columns;
    var x = vec4f();
    if (c < cols) { x = vec4f(q[(min(first + e / columns, last) * p.heads + h) * cols + c]); }
    queries[c * ROWS + e / columns] = x;
  }
  if (t < ROWS) { block_seg[t] = seg[min(first + t, last)]; }
  workgroupBarrier();
  let ranges = key_ranges(t, last);
  let seen = ranges.seen;
  let first_tiles = tiles_of(seen.x, seen.y);
  let tiles = first_tiles + tiles_of(seen.z, seen.w);

  let x = t % SIDE;
  let y = t / SIDE % SIDE;
  let part = t / (SIDE * SIDE);
  let own_key = part * 2u * SIDE + x;
  let to_partial = (part * SIDE + x) * WEIGHT_PITCH + y;
  let to_weights = own_key * WEIGHT_PITCH + y;
  var m = vec4f(LOWEST);
  var l = vec4f();
  var acc0 = mat4x4f();
  var acc1 = mat4x4f();
  var acc2 = mat4x4f();
  var acc3 = mat4x4f();
  var at = tile_at(0u, first_tiles, seen);
  var next = keys_of(lines, at, 0u, t);
  for (var n = 0u; n < tiles; n++) {
    var s = mat4x2f();
    for (var step = 0u; step < steps; step++) {
      let buffer = step % 2u * BUFFER;
      keep_keys(buffer, t, next);
      workgroupBarrier();
      if (step + 1u < steps) { next = keys_of(lines, at, step + 1u, t); } else { next = values_of(lines, at, 0u, t); }
      for (var c = 0u; c < CHUNK; c++) {
        let key = buffer + c * KEY_PITCH + own_key;
        let row = (step * CHUNK + c) * ROWS + y;
        let rows = mat4x4f(queries[row], queries[row + SIDE], queries[row + 2u * SIDE], queries[row + 3u * SIDE]);
        s = add_rows(s, rows, staged[key], staged[key + SIDE]);
      }
    }
    s *= p.scale;
    // Not so of a tile that every row sees whole.
    if (at.key < ranges.all || at.key + TILE > first + 1u) {
      let j = at.key + own_key + vec2u(0u, SIDE);
      s = rows_seen_alone(s, y, first, j, at.end);
    }
    partial[to_partial] = row_maxima(s);
    workgroupBarrier();
    var top = m;
    for (var u = 0u; u < PARTS * SIDE; u++) { top = max(top, partial[u * WEIGHT_PITCH + y]); }
    let factor = exp(m - top);
    m = top;
    let e = weights_of(s, top);
    l = l * factor + (e[0] + e[1]);
    weights[to_weights] = e[0];
    weights[to_weights + SIDE * WEIGHT_PITCH] = e[1];
    acc0 = scale_columns(acc0, factor);
    if (wide > 1u) { acc1 = scale_columns(acc1, factor); }
    if (wide > 2u) {
      acc2 = scale_columns(acc2, factor);
      acc3 = scale_columns(acc3, factor);
    }
    let following = tile_at(n + 1u, first_tiles, seen);
    for (var step = 0u; step < steps; step++) {
      let buffer = (steps + step) % 2u * BUFFER;
      keep_values(buffer, t, next);
      // The weights are there, too.
      workgroupBarrier();
      if (step + 1u < steps) {
        next = values_of(lines, at, step + 1u, t);
      } else if (n + 1u < tiles) {
        next = keys_of(lines, following, 0u, t);
      }
      for (var r = 0u; r < share; r++) {
        let w = weights[(step * step_rows + part * share + r) * WEIGHT_PITCH + y];
        let value = buffer + (part * share + r) * columns + x;
        acc0 += outer(staged[value], w);
        if (wide > 1u) { acc1 += outer(staged[value + 8u], w); }
        if (wide > 2u) {
          acc2 += outer(staged[value + 16u], w);
          acc3 += outer(staged[value + 24u], w);
        }
      }
    }
    at = following;
  }

  partial[to_partial] = l;
  workgroupBarrier();
  l = vec4f();
  for (var u = 0u; u < PARTS * SIDE; u++) { l += partial[u * WEIGHT_PITCH + y]; }
  let mate = t % (SIDE * SIDE);
  if (part > 0u) {
    put_sums(0u, mate, acc0);
    if (wide > 1u) { put_sums(1u, mate, acc1); }
    if (wide > 2u) {
      put_sums(2u, mate, acc2);
      put_sums(3u, mate, acc3);
    }
  }
  workgroupBarrier();
  if (part > 0u) { return; }
  acc0 += sums_at(0u, mate);
  if (wide > 1u) { acc1 += sums_at(1u, mate); }
  if (wide > 2u) {
    acc2 += sums_at(2u, mate);
    acc3 += sums_at(3u, mate);
  }
  put_rows(first + y, h, last, x, Sums(acc0, acc1, acc2, acc3), l, m);
}
