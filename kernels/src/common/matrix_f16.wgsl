// c = a b^T of f16 on subgroup matrices: layouts in matmul_f16/matmul_f16.wgsl, the tile in common/matrix_tile.wgsl. Neighbouring threads load neighbours in
// a row, `deep` matrices wide. The including file declares SIDE.

struct Params { m: u32, n: u32, k: u32 }

@group(0) @binding(0) var<storage, read_write> c: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<vec4u>;
@group(0) @binding(2) var<storage, read> b: array<vec4u>;
@group(0) @binding(3) var<uniform> p: Params;

/** vec4u of a row; of its part in a turn. */
fn pitch() -> u32 { return (p.k + 7u) / 8u; }
override part: u32 = deep * ROW;

fn line_of(e: u32) -> u32 { return e / part; }
fn at_a(place: vec3u, e: u32) -> u32 { return min(place.y + line_of(e), p.m - 1u) * pitch() + e % part; }
fn at_b(place: vec3u, e: u32) -> u32 { return min(place.x + line_of(e), p.n - 1u) * pitch() + e % part; }
fn load_a(at: u32) -> vec4u { return a[at]; }
fn load_b(at: u32) -> vec4u { return b[at]; }
fn slot(e: u32) -> vec2u { return vec2u(line_of(e) / SIDE * deep + e % part / ROW, line_of(e) % SIDE * STRIDE + e % ROW); }
fn slot_a(e: u32) -> vec2u { return slot(e); }
fn slot_b(e: u32) -> vec2u { return slot(e); }
fn turn_a() -> u32 { return part; }
fn turn_b() -> u32 { return part; }
/** Threads are a multiple of a line's part, so all loads of a thread are at one k. */
fn within(t: u32, turn: u32) -> bool { return turn * part + t % part < pitch(); }

@compute @workgroup_size(threads)
fn matrix_f16(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = tile_place(wid.x + wid.y * nwg.x, p.m, p.n);
  if (place.z >= 1u) { return; } // the same for the whole workgroup
  let subgroup = t / lanes;
  let first = first_of(t);
  var sums: Sums;
  let turns = (pitch() + part - 1u) / part;
  matrix_sums(place, first, turns, t, &sums);
  for (var y = 0u; y < tall; y++) {
    for (var x = 0u; x < wide; x++) {
      lay_out(subgroup, 4u * y + x, &sums);
      workgroupBarrier();
      for (var e = t % lanes; e < OUTPUTS; e += lanes) {
        let i = place.y + (first.y + y) * SIDE + e / SIDE;
        let j = place.x + (first.x + x) * SIDE + e % SIDE;
        if (i < p.m && j < p.n) { c[i * p.n + j] = finished[subgroup][e]; }
      }
      workgroupBarrier();
    }
  }
}
//!use common/matrix_tile.wgsl
