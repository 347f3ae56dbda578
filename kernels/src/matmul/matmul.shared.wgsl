alias elem = f32;
//!use common/matmul_io.wgsl
//!use common/shared_tile.wgsl
// Shared-memory tile (common/shared_tile.wgsl), for hardware. A place is the tile's first column, its first row and the batch.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;

override form: u32 = 0u;

/** Rows i .. i + 3 of op(a[z]) at k = l, columns j .. j + 3 of op(b[z]); zeros past the end of k. */
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

/** Neighbouring threads load along the direction in which memory runs: k in NN's and NT's a and in NT's b. */
fn fill_tiles(place: vec3u, l0: u32, t: u32) {
  let fast = t % 16u;
  for (var slow = t / 16u; slow < 16u; slow += 4u) {
    let ka = select(fast, slow, form == TN);
    let qa = select(slow, fast, form == TN);
    tile_a[ka * STEP + qa] = quad_a(place.z, place.y + 4u * qa, l0 + ka);
    let kb = select(slow, fast, form == NT);
    let qb = select(fast, slow, form == NT);
    tile_b[kb * STEP + qb] = quad_b(place.z, place.x + 4u * qb, l0 + kb);
  }
}

@compute @workgroup_size(64)
fn matmul_shared(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch) { return; } // the same for the whole workgroup
  let place = vec3u(index % across * TILE, index / across % down * TILE, index / across / down);
  var s = tile_sums(place, p.k, t);
  for (var e = 0u; e < 64u; e++) {
    put(place.z, place.y + tile_row(t, e), place.x + tile_column(t, e), s[e / 4u][e % 4u]);
    finish(place.z, place.y + tile_row(t, e), place.x + tile_column(t, e));
  }
}
