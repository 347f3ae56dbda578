// Tile of a product on subgroup matrices: f16 units that add in f32. A number of an operand is one f16 or the sum of two, hi + lo; hi lo + lo hi + hi hi
// stands for a product. down x across subgroups of `lanes` threads share the tile, each has tall x wide matrices of sums. `deep` matrices along k at
// a time go to workgroup memory; what the next turn needs is loaded while this one is multiplied. Every size adds in one order: SIDE k after
// SIDE k, hi lo, lo hi, hi hi.
// The including file declares SIDE and, for a and b: where the e-th vec4u (8 f16) of the tile's first turn lies, at_a(place, e); load_a(at); its matrix in
// the tile and its place therein, slot_a(e); how far the next turn is, turn_a(); and whether a thread's part of a turn lies within k, within(t, turn).
//
// Counted for subgroups of 32 and side 16: 64 x 64 sums per subgroup are 128 registers of a thread. A packed matrix is one load of 16 bytes
// by each of 32 threads, 512 bytes side by side. Its lines lie an odd number of 16 bytes apart: a load of 8 lines meets 32 banks once. A matrix in
// workgroup memory is an array of its own, so that Tint sees that offset and stride lie within; else it guards both, and the driver can no longer
// tell how they are aligned. What shall stay in registers has constant indices.

override lanes: u32 = 32u;
/** Matrices of a subgroup, 2 or 4 each way. */
override tall: u32 = 4u;
override wide: u32 = 2u;
override down: u32 = 2u;
override across: u32 = 4u;
override deep: u32 = 1u;
/** 2: turns alternate between two copies of the tile, and one barrier divides them; 1: two barriers. */
override copies: u32 = 1u;
/** f16 of a number. */
override parts_a: u32 = 2u;
override parts_b: u32 = 2u;
/** 1: what is side by side in a matrix of b is columns, else k. */
override b_along_columns: u32 = 0u;

const OUTPUTS: u32 = SIDE * SIDE;
/** Tiles one above the other before the next ones to the right: workgroups that run at the same time share lines of both operands in the cache. */
const BAND: u32 = 8u;
/** vec4u of a line of a matrix, of a matrix, and from a line to the next in workgroup memory. */
const ROW: u32 = SIDE / 8u;
const MATRIX: u32 = SIDE * ROW;
const STRIDE: u32 = ROW | 1u;

alias Left = subgroup_matrix_left<f16, SIDE, SIDE>;
alias Right = subgroup_matrix_right<f16, SIDE, SIDE>;
alias Sum = subgroup_matrix_result<f32, SIDE, SIDE>;
alias Rights = array<Right, 4>;
alias Line = array<Sum, 4>;
alias Sums = array<Line, 4>;
/** vec4u of a thread on their way. */
alias Pieces = array<vec4u, 4>;

override threads: u32 = down * across * lanes;
override rows: u32 = down * tall * SIDE;
override columns: u32 = across * wide * SIDE;
override matrices_a: u32 = down * tall * deep * parts_a;
override matrices: u32 = matrices_a + across * wide * deep * parts_b;
/** Of a thread and turn, 1, 2 or 4. */
override loads_a: u32 = matrices_a * MATRIX / threads;
override loads_b: u32 = (matrices - matrices_a) * MATRIX / threads;
/** Lines of matrices of a, then of b; in each SIDE k after SIDE k, hi before lo. */
var<workgroup> tile: array<array<vec4u, SIDE * STRIDE>, copies * matrices>;
/** Finished sums of one matrix of each subgroup, on their way to their threads. */
var<workgroup> finished: array<array<f32, OUTPUTS>, down * across>;

/** First column and row of a tile of m rows and n columns, and its batch. */
fn tile_place(index: u32, m: u32, n: u32) -> vec3u {
  let tiles_down = (m + rows - 1u) / rows;
  let tiles_across = (n + columns - 1u) / columns;
  let within = index % (tiles_down * tiles_across);
  let band = within / (BAND * tiles_across) * BAND;
  let height = min(BAND, tiles_down - band);
  let left = within - band * tiles_across;
  return vec3u(left / height * columns, (band + left % height) * rows, index / (tiles_down * tiles_across));
}

fn loaded_a(at: vec4u, live: bool) -> Pieces {
  var r: Pieces;
  if (!live) { return r; }
  r[0] = load_a(at.x);
  if (loads_a > 1u) { r[1] = load_a(at.y); }
  if (loads_a > 2u) { r[2] = load_a(at.z); r[3] = load_a(at.w); }
  return r;
}

fn loaded_b(at: vec4u, live: bool) -> Pieces {
  var r: Pieces;
  if (!live) { return r; }
  r[0] = load_b(at.x);
  if (loads_b > 1u) { r[1] = load_b(at.y); }
  if (loads_b > 2u) { r[2] = load_b(at.z); r[3] = load_b(at.w); }
  return r;
}

fn keep(first: u32, slot: vec2u, value: vec4u) { tile[first + slot.x][slot.y] = value; }

fn keep_a(first: u32, t: u32, v: Pieces) {
  keep(first, slot_a(t), v[0]);
  if (loads_a > 1u) { keep(first, slot_a(t + threads), v[1]); }
  if (loads_a > 2u) { keep(first, slot_a(t + 2u * threads), v[2]); keep(first, slot_a(t + 3u * threads), v[3]); }
}

fn keep_b(first: u32, t: u32, v: Pieces) {
  keep(first, slot_b(t), v[0]);
  if (loads_b > 1u) { keep(first, slot_b(t + threads), v[1]); }
  if (loads_b > 2u) { keep(first, slot_b(t + 2u * threads), v[2]); keep(first, slot_b(t + 3u * threads), v[3]); }
}

