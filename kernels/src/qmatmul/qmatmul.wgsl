alias elem = f32;
// Products with a frozen matrix W (N, K) kept in 32-bit words, dequantised on load, sums in f32:
//   NT: c (M,N) = a (M,K) W^T [+ bias (N)] [+ c]     NN: c (M,K) = a (M,N) W [+ bias (K)] [+ c]
//   gather: y[t] = W[ids[t] - first]
// Layouts of W and its scales: format.ts. load4 is all that knows them: four neighbours of a row.
// Tiles of 64 x 64 outputs by 64 threads, 8 x 8 each (two quads of rows, two of columns): 16 steps of the sum at a time, W is dequantised
// once per tile into workgroup memory. At most FEW rows: NT shares the K of 8 columns among 8 threads each, NN the N of 64 columns
// among 4 threads per quad; partial sums are added in fixed order. Out-of-range steps give 0, out-of-range outputs are not stored.
// qmatmul.ts counts the workgroups by the same TILE, FEW and columns.

const NT: u32 = 0u;
const NN: u32 = 1u;
const F32: u32 = 0u;
const F16: u32 = 1u;
const INT8: u32 = 2u;
const INT4: u32 = 3u;
const TILE: u32 = 64u;
const FEW: u32 = 4u;
/** Steps of the sum per turn. */
const DEPTH: u32 = 16u;
const GROUP: u32 = 32u;

struct Params { m: u32, n: u32, k: u32, lda: u32, ldc: u32, accumulate: u32, has_bias: u32 }

@group(0) @binding(0) var<storage, read_write> c: array<elem>;
@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<elem>;
@group(0) @binding(5) var<uniform> p: Params;

fn float_at(at: u32, live: bool) -> f32 {
  if (!live) { return 0.0; }
  return bitcast<f32>(w[at]);
}

fn halves(at: u32) -> vec4f { return vec4f(unpack2x16float(w[at]), unpack2x16float(w[at + 1u])); }

/** Four bytes, sign extended. */
fn bytes(at: u32) -> vec4f {
  let word = w[at];
  return vec4f(bitcast<vec4i>(vec4u(word << 24u, word << 16u, word << 8u, word)) >> vec4u(24u));
}

fn nibbles(at: u32, high: u32) -> vec4f {
  let word = w[at] >> (4u * high);
  return vec4f(vec4u(word, word >> 8u, word >> 16u, word >> 24u) & vec4u(15u)) - 8.0;
}

fn scale_from(word: u32, group: u32) -> f32 { return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (group & 1u) == 1u)); }

/** Elements 4q .. 4q+3 of a row of W, k long; 0 from k on. */
fn load4(format: u32, row: u32, q: u32, k: u32) -> vec4f {
  let x = 4u * q;
  if (x >= k) { return vec4f(); }
  if (format == F32) {
    let at = row * k + x;
    return vec4f(float_at(at, true), float_at(at + 1u, x + 1u < k), float_at(at + 2u, x + 2u < k), float_at(at + 3u, x + 3u < k));
  }
  if (format == F16) { return halves(row * ((k + 7u) / 8u * 4u) + 2u * q); }
  let groups = (k + GROUP - 1u) / GROUP;
  let group = x / GROUP;
  let scale = scale_from(scales[row * ((groups + 1u) / 2u) + group / 2u], group);
  if (format == INT8) { return scale * bytes(row * groups * 8u + q); }
  return scale * nibbles(row * groups * 4u + q / 2u, q & 1u);
}

/** Elements 4q .. 4q+3 of row i of a, `depth` long; 0 from there on. */
fn a4(i: u32, q: u32, depth: u32) -> vec4f {
  let x = 4u * q;
  let at = i * p.lda + x;
  var r = vec4f();
  if (x < depth) { r.x = f32(a[at]); }
  if (x + 1u < depth) { r.y = f32(a[at + 1u]); }
  if (x + 2u < depth) { r.z = f32(a[at + 2u]); }
  if (x + 3u < depth) { r.w = f32(a[at + 3u]); }
  return r;
}

