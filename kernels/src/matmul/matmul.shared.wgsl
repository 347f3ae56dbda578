alias elem = f32;
//!use common/matmul_io.wgsl
// Shared-memory tile, for hardware: 64 threads, 8 x 8 outputs each, 64 x 64 together. DEPTH columns of op(a) and rows of op(b) at a
// time lie in workgroup memory as vec4 of four neighbouring rows (columns), so that a thread reads 16 numbers in four loads.
// Neighbouring threads load along the direction in which memory runs. Past the edge of K both are zero. Sums front to back.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;

override form: u32 = 0u;

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
/** Vectors of four rows (columns) in a tile. */
const QUADS: u32 = 16u;

var<workgroup> tile_a: array<vec4f, DEPTH * QUADS>;
var<workgroup> tile_b: array<vec4f, DEPTH * QUADS>;

/** Rows 4 quad, 4 quad + 1, … of the tile at row i0 of op(a[z]), at k = l. */
fn quad_a(z: u32, i: u32, l: u32) -> vec4f {
  if (l >= p.k) { return vec4f(); }
  let at = l * k_step_a(form);
  return vec4f(
    f32(a[at + row_start(form, z, i)]), f32(a[at + row_start(form, z, i + 1u)]),
    f32(a[at + row_start(form, z, i + 2u)]), f32(a[at + row_start(form, z, i + 3u)]),
  );
}

fn quad_b(z: u32, j: u32, l: u32) -> vec4f {
  if (l >= p.k) { return vec4f(); }
  let at = l * k_step_b(form);
  return vec4f(
    f32(b[at + column_start(form, z, j)]), f32(b[at + column_start(form, z, j + 1u)]),
    f32(b[at + column_start(form, z, j + 2u)]), f32(b[at + column_start(form, z, j + 3u)]),
  );
}

@compute @workgroup_size(64)
fn matmul_shared(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch) { return; } // the same for the whole workgroup
  let z = index / across / down;
  let top = (index / across % down) * TILE;
  let left = (index % across) * TILE;
  // Sums of rows top + 4 (t / 8) + 0..3 and 32 below, columns left + 4 (t % 8) + 0..3 and 32 to the right.
  var s = array<vec4f, 16>();
  for (var l0 = 0u; l0 < p.k; l0 += DEPTH) {
    for (var step = 0u; step < 4u; step++) {
      let fast = t % 16u;
      let slow = t / 16u + 4u * step;
      // k runs fastest in memory in NN's and NT's a and in NT's b.
      let ka = select(fast, slow, form == TN);
      let qa = select(slow, fast, form == TN);
      tile_a[ka * QUADS + qa] = quad_a(z, top + 4u * qa, l0 + ka);
      let kb = select(slow, fast, form == NT);
      let qb = select(fast, slow, form == NT);
      tile_b[kb * QUADS + qb] = quad_b(z, left + 4u * qb, l0 + kb);
    }
    workgroupBarrier();
    for (var l = 0u; l < DEPTH; l++) {
      let x = tile_a[l * QUADS + t / 8u];
      let w = tile_a[l * QUADS + 8u + t / 8u];
      let y = tile_b[l * QUADS + t % 8u];
      let v = tile_b[l * QUADS + 8u + t % 8u];
      s[0] += x.x * y; s[1] += x.x * v;
      s[2] += x.y * y; s[3] += x.y * v;
      s[4] += x.z * y; s[5] += x.z * v;
      s[6] += x.w * y; s[7] += x.w * v;
      s[8] += w.x * y; s[9] += w.x * v;
      s[10] += w.y * y; s[11] += w.y * v;
      s[12] += w.z * y; s[13] += w.z * v;
      s[14] += w.w * y; s[15] += w.w * v;
    }
    workgroupBarrier();
  }
  for (var e = 0u; e < 64u; e++) {
    let row = e / 32u * 32u + 4u * (t / 8u) + e / 8u % 4u;
    let column = e / 4u % 2u * 32u + 4u * (t % 8u) + e % 4u;
    put(z, top + row, left + column, s[e / 4u][e % 4u]);
  }
}
