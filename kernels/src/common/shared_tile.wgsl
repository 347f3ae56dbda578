// Shared-memory tile of a product: 64 threads, 8 x 8 outputs each, 64 x 64 together. DEPTH steps of the sum at a time lie in workgroup memory as
// vec4 of four neighbouring rows (columns), so that a thread reads 16 numbers in four loads. Sums front to back.
// The including file declares fill_tiles(place, l0, t), by which 64 threads fill both with steps l0 .. l0 + DEPTH - 1, zeros from the end of the
// sum on. `place` is the including file's: which tile.

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
/**
 * Vectors from one step to the next: 16 of four rows (columns), and one that spares bank conflicts where neighbouring threads store neighbouring
 * steps. Counted for 32 banks: such a store of 32 threads takes 4 turns, as all others do, where 16 apart it took 32. 8.5 KiB for both.
 */
const STEP: u32 = 17u;

var<workgroup> tile_a: array<vec4f, DEPTH * STEP>;
var<workgroup> tile_b: array<vec4f, DEPTH * STEP>;

/** Thread t's sums over `depth` steps: element [e / 4][e % 4] is row tile_row(t, e), column tile_column(t, e) of the tile. */
fn tile_sums(place: vec3u, depth: u32, t: u32) -> array<vec4f, 16> {
  let y = t / 8u;
  let x = t % 8u;
  var l0 = vec4f(); var r0 = vec4f();
  var l1 = vec4f(); var r1 = vec4f();
  var l2 = vec4f(); var r2 = vec4f();
  var l3 = vec4f(); var r3 = vec4f();
  var l4 = vec4f(); var r4 = vec4f();
  var l5 = vec4f(); var r5 = vec4f();
  var l6 = vec4f(); var r6 = vec4f();
  var l7 = vec4f(); var r7 = vec4f();
  for (var first = 0u; first < depth; first += DEPTH) {
    fill_tiles(place, first, t);
    workgroupBarrier();
    for (var l = 0u; l < DEPTH; l++) {
      let top = tile_a[l * STEP + y];
      let bottom = tile_a[l * STEP + 8u + y];
      let left = tile_b[l * STEP + x];
      let right = tile_b[l * STEP + 8u + x];
      l0 += top.x * left; r0 += top.x * right;
      l1 += top.y * left; r1 += top.y * right;
      l2 += top.z * left; r2 += top.z * right;
      l3 += top.w * left; r3 += top.w * right;
      l4 += bottom.x * left; r4 += bottom.x * right;
      l5 += bottom.y * left; r5 += bottom.y * right;
      l6 += bottom.z * left; r6 += bottom.z * right;
      l7 += bottom.w * left; r7 += bottom.w * right;
    }
    workgroupBarrier();
  }
  return array<vec4f, 16>(l0, r0, l1, r1, l2, r2, l3, r3, l4, r4, l5, r5, l6, r6, l7, r7);
}

fn tile_row(t: u32, e: u32) -> u32 { return e / 32u * 32u + 4u * (t / 8u) + e / 8u % 4u; }
fn tile_column(t: u32, e: u32) -> u32 { return e / 4u % 2u * 32u + 4u * (t % 8u) + e % 4u; }
