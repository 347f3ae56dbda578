// NN of f16 weights on subgroup matrices: c (m, k) = a (m, n) W (n, k). Numbers of a become two f16, common/matrix_pack.wgsl; those of W are exact and loaded
// where they lie, k beside k. Two products where f32 takes three. The including file declares SIDE.

@group(0) @binding(2) var<storage, read> w4: array<vec4u>;
@group(0) @binding(7) var<storage, read_write> packed: array<vec4u>;

/** Exponents of the tile's rows. */
var<workgroup> exponents: array<f32, rows>;

/** W is not packed. */
fn lines_of(operand: u32) -> u32 { return select(0u, p.m, operand == A); }
fn batches_of(operand: u32) -> u32 { return select(0u, 1u, operand == A); }
fn neighbours(operand: u32) -> bool { return true; }
fn value(operand: u32, z: u32, line: u32, k: u32) -> f32 { return f32(a[line * p.lda + k]); }

/** vec4u of a row of W, and of a row of the tile. */
fn pitch() -> u32 { return (p.k + 7u) / 8u; }
override part: u32 = columns / 8u;

fn at_a(place: vec3u, e: u32) -> u32 { return packed_at(A, 0u, place.y, e); }
fn at_b(place: vec3u, e: u32) -> u32 { return e / part * pitch() + min(place.x / 8u + e % part, pitch() - 1u); }
fn load_a(at: u32) -> vec4u { return packed[at]; }
/** Past its last row some element of W: it meets zeros of a. */
fn load_b(at: u32) -> vec4u { return w4[min(at, p.n * pitch() - 1u)]; }
fn slot_a(e: u32) -> vec2u { return packed_slot(e); }
fn slot_b(e: u32) -> vec2u {
  let row = e / part;
  let q = e % part;
  return vec2u(q / ROW * deep + row / SIDE, row % SIDE * STRIDE + q % ROW);
}
fn turn_a() -> u32 { return packed_turn(); }
fn turn_b() -> u32 { return deep * SIDE * pitch(); }
fn within(t: u32, turn: u32) -> bool { return true; }

/** One by one, where a row of a has no scale, or W an infinity or a NaN. */
fn plain_sum(i: u32, j: u32) -> f32 {
  var r = 0.0;
  for (var l = 0u; l < p.n; l++) { r += f32(a[i * p.lda + l]) * unpack2x16float(w4[l * pitch() + j / 8u][j % 8u / 2u])[j % 2u]; }
  return r;
}

fn store(i: u32, j: u32, exponent: f32, sum: f32) {
  if (i >= p.m || j >= p.k) { return; }
  if (exponent != NOT_FINITE && finite(sum)) { put(i, j, descaled(sum, exponent)); } else { put(i, j, plain_sum(i, j)); }
  finish(i, j);
}

@compute @workgroup_size(threads)
fn matrix_frozen(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = tile_place(wid.x + wid.y * nwg.x, p.m, p.k);
  if (place.z >= 1u) { return; } // the same for the whole workgroup
  for (var e = t; e < rows; e += threads) { exponents[e] = exponent_of(A, 0u, place.y + e); }
  let subgroup = t / lanes;
  let first = first_of(t);
  var sums: Sums;
  matrix_sums(place, first, steps() / deep, t, &sums);
  for (var y = 0u; y < tall; y++) {
    for (var x = 0u; x < wide; x++) {
      lay_out(subgroup, 4u * y + x, &sums);
      workgroupBarrier();
      for (var e = t % lanes; e < OUTPUTS; e += lanes) {
        let row = (first.y + y) * SIDE + e / SIDE;
        store(place.y + row, place.x + (first.x + x) * SIDE + e % SIDE, exponents[row], finished[subgroup][e]);
      }
      workgroupBarrier();
    }
  }
}
//!use common/matrix_pack.wgsl
//!use common/matrix_split.wgsl
//!use common/matrix_tile.wgsl
//!use common/finite.wgsl