fn put(i: u32, j: u32, width: u32, value: f32) {
  if (i >= p.m || j >= width) { return; }
  let at = i * p.ldc + j;
  var r = value;
  if (p.has_bias != 0u) { r += f32(bias[j]); }
  if (p.accumulate != 0u) { r += f32(c[at]); }
  c[at] = elem(r);
}

fn put4(i: u32, j: u32, width: u32, v: vec4f) {
  for (var x = 0u; x < 4u; x++) { put(i, j + x, width, v[x]); }
}

/** Steps x 16 quads: rows of a, columns of c. */
var<workgroup> left: array<vec4f, 256>;
var<workgroup> right: array<vec4f, 256>;

/** One quad of neighbours per thread and turn becomes a column of four steps. */
fn store_across(rows: ptr<function, mat4x4f>, quad: u32, step: u32, into_left: bool) {
  let t = transpose(*rows);
  for (var s = 0u; s < 4u; s++) {
    let at = (4u * step + s) * 16u + quad;
    if (into_left) { left[at] = t[s]; } else { right[at] = t[s]; }
  }
}

fn tile(form: u32, format: u32, index: u32, t: u32) {
  let width = select(p.n, p.k, form == NN);
  let depth = select(p.k, p.n, form == NN);
  let across = (width + TILE - 1u) / TILE;
  let i0 = index / across * TILE;
  let j0 = index % across * TILE;
  let quad = t % 16u;
  let step = t / 16u;
  let ty = t / 8u;
  let tx = t % 8u;
  var l0 = vec4f(); var r0 = vec4f();
  var l1 = vec4f(); var r1 = vec4f();
  var l2 = vec4f(); var r2 = vec4f();
  var l3 = vec4f(); var r3 = vec4f();
  var l4 = vec4f(); var r4 = vec4f();
  var l5 = vec4f(); var r5 = vec4f();
  var l6 = vec4f(); var r6 = vec4f();
  var l7 = vec4f(); var r7 = vec4f();
  for (var k0 = 0u; k0 < depth; k0 += DEPTH) {
    let q = k0 / 4u + step;
    let i = i0 + 4u * quad;
    let last = p.m - 1u;
    var rows = mat4x4f(a4(min(i, last), q, depth), a4(min(i + 1u, last), q, depth), a4(min(i + 2u, last), q, depth), a4(min(i + 3u, last), q, depth));
    store_across(&rows, quad, step, true);
    if (form == NT) {
      let j = j0 + 4u * quad;
      let end = p.n - 1u;
      rows = mat4x4f(load4(format, min(j, end), q, p.k), load4(format, min(j + 1u, end), q, p.k), load4(format, min(j + 2u, end), q, p.k),
        load4(format, min(j + 3u, end), q, p.k));
      store_across(&rows, quad, step, false);
    } else {
      for (var s = 0u; s < 4u; s++) {
        let row = k0 + 4u * step + s;
        var v = vec4f();
        if (row < depth) { v = load4(format, row, j0 / 4u + quad, p.k); }
        right[(4u * step + s) * 16u + quad] = v;
      }
    }
    workgroupBarrier();
    for (var s = 0u; s < DEPTH; s++) {
      let al = left[s * 16u + ty];
      let ar = left[s * 16u + 8u + ty];
      let bl = right[s * 16u + tx];
      let br = right[s * 16u + 8u + tx];
      l0 += al.x * bl; r0 += al.x * br;
      l1 += al.y * bl; r1 += al.y * br;
      l2 += al.z * bl; r2 += al.z * br;
      l3 += al.w * bl; r3 += al.w * br;
      l4 += ar.x * bl; r4 += ar.x * br;
      l5 += ar.y * bl; r5 += ar.y * br;
      l6 += ar.z * bl; r6 += ar.z * br;
      l7 += ar.w * bl; r7 += ar.w * br;
    }
    workgroupBarrier();
  }
  // A loop over an array, not 16 calls: what a call is inlined to is long, and drivers compile it 16 times.
  let sums = array<vec4f, 16>(l0, r0, l1, r1, l2, r2, l3, r3, l4, r4, l5, r5, l6, r6, l7, r7);
  for (var x = 0u; x < 16u; x++) {
    put4(i0 + 4u * ty + x / 2u % 4u + 32u * (x / 8u), j0 + 4u * tx + 32u * (x % 2u), width, sums[x]);
  }
}