/** Adds the products of a matrix of a with a line of b's, hi or lo. */
fn add_products(left: Left, right: Rights, before: Line) -> Line {
  var sums = before;
  sums[0] = subgroupMatrixMultiplyAccumulate(left, right[0], sums[0]);
  sums[1] = subgroupMatrixMultiplyAccumulate(left, right[1], sums[1]);
  if (wide > 2u) {
    sums[2] = subgroupMatrixMultiplyAccumulate(left, right[2], sums[2]);
    sums[3] = subgroupMatrixMultiplyAccumulate(left, right[3], sums[3]);
  }
  return sums;
}

fn left_at(m: u32) -> Left { return subgroupMatrixLoad<Left, row_major>(&tile[m], 0, STRIDE); }
fn right_at(m: u32) -> Right {
  if (b_along_columns == 1u) { return subgroupMatrixLoad<Right, row_major>(&tile[m], 0, STRIDE); }
  return subgroupMatrixLoad<Right, col_major>(&tile[m], 0, STRIDE);
}

/** One part of a line of matrices of b, of which the first is tile[m], and `apart` lies between them. */
fn rights_at(m: u32, apart: u32) -> Rights {
  var r: Rights;
  r[0] = right_at(m);
  r[1] = right_at(m + apart);
  if (wide > 2u) {
    r[2] = right_at(m + 2u * apart);
    r[3] = right_at(m + 3u * apart);
  }
  return r;
}

/** All that a matrix of a, whose hi is tile[m], gives to its line of sums; side by side what does not wait for each other. */
fn add_parts(m: u32, hi: Rights, lo: Rights, before: Line) -> Line {
  let left = left_at(m);
  var sums = before;
  if (parts_b == 2u) { sums = add_products(left, lo, sums); }
  if (parts_a == 2u) { sums = add_products(left_at(m + 1u), hi, sums); }
  return add_products(left, hi, sums);
}

/** Where a thread's pieces of the first turn lie. */
fn all_at_a(place: vec3u, t: u32) -> vec4u {
  return vec4u(at_a(place, t), at_a(place, t + threads), at_a(place, t + 2u * threads), at_a(place, t + 3u * threads));
}
fn all_at_b(place: vec3u, t: u32) -> vec4u {
  return vec4u(at_b(place, t), at_b(place, t + threads), at_b(place, t + 2u * threads), at_b(place, t + 3u * threads));
}

/** Sums of the matrices of a thread's subgroup, of which the first is `first`: matrices from the left, from above. */
fn matrix_sums(place: vec3u, first: vec2u, turns: u32, t: u32, sums: ptr<function, Sums>) {
  let from_a = all_at_a(place, t);
  let from_b = all_at_b(place, t);
  var next_a = loaded_a(from_a, within(t, 0u));
  var next_b = loaded_b(from_b, within(t, 0u));
  let line_a = deep * parts_a;
  let line_b = deep * parts_b;
  for (var turn = 0u; turn < turns; turn++) {
    let copy = turn % copies * matrices;
    if (copies == 1u) { workgroupBarrier(); }
    keep_a(copy, t, next_a);
    keep_b(copy + matrices_a, t, next_b);
    workgroupBarrier();
    let ahead = min(turn + 1u, turns - 1u);
    next_a = loaded_a(from_a + ahead * turn_a(), within(t, ahead));
    next_b = loaded_b(from_b + ahead * turn_b(), within(t, ahead));
    for (var d = 0u; d < deep; d++) {
      let a = copy + first.y * line_a + d * parts_a;
      let b = copy + matrices_a + first.x * line_b + d * parts_b;
      let hi = rights_at(b, line_b);
      var lo: Rights;
      if (parts_b == 2u) { lo = rights_at(b + 1u, line_b); }
      sums[0] = add_parts(a, hi, lo, sums[0]);
      sums[1] = add_parts(a + line_a, hi, lo, sums[1]);
      if (tall > 2u) {
        sums[2] = add_parts(a + 2u * line_a, hi, lo, sums[2]);
        sums[3] = add_parts(a + 3u * line_a, hi, lo, sums[3]);
      }
    }
  }
}

/** First matrix of a thread's subgroup: matrices from the left, from above. */
fn first_of(t: u32) -> vec2u {
  let subgroup = t / lanes;
  return vec2u(subgroup % across * wide, subgroup / across * tall);
}

fn finished_from(subgroup: u32, sum: Sum) { subgroupMatrixStore<row_major>(&finished[subgroup], 0, sum, SIDE); }

/** Brings a subgroup's sums of one matrix to where its threads can read them. */
fn lay_out(subgroup: u32, s: u32, sums: ptr<function, Sums>) {
  switch (s) {
    case 0u: { finished_from(subgroup, sums[0][0]); }
    case 1u: { finished_from(subgroup, sums[0][1]); }
    case 2u: { finished_from(subgroup, sums[0][2]); }
    case 3u: { finished_from(subgroup, sums[0][3]); }
    case 4u: { finished_from(subgroup, sums[1][0]); }
    case 5u: { finished_from(subgroup, sums[1][1]); }
    case 6u: { finished_from(subgroup, sums[1][2]); }
    case 7u: { finished_from(subgroup, sums[1][3]); }
    case 8u: { finished_from(subgroup, sums[2][0]); }
    case 9u: { finished_from(subgroup, sums[2][1]); }
    case 10u: { finished_from(subgroup, sums[2][2]); }
    case 11u: { finished_from(subgroup, sums[2][3]); }
    case 12u: { finished_from(subgroup, sums[3][0]); }
    case 13u: { finished_from(subgroup, sums[3][1]); }
    case 14u: { finished_from(subgroup, sums[3][2]); }
    default: { finished_from(subgroup, sums[3][3]); }
  }
}
