// Which tile of a product (common/block_tile.wgsl), and which part of its sum, a workgroup has, and the two entry points. The including file has
// common/matmul_io.wgsl and declares put_block(z, i, j, s) and, for parts, keep_block(slice, z, i, j, s): rows i .. i + 3, columns j .. j + 3.

override slices: u32 = 1u;

/** Columns of tiles that are gone through together, row by row: what workgroups read at one time is nearer to a square. */
const BAND: u32 = 8u;

/** A tile's first column, its first row and the batch; as w, the slice of K: past the last one, one that is not there. */
fn place_of(index: u32) -> vec4u {
  let across = (p.n + columns - 1u) / columns;
  let down = (p.m + rows - 1u) / rows;
  let tiles = across * down;
  let tile = index % tiles;
  let first = tile / (BAND * down) * BAND;
  let band = min(BAND, across - first);
  let within = tile % (BAND * down);
  return vec4u((first + within % band) * columns, within / band * rows, index / tiles % p.batch, index / tiles / p.batch);
}

/** Where a slice begins: a multiple of four, or the end of K. */
fn slice_start(slice: u32) -> u32 { return min(slice * ((p.k + 4u * slices - 1u) / (4u * slices) * 4u), p.k); }

/** Steps of the sum end here: p.k, or where a slice ends. */
var<private> last: u32;

@compute @workgroup_size(threads)
fn matmul_tile(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = place_of(wid.x + wid.y * nwg.x);
  if (place.w >= 1u) { return; } // the same for the whole workgroup
  last = p.k;
  let s = block_sums(place.xyz, 0u, p.k, t);
  let at = place.xy + vec2u(block_column(t, 0u), block_row(t, 0u));
  let far = place.xy + vec2u(block_column(t, 1u), block_row(t, 1u));
  put_block(place.z, at.y, at.x, s.s00);
  if (wide > 1u) { put_block(place.z, at.y, far.x, s.s01); }
  if (tall > 1u) { put_block(place.z, far.y, at.x, s.s10); }
  if (tall > 1u && wide > 1u) { put_block(place.z, far.y, far.x, s.s11); }
}

@compute @workgroup_size(threads)
fn matmul_tile_slice(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let place = place_of(wid.x + wid.y * nwg.x);
  if (place.w >= slices) { return; } // the same for the whole workgroup
  let end = slice_start(place.w + 1u);
  last = end;
  let s = block_sums(place.xyz, slice_start(place.w), end, t);
  let at = place.xy + vec2u(block_column(t, 0u), block_row(t, 0u));
  let far = place.xy + vec2u(block_column(t, 1u), block_row(t, 1u));
  keep_block(place.w, place.z, at.y, at.x, s.s00);
  if (wide > 1u) { keep_block(place.w, place.z, at.y, far.x, s.s01); }
  if (tall > 1u) { keep_block(place.w, place.z, far.y, at.x, s.s10); }
  if (tall > 1u && wide > 1u) { keep_block(place.w, place.z, far.y, far.x, s.s11); }
}
