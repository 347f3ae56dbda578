// Which tile of a product (common/block_tile.wgsl), and which part of its sum, a workgroup has. The including file has common/matmul_io.wgsl.

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
