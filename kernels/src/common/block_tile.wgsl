// Tile of a product in workgroup memory, for hardware: `rows` x `columns` outputs, 4 tall x 4 wide of them per thread, `turn` steps of the sum at a time.
// Operands are brought as blocks of four rows (columns) by four steps and lie as vec4 of four neighbouring rows (columns), so that a thread reads
// 4 (tall + wide) numbers in tall + wide loads for 16 tall wide multiply-adds. Sums front to back.
// The including file declares block_a(place, quad, l) and block_b(place, quad, l): rows (columns) 4 quad .. 4 quad + 3 of the tile at steps l .. l + 3, a
// column for each step, zeros from `end` of the sum on; and RUNS_A, RUNS_B: whether these run along steps in memory. `place` is the including file's:
// which tile.
//
// Counted for 32 threads: blocks that run along steps are taken 8 quads by 4, so 64 bytes of each line at a time; others as long as the tile is
// wide. Either way 8 threads that follow each other store 8 neighbouring vec4, and read 8 or one: no bank twice.

/** Multiples of 64; the turn 16 or 32. */
override rows: u32 = 64u;
override columns: u32 = 64u;
override turn: u32 = 16u;
/** Vectors of four rows and of four columns per thread: 1 or 2. */
override tall: u32 = 2u;
override wide: u32 = 2u;

override quads_a: u32 = rows / 4u;
override quads_b: u32 = columns / 4u;
override threads_x: u32 = quads_b / wide;
override threads_y: u32 = quads_a / tall;
override threads: u32 = threads_x * threads_y;
/** Blocks of a turn, those of a first; of a thread: 1, 2 or 4. */
override blocks_a: u32 = quads_a * turn / 4u;
override each: u32 = (quads_a + quads_b) * turn / 4u / threads;

/**
 * Steps in lines of PACE vectors. Dawn clamps each index to its array: of a line it clamps what stays the same in the loop, not an address that each
 * step has of its own.
 */
const PACE: u32 = 16u;
override lines_a: u32 = quads_a / PACE;
override lines_b: u32 = quads_b / PACE;
var<workgroup> tile_a: array<array<vec4f, PACE>, turn * lines_a>;
var<workgroup> tile_b: array<array<vec4f, PACE>, turn * lines_b>;

/** Block e of an operand with so many quads: its quad, and its first step in the turn. */
fn block_at(e: u32, quads: u32, runs: bool) -> vec2u {
  if (runs) { return vec2u(e % 8u + e / 32u % (quads / 8u) * 8u, 4u * (e / 8u % 4u + e / (4u * quads) * 4u)); }
  return vec2u(e % quads, 4u * (e / quads));
}

/** The thread's n-th block of the turn that begins at step l0. */
fn bring(n: u32, place: vec3u, l0: u32, t: u32) -> mat4x4f {
  let e = n * threads + t;
  if (e < blocks_a) {
    let at = block_at(e, quads_a, RUNS_A);
    return block_a(place, at.x, l0 + at.y);
  }
  let at = block_at(e - blocks_a, quads_b, RUNS_B);
  return block_b(place, at.x, l0 + at.y);
}

fn keep(n: u32, t: u32, block: mat4x4f) {
  let e = n * threads + t;
  if (e < blocks_a) {
    let at = block_at(e, quads_a, RUNS_A);
    let line = at.y * lines_a + at.x / PACE;
    let to = at.x % PACE;
    tile_a[line][to] = block[0];
    tile_a[line + lines_a][to] = block[1];
    tile_a[line + 2u * lines_a][to] = block[2];
    tile_a[line + 3u * lines_a][to] = block[3];
  } else {
    let at = block_at(e - blocks_a, quads_b, RUNS_B);
    let line = at.y * lines_b + at.x / PACE;
    let to = at.x % PACE;
    tile_b[line][to] = block[0];
    tile_b[line + lines_b][to] = block[1];
    tile_b[line + 2u * lines_b][to] = block[2];
    tile_b[line + 3u * lines_b][to] = block[3];
  }
}

/** Matrices have a column for each of four rows. */
struct BlockSums { s00: mat4x4f, s01: mat4x4f, s10: mat4x4f, s11: mat4x4f }

fn add_outer(s: mat4x4f, a: vec4f, b: vec4f) -> mat4x4f { return s + mat4x4f(a.x * b, a.y * b, a.z * b, a.w * b); }

/** Step l of the sum. A thread's second vectors lie threads_y and threads_x further: in the same line or the next. */
fn add_step(s: BlockSums, l: u32, x: u32, y: u32) -> BlockSums {
  let a0 = tile_a[l * lines_a][y];
  let b0 = tile_b[l * lines_b][x];
  var r = s;
  r.s00 = add_outer(s.s00, a0, b0);
  if (wide > 1u) { r.s01 = add_outer(s.s01, a0, tile_b[l * lines_b + threads_x / PACE][threads_x % PACE + x]); }
  if (tall > 1u) {
    let a1 = tile_a[l * lines_a + threads_y / PACE][threads_y % PACE + y];
    r.s10 = add_outer(s.s10, a1, b0);
    if (wide > 1u) { r.s11 = add_outer(s.s11, a1, tile_b[l * lines_b + threads_x / PACE][threads_x % PACE + x]); }
  }
  return r;
}

/** Eight steps. Written out, here and in `keep`: NVIDIA's compiler leaves loops as they are. */
fn add_eight(s: BlockSums, l: u32, x: u32, y: u32) -> BlockSums {
  let s1 = add_step(s, l, x, y);
  let s2 = add_step(s1, l + 1u, x, y);
  let s3 = add_step(s2, l + 2u, x, y);
  let s4 = add_step(s3, l + 3u, x, y);
  let s5 = add_step(s4, l + 4u, x, y);
  let s6 = add_step(s5, l + 5u, x, y);
  let s7 = add_step(s6, l + 6u, x, y);
  return add_step(s7, l + 7u, x, y);
}

/** Thread t's sums over the steps from `start` to `end`: s[v][w] is rows block_row(t, v) + 0 .. 3, columns block_column(t, w) + 0 .. 3 of the tile. */
fn block_sums(place: vec3u, start: u32, end: u32, t: u32) -> BlockSums {
  let x = t % threads_x;
  let y = t / threads_x;
  var s = BlockSums();
  for (var l0 = start; l0 < end; l0 += turn) {
    let v0 = bring(0u, place, l0, t);
    var v1 = mat4x4f(); var v2 = mat4x4f(); var v3 = mat4x4f();
    if (each > 1u) { v1 = bring(1u, place, l0, t); }
    if (each > 2u) { v2 = bring(2u, place, l0, t); v3 = bring(3u, place, l0, t); }
    keep(0u, t, v0);
    if (each > 1u) { keep(1u, t, v1); }
    if (each > 2u) { keep(2u, t, v2); keep(3u, t, v3); }
    workgroupBarrier();
    s = add_eight(s, 0u, x, y);
    s = add_eight(s, 8u, x, y);
    if (turn > 16u) {
      s = add_eight(s, 16u, x, y);
      s = add_eight(s, 24u, x, y);
    }
    workgroupBarrier();
  }
  return s;
}

fn block_row(t: u32, v: u32) -> u32 { return 4u * (t / threads_x + v * threads_y); }
fn block_column(t: u32, w: u32) -> u32 { return 4u * (t % threads_x + w * threads_x); }
