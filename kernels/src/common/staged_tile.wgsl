// Tile of a product whose operands both run along k, for hardware and few outputs (decoding): lines of a and b, `turn` vec4 of k each, are brought to
// workgroup memory by loads along k. 64 threads, 8 x 8; each owns `tall` rows, `wide` columns that lie 8 apart, and walks k front to back as the
// 64 x 64 tiles do: same bits, so rows do not show how many share their launch. What the next turn needs is loaded while this one is summed.
// The including file declares line_of_a(at, q), line_of_b(at, q): vec4 q of the line of row at.y, column at.x, the last one beyond the edge. A
// place is the tile's first column, its first row and the batch.
//
// Counted for 32 threads and banks of 4 bytes, not measured: a load of 32 threads reads 4 cache lines whole. Lines lie turn + 1 vec4 apart, an odd
// number: 8 threads that store along k, or read 8 lines at one k, meet 32 banks.

/** Rows and columns of a thread, 1 or 4; vec4 of a line per turn: 8, 16 or 32. Of 8 (tall + wide) lines, 640 at the most. */
override tall: u32 = 1u;
override wide: u32 = 1u;
override turn: u32 = 32u;

/** 40 lines of 16 + 1; 16 of 32 + 1 and 64 of 8 + 1 are fewer. 10.6 KiB. */
var<workgroup> lines: array<vec4f, 680>;

/** Loads of a thread per turn: 10 at the most. */
override parts: u32 = (tall + wide) * turn / 8u;

/** The vec4 that thread t brings as its `part`, l vec4 into `depth` of them; 0 past the end. The lines of a come first. */
fn part_of(part: u32, place: vec3u, l: u32, depth: u32, t: u32) -> vec4f {
  if (part >= parts) { return vec4f(); }
  let line = (64u * part + t) / turn;
  let at = l + t % turn;
  if (at >= depth) { return vec4f(); }
  if (part < tall * turn / 8u) { return line_of_a(vec3u(place.x, place.y + line, place.z), at); }
  return line_of_b(vec3u(place.x + line - 8u * tall, place.yz), at);
}

/** All parts of a turn, at constant places: an array that a loop indexes need not stay in registers. */
fn parts_of(place: vec3u, l: u32, depth: u32, t: u32) -> array<vec4f, 10> {
  return array<vec4f, 10>(
    part_of(0u, place, l, depth, t), part_of(1u, place, l, depth, t), part_of(2u, place, l, depth, t), part_of(3u, place, l, depth, t),
    part_of(4u, place, l, depth, t), part_of(5u, place, l, depth, t), part_of(6u, place, l, depth, t), part_of(7u, place, l, depth, t),
    part_of(8u, place, l, depth, t), part_of(9u, place, l, depth, t),
  );
}

fn keep(part: u32, t: u32, value: vec4f) {
  if (part >= parts) { return; }
  lines[(64u * part + t) / turn * (turn + 1u) + t % turn] = value;
}

fn keep_all(t: u32, v: array<vec4f, 10>) {
  keep(0u, t, v[0]); keep(1u, t, v[1]); keep(2u, t, v[2]); keep(3u, t, v[3]); keep(4u, t, v[4]);
  keep(5u, t, v[5]); keep(6u, t, v[6]); keep(7u, t, v[7]); keep(8u, t, v[8]); keep(9u, t, v[9]);
}

/** One vec4 of `count` lines, 8 lines apart. */
fn every_eighth(at: u32, count: u32) -> mat4x4f {
  if (count == 1u) { return mat4x4f(lines[at], vec4f(), vec4f(), vec4f()); }
  let next = 8u * (turn + 1u);
  return mat4x4f(lines[at], lines[at + next], lines[at + 2u * next], lines[at + 3u * next]);
}

fn add4(s: f32, x: vec4f, w: vec4f) -> f32 { return fma(x.w, w.w, fma(x.z, w.z, fma(x.y, w.y, fma(x.x, w.x, s)))); }

fn add_row(s: vec4f, x: vec4f, w: mat4x4f) -> vec4f {
  if (wide == 1u) { return vec4f(add4(s.x, x, w[0]), 0.0, 0.0, 0.0); }
  return vec4f(add4(s.x, x, w[0]), add4(s.y, x, w[1]), add4(s.z, x, w[2]), add4(s.w, x, w[3]));
}

/**
 * Which tile a workgroup has, of m rows and n columns; past the last one, a batch that is not there. Row blocks are neighbours: they read the same
 * part of b, the weights.
 */
fn staged_place(index: u32, m: u32, n: u32) -> vec3u {
  let rows = 8u * tall;
  let columns = 8u * wide;
  let across = (n + columns - 1u) / columns;
  let down = (m + rows - 1u) / rows;
  return vec3u(index / down % across * columns, index % down * rows, index / down / across);
}

/** Thread t's sums over `depth` vec4 of k: [e / wide][e % wide] is row staged_row(t, e), column staged_column(t, e) of the tile. */
fn staged_sums(place: vec3u, depth: u32, t: u32) -> array<vec4f, 4> {
  let from_a = t / 8u * (turn + 1u);
  let from_b = (8u * tall + t % 8u) * (turn + 1u);
  var s0 = vec4f(); var s1 = vec4f(); var s2 = vec4f(); var s3 = vec4f();
  var next = parts_of(place, 0u, depth, t);
  for (var l = 0u; l < depth; l += turn) {
    keep_all(t, next);
    workgroupBarrier();
    next = parts_of(place, l + turn, depth, t); // on its way while this turn is summed
    // Eight by eight: enough to unroll, where a whole turn unrolled takes compilers long.
    for (var first = 0u; first < min(turn, depth - l); first += 8u) {
      for (var q = first; q < first + 8u; q++) {
        let w = every_eighth(from_b + q, wide);
        let x = every_eighth(from_a + q, tall);
        s0 = add_row(s0, x[0], w);
        if (tall > 1u) { s1 = add_row(s1, x[1], w); s2 = add_row(s2, x[2], w); s3 = add_row(s3, x[3], w); }
      }
    }
    workgroupBarrier();
  }
  return array<vec4f, 4>(s0, s1, s2, s3);
}

fn staged_row(t: u32, e: u32) -> u32 { return t / 8u + e / wide * 8u; }
fn staged_column(t: u32, e: u32) -> u32 { return t % 8u + e % wide * 8u; }
