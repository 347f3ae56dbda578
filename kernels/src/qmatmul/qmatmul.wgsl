alias elem = f32;
//!use common/qmatmul_io.wgsl
//!use common/shared_tile.wgsl
// Products with a frozen matrix W (N, K) kept in 32-bit words, dequantised on load, sums in f32:
//   NT: c (M,N) = a (M,K) W^T [+ bias (N)] [+ c]     NN: c (M,K) = a (M,N) W [+ bias (K)] [+ c]
//   either with an epilogue: c = aux + c (residual), c = silu(aux) c (SwiGLU), aux of c's shape and layout
//   gather: y[t] = W[ids[t] - first]
// One pipeline per form and format. Tiles as in common/shared_tile.wgsl: W is dequantised once per tile into workgroup memory. At most FEW
// rows: NT shares the K of 8 columns among 8 threads each, NN the N of 64 columns among 4 threads per quad; partial sums are added in
// fixed order. Out-of-range steps give 0, out-of-range outputs are not stored.
// qmatmul.ts counts the workgroups by the same TILE, FEW and columns.

const FEW: u32 = 4u;

/**
 * One quad of neighbours per thread becomes a column of four steps. A place is the tile's first column and its first row. Neighbouring threads
 * load along memory: counted per 32 threads, 8 lines of 64 bytes (NN's W: 2 of 256), where a thread per line touched 16 of 32 bytes. That costs 8
 * store cycles for 4 (32 banks), and spares 8 of 16 for each of some 20 to 32 loads.
 */
fn fill_tiles(place: vec3u, l0: u32, t: u32) {
  let quad = t / 4u;
  let step = t % 4u;
  let q = l0 / 4u + step;
  let i = min(place.y + 4u * quad + vec4u(0u, 1u, 2u, 3u), vec4u(p.m - 1u));
  let rows = transpose(mat4x4f(a4(i.x, q, depth()), a4(i.y, q, depth()), a4(i.z, q, depth()), a4(i.w, q, depth())));
  for (var s = 0u; s < 4u; s++) { tile_a[(4u * step + s) * STEP + quad] = rows[s]; }
  if (form == NT) {
    let j = min(place.x + 4u * quad + vec4u(0u, 1u, 2u, 3u), vec4u(p.n - 1u));
    let columns = transpose(mat4x4f(load4(j.x, q, p.k), load4(j.y, q, p.k), load4(j.z, q, p.k), load4(j.w, q, p.k)));
    for (var s = 0u; s < 4u; s++) { tile_b[(4u * step + s) * STEP + quad] = columns[s]; }
  } else {
    for (var s = 0u; s < 4u; s++) {
      let l = t / 16u * 4u + s;
      var v = vec4f();
      if (l0 + l < p.n) { v = load4(l0 + l, place.x / 4u + t % 16u, p.k); }
      tile_b[l * STEP + t % 16u] = v;
    }
  }
}

fn tile(index: u32, t: u32) {
  let across = (width() + TILE - 1u) / TILE;
  let place = vec3u(index % across * TILE, index / across * TILE, 0u);
  var sums = tile_sums(place, depth(), t);
  for (var e = 0u; e < 64u; e++) { put(place.y + tile_row(t, e), place.x + tile_column(t, e), sums[e / 4u][e % 4u]); }
  for (var e = 0u; e < epilogues(64u); e++) { finish(place.y + tile_row(t, e), place.x + tile_column(t, e)); }
}

/** Row r of a exists up to here; the others are read again and not stored. */
fn few_row(r: u32) -> u32 { return min(r, p.m - 1u); }

fn few_nt(index: u32, t: u32) {
  let j = index * 8u + t / 8u;
  let row = min(j, p.n - 1u);
  var sums = vec4f();
  for (var q = t % 8u; 4u * q < p.k; q += 8u) {
    let v = load4(row, q, p.k);
    sums += vec4f(dot(v, a4(0u, q, p.k)), dot(v, a4(few_row(1u), q, p.k)), dot(v, a4(few_row(2u), q, p.k)), dot(v, a4(few_row(3u), q, p.k)));
  }
  tile_a[t] = sums;
  workgroupBarrier();
  let r = t % 8u;
  if (r >= FEW) { return; }
  var total = 0.0;
  for (var s = 0u; s < 8u; s++) { total += tile_a[t / 8u * 8u + s][r]; }
  put(r, j, total);
  finish(r, j);
}

fn few_nn(index: u32, t: u32) {
  let q = index * 16u + t % 16u;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var l = t / 16u; l < p.n; l += 4u) {
    let v = load4(l, q, p.k);
    s0 += f32(a[l]) * v;
    s1 += f32(a[few_row(1u) * p.lda + l]) * v;
    s2 += f32(a[few_row(2u) * p.lda + l]) * v;
    s3 += f32(a[few_row(3u) * p.lda + l]) * v;
  }
  tile_a[t] = s0;
  tile_a[64u + t] = s1;
  tile_a[128u + t] = s2;
  tile_a[192u + t] = s3;
  workgroupBarrier();
  let first = t / 16u * 64u + t % 16u;
  let v = tile_a[first] + tile_a[first + 16u] + tile_a[first + 32u] + tile_a[first + 48u];
  for (var x = 0u; x < 4u; x++) {
    put(t / 16u, 4u * q + x, v[x]);
    finish(t / 16u, 4u * q + x);
  }
}

@compute @workgroup_size(64)
fn qmatmul(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = wid.x + wid.y * nwg.x;
  if (p.m <= FEW) {
    let columns = select(8u, 64u, form == NN);
    if (index >= (width() + columns - 1u) / columns) { return; }
    if (form == NT) { few_nt(index, t); } else { few_nn(index, t); }
  } else if (index < (width() + TILE - 1u) / TILE * ((p.m + TILE - 1u) / TILE)) {
    tile(index, t);
  }
}

struct GatherParams { tokens: u32, k: u32, first: u32, n: u32, fill: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<uniform> g: GatherParams;

/** One thread per quad of y; an id below `first` wraps around to a row that is not there. */
@compute @workgroup_size(64)
fn qgather(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let index = (wid.x + wid.y * nwg.x) * 64u + t;
  let quads = (g.k + 3u) / 4u;
  if (index >= g.tokens * quads) { return; }
  let token = index / quads;
  let q = index % quads;
  let row = ids[token] - g.first;
  var v = vec4f();
  if (row < g.n) { v = load4(row, q, g.k); } else if (g.fill == 0u) { return; }
  for (var x = 0u; x < min(4u, g.k - 4u * q); x++) { y[token * g.k + 4u * q + x] = elem(v[x]); }
}