/** Row r of a exists up to here; the others are read again and not stored. */
fn few_row(r: u32) -> u32 { return min(r, p.m - 1u); }

fn few_nt(format: u32, index: u32, t: u32) {
  let j = index * 8u + t / 8u;
  let row = min(j, p.n - 1u);
  var sums = vec4f();
  for (var q = t % 8u; 4u * q < p.k; q += 8u) {
    let v = load4(format, row, q, p.k);
    sums += vec4f(dot(v, a4(0u, q, p.k)), dot(v, a4(few_row(1u), q, p.k)), dot(v, a4(few_row(2u), q, p.k)), dot(v, a4(few_row(3u), q, p.k)));
  }
  left[t] = sums;
  workgroupBarrier();
  let r = t % 8u;
  if (r >= FEW) { return; }
  var total = 0.0;
  for (var s = 0u; s < 8u; s++) { total += left[t / 8u * 8u + s][r]; }
  put(r, j, p.n, total);
}

fn few_nn(format: u32, index: u32, t: u32) {
  let q = index * 16u + t % 16u;
  var s0 = vec4f();
  var s1 = vec4f();
  var s2 = vec4f();
  var s3 = vec4f();
  for (var l = t / 16u; l < p.n; l += 4u) {
    let v = load4(format, l, q, p.k);
    s0 += f32(a[l]) * v;
    s1 += f32(a[few_row(1u) * p.lda + l]) * v;
    s2 += f32(a[few_row(2u) * p.lda + l]) * v;
    s3 += f32(a[few_row(3u) * p.lda + l]) * v;
  }
  left[t] = s0;
  left[64u + t] = s1;
  left[128u + t] = s2;
  left[192u + t] = s3;
  workgroupBarrier();
  let first = t / 16u * 64u + t % 16u;
  put4(t / 16u, 4u * q, p.k, left[first] + left[first + 16u] + left[first + 32u] + left[first + 48u]);
}

fn run(form: u32, format: u32, wid: vec3u, nwg: vec3u, t: u32) {
  let index = wid.x + wid.y * nwg.x;
  let width = select(p.n, p.k, form == NN);
  if (p.m <= FEW) {
    let columns = select(8u, 64u, form == NN);
    if (index >= (width + columns - 1u) / columns) { return; }
    if (form == NT) { few_nt(format, index, t); } else { few_nn(format, index, t); }
  } else if (index < (width + TILE - 1u) / TILE * ((p.m + TILE - 1u) / TILE)) {
    tile(form, format, index, t);
  }
}

@compute @workgroup_size(64)
fn qmatmul_nt_f32(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NT, F32, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nt_f16(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NT, F16, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nt_int8(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NT, INT8, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nt_int4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NT, INT4, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nn_f32(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NN, F32, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nn_f16(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NN, F16, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nn_int8(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NN, INT8, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qmatmul_nn_int4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  run(NN, INT4, wid, nwg, t);
}

struct GatherParams { tokens: u32, k: u32, first: u32, n: u32, fill: u32 }

@group(0) @binding(0) var<storage, read_write> y: array<elem>;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(4) var<uniform> g: GatherParams;

/** One thread per quad of y; an id below `first` wraps around to a row that is not there. */
fn gather(format: u32, wid: vec3u, nwg: vec3u, t: u32) {
  let index = (wid.x + wid.y * nwg.x) * 64u + t;
  let quads = (g.k + 3u) / 4u;
  if (index >= g.tokens * quads) { return; }
  let token = index / quads;
  let q = index % quads;
  let row = ids[token] - g.first;
  var v = vec4f();
  if (row < g.n) { v = load4(format, row, q, g.k); } else if (g.fill == 0u) { return; }
  for (var x = 0u; x < min(4u, g.k - 4u * q); x++) { y[token * g.k + 4u * q + x] = elem(v[x]); }
}

@compute @workgroup_size(64)
fn qgather_f32(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  gather(F32, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qgather_f16(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  gather(F16, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qgather_int8(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  gather(INT8, wid, nwg, t);
}
@compute @workgroup_size(64)
fn qgather_int4(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  gather(INT4, wid, nwg, t);
}
