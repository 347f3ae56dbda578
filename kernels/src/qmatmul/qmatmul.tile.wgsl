alias elem = f32;
//!use common/qmatmul_io.wgsl
//!use common/block_tile.wgsl
// Beyond FEW rows, for hardware: common/block_tile.wgsl. W is dequantised on its way to workgroup memory. A place is the tile's first column and its
// first row.

override RUNS_A: bool = true;
override RUNS_B: bool = form == NT;

fn block_a(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  let i = min(place.y + 4u * quad + vec4u(0u, 1u, 2u, 3u), vec4u(p.m - 1u));
  let q = l / 4u;
  return transpose(mat4x4f(a4(i.x, q, depth()), a4(i.y, q, depth()), a4(i.z, q, depth()), a4(i.w, q, depth())));
}

/** Columns 4q .. 4q+3 of row l of W; 0 past its last row. */
fn row_of_w(l: u32, q: u32) -> vec4f {
  if (l >= p.n) { return vec4f(); }
  return load4(l, q, p.k);
}

fn block_b(place: vec3u, quad: u32, l: u32) -> mat4x4f {
  let j = place.x + 4u * quad;
  if (form == NT) {
    let rows_of = min(j + vec4u(0u, 1u, 2u, 3u), vec4u(p.n - 1u));
    let q = l / 4u;
    return transpose(mat4x4f(load4(rows_of.x, q, p.k), load4(rows_of.y, q, p.k), load4(rows_of.z, q, p.k), load4(rows_of.w, q, p.k)));
  }
  return mat4x4f(row_of_w(l, j / 4u), row_of_w(l + 1u, j / 4u), row_of_w(l + 2u, j / 4u), row_of_w(l + 3u, j / 4u));
}

/** A loop: written out, the epilogues of 64 outputs take CPU compilers a minute. */
fn put_block(i: u32, j: u32, s: mat4x4f) {
  for (var e = 0u; e < 16u; e++) {
    put(i + e / 4u, j + e % 4u, s[e / 4u][e % 4u]);
    finish(i + e / 4u, j + e % 4u);
  }
}

@compute @workgroup_size(threads)
fn qmatmul_tile(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let across = (width() + columns - 1u) / columns;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * ((p.m + rows - 1u) / rows)) { return; } // the same for the whole workgroup
  let place = vec3u(index % across * columns, index / across * rows, 0u);
  let s = block_sums(place, 0u, depth(), t);
  let at = place.xy + vec2u(block_column(t, 0u), block_row(t, 0u));
  let far = place.xy + vec2u(block_column(t, 1u), block_row(t, 1u));
  put_block(at.y, at.x, s.s00);
  if (wide > 1u) { put_block(at.y, far.x, s.s01); }
  if (tall > 1u) { put_block(far.y, at.x, s.s10); }
  if (tall > 1u && wide > 1u) { put_block(far.y, far.x, s.s11); }
}
