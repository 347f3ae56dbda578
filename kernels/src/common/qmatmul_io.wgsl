//!use common/epilogue.wgsl
// What all WGSL of qmatmul shares: bindings, params, the output and its epilogue, and W. Layouts of W and its scales: format.ts. load4 is all that
// knows them: four neighbours of a row.

const NT: u32 = 0u;
const NN: u32 = 1u;
const F32: u32 = 0u;
const F16: u32 = 1u;
const INT8: u32 = 2u;
const INT4: u32 = 3u;
const GROUP: u32 = 32u;

override form: u32 = NT;
override format: u32 = F32;

struct Params { m: u32, n: u32, k: u32, lda: u32, ldc: u32, accumulate: u32, has_bias: u32, epilogue: u32 }

@group(0) @binding(0) var<storage, read_write> c: array<elem>;
@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> w: array<u32>;
@group(0) @binding(3) var<storage, read> scales: array<u32>;
@group(0) @binding(4) var<storage, read> bias: array<elem>;
/** Of c's shape and layout; read where there is an epilogue. */
@group(0) @binding(5) var<storage, read> aux: array<elem>;
@group(0) @binding(6) var<uniform> p: Params;

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
fn load4(row: u32, q: u32, k: u32) -> vec4f {
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

fn put(i: u32, j: u32, value: f32) {
  if (i >= p.m || j >= width()) { return; }
  let at = i * p.ldc + j;
  var r = value;
  if (p.has_bias != 0u) { r += f32(bias[j]); }
  if (p.accumulate != 0u) { r += f32(c[at]); }
  c[at] = elem(r);
}

/** The epilogue of one output that its thread has put. */
fn finish(i: u32, j: u32) {
  if (p.epilogue == NO_EPILOGUE || i >= p.m || j >= width()) { return; }
  let at = i * p.ldc + j;
  c[at] = elem(with_auxiliary(p.epilogue, f32(aux[at]), f32(c[at])));
}

/** Columns of c, and steps of the sum. */
fn width() -> u32 { return select(p.n, p.k, form == NN); }
fn depth() -> u32 { return select(p.k, p.n, form == NN); }
