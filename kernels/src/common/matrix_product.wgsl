// Matrix product of f32 on subgroup matrices in two passes: common/matrix_pack.wgsl, common/matrix_tile.wgsl. The including file declares SIDE.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
@group(0) @binding(6) var<storage, read_write> packed: array<vec4u>;

override form: u32 = 0u;

/** Exponents of the tile's rows, then columns. */
var<workgroup> exponents: array<f32, rows + columns>;

fn lines_of(operand: u32) -> u32 { return select(p.n, p.m, operand == A); }
/** A matrix that all batches share is packed once. */
fn batches_of(operand: u32) -> u32 { return select(p.batch, 1u, select(p.stride_b, p.stride_a, operand == A) == 0u); }
fn depth() -> u32 { return p.k; }
/** Whether the numbers of a line are neighbours in memory. */
fn neighbours(operand: u32) -> bool { return select(form == NT, form != TN, operand == A); }
fn value(operand: u32, z: u32, line: u32, k: u32) -> f32 {
  if (operand == A) { return f32(a[row_start(form, z, line) + k * k_step_a(form)]); }
  return f32(b[column_start(form, z, line) + k * k_step_b(form)]);
}

fn at_a(place: vec3u, e: u32) -> u32 { return packed_at(A, place.z, place.y, e); }
fn at_b(place: vec3u, e: u32) -> u32 { return packed_at(B, place.z, place.x, e); }
fn load_a(at: u32) -> vec4u { return packed[at]; }
fn load_b(at: u32) -> vec4u { return packed[at]; }
fn slot_a(e: u32) -> vec2u { return packed_slot(e); }
fn slot_b(e: u32) -> vec2u { return packed_slot(e); }
fn turn_a() -> u32 { return packed_turn(); }
fn turn_b() -> u32 { return packed_turn(); }
fn within(t: u32, turn: u32) -> bool { return true; }

/** One by one, where a row or a column has no scale. */
fn plain_sum(z: u32, i: u32, j: u32) -> f32 {
  var r = 0.0;
  for (var k = 0u; k < p.k; k++) { r += value(A, z, i, k) * value(B, z, j, k); }
  return r;
}

/** Output of a tile's row y and column x. */
fn store(place: vec3u, y: u32, x: u32, sum: f32) {
  let i = place.y + y;
  let j = place.x + x;
  if (i >= p.m || j >= p.n) { return; }
  let ea = exponents[y];
  let eb = exponents[rows + x];
  if (ea == NOT_FINITE || eb == NOT_FINITE) {
    put(place.z, i, j, plain_sum(place.z, i, j));
  } else {
    put(place.z, i, j, descaled(sum, ea + eb));
  }
  finish(place.z, i, j);
}

@compute @workgroup_size(threads)
fn matrix_product(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = tile_place(wid.x + wid.y * nwg.x, p.m, p.n);
  if (place.z >= p.batch) { return; } // the same for the whole workgroup
  for (var e = t; e < rows + columns; e += threads) {
    if (e < rows) { exponents[e] = exponent_of(A, place.z, place.y + e); } else { exponents[e] = exponent_of(B, place.z, place.x + e - rows); }
  }
  let subgroup = t / lanes;
  let first = first_of(t);
  var sums: Sums;
  matrix_sums(place, first, steps() / deep, t, &sums);
  for (var y = 0u; y < tall; y++) {
    for (var x = 0u; x < wide; x++) {
      lay_out(subgroup, 4u * y + x, &sums);
      workgroupBarrier();
      for (var e = t % lanes; e < OUTPUTS; e += lanes) {
        store(place, (first.y + y) * SIDE + e / SIDE, (first.x + x) * SIDE + e % SIDE, finished[subgroup][e]);
      }
      workgroupBarrier();
    }
  }
}
//!use common/matrix_pack.wgsl
//!use common/matrix_split.wgsl
//!use common/matrix_tile.wgsl
