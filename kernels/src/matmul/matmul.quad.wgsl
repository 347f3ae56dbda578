enable subgroups;
alias elem = f32;
//!use common/matmul_io.wgsl
// Quad swaps: 32 x 8 outputs per thread. Each thread of a quad loads 8 rows of op(a); swapping with its three neighbours, one instruction
// where a broadcast is many, it multiplies all 32 with 8 columns of its own. Eight steps of k per turn, four to a load; 8 threads of a
// workgroup share the 32 rows and stand side by side, 64 columns, so it does not matter which threads form a quad, nor how large a
// subgroup is. Sums front to back. What it wants of the shape: `quad` in variants.ts.

@group(0) @binding(1) var<storage, read> a: array<vec4f>;
@group(0) @binding(2) var<storage, read> b: array<vec4f>;

override form: u32 = 0u;

const ROWS: u32 = 32u;
const WIDE: u32 = 8u;

/** Where four lines begin that lie one after the other: rows of op(a) or columns of op(b), the last one repeated past the edge. */
fn lines(start: u32, line: u32, count: u32) -> vec4u {
  return (start + min(vec4u(line, line + 1u, line + 2u, line + 3u), vec4u(count - 1u)) * p.k) / 4u;
}

/** Past the last k a line of TN has zeros; those of NN and NT end with a turn. */
fn a_at(at: u32, l: u32) -> vec4f {
  if (form == TN) { return select(vec4f(), a[at], l < p.k); }
  return a[at];
}

fn b_at(at: u32, l: u32) -> vec4f {
  if (form == TN) { return select(vec4f(), b[at], l < p.k); }
  return b[at];
}

/** Four rows of op(a) by k .. k + 3, a row to a column of the matrix. */
fn block_a(at: vec4u, l: u32) -> mat4x4f {
  if (form == TN) {
    let step = p.m / 4u;
    let k = at.x + l * step;
    return transpose(mat4x4f(a_at(k, l), a_at(k + step, l + 1u), a_at(k + 2u * step, l + 2u), a_at(k + 3u * step, l + 3u)));
  }
  let k = at + l / 4u;
  return mat4x4f(a_at(k.x, l), a_at(k.y, l), a_at(k.z, l), a_at(k.w, l));
}

/** Four columns of op(b) by k .. k + 3, a column to a column of the matrix. */
fn block_b(at: vec4u, l: u32) -> mat4x4f {
  if (form == NT) {
    let k = at + l / 4u;
    return mat4x4f(b_at(k.x, l), b_at(k.y, l), b_at(k.z, l), b_at(k.w, l));
  }
  let step = p.n / 4u;
  let k = at.x + l * step;
  return transpose(mat4x4f(b_at(k, l), b_at(k + step, l + 1u), b_at(k + 2u * step, l + 2u), b_at(k + 3u * step, l + 3u)));
}

/** Eight columns by eight k: k .. k + 3 and k + 4 .. k + 7 of four columns, and of four more. */
struct Block { a0: mat4x4f, a1: mat4x4f, b0: mat4x4f, b1: mat4x4f }

/** One output at a time: its sum then stays in a register for eight terms. */
fn add8(s: f32, v: vec4f, w: vec4f, y: vec4f, z: vec4f) -> f32 {
  return s + v.x * y.x + v.y * y.y + v.z * y.z + v.w * y.w + w.x * z.x + w.y * z.y + w.z * z.z + w.w * z.w;
}

fn add_row(s: mat2x4f, v: vec4f, w: vec4f, y: Block) -> mat2x4f {
  return mat2x4f(
    add8(s[0].x, v, w, y.a0[0], y.a1[0]), add8(s[0].y, v, w, y.a0[1], y.a1[1]),
    add8(s[0].z, v, w, y.a0[2], y.a1[2]), add8(s[0].w, v, w, y.a0[3], y.a1[3]),
    add8(s[1].x, v, w, y.b0[0], y.b1[0]), add8(s[1].y, v, w, y.b0[1], y.b1[1]),
    add8(s[1].z, v, w, y.b0[2], y.b1[2]), add8(s[1].w, v, w, y.b0[3], y.b1[3]),
  );
}

/** Of a row, the thread's own, and its three neighbours' rows: 8 columns each. */
struct Sums { own: mat2x4f, x: mat2x4f, y: mat2x4f, d: mat2x4f }

fn outer(s: Sums, v: vec4f, w: vec4f, y: Block) -> Sums {
  return Sums(
    add_row(s.own, v, w, y),
    add_row(s.x, quadSwapX(v), quadSwapX(w), y),
    add_row(s.y, quadSwapY(v), quadSwapY(w), y),
    add_row(s.d, quadSwapDiagonal(v), quadSwapDiagonal(w), y),
  );
}

/** Output e of lane q of a quad, from the first row and column of its own. */
fn row_of(e: u32, q: u32) -> u32 { return e / 128u * 16u + 4u * (q ^ (e / 8u % 4u)) + e / 32u % 4u; }
fn column_of(e: u32) -> u32 { return e / 4u % 2u * 4u * WIDE + e % 4u; }

@compute @workgroup_size(8)
fn matmul_quad(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u,
  @builtin(local_invocation_index) t: u32, @builtin(subgroup_invocation_id) lane: u32,
) {
  let across = (p.n + 8u * WIDE - 1u) / (8u * WIDE);
  let down = (p.m + ROWS - 1u) / ROWS;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch) { return; }
  let z = index / across / down;
  let i0 = (index / across % down) * ROWS;
  let j0 = (index % across) * 8u * WIDE + 4u * t;
  let q = lane % 4u;
  let start_a = z * p.stride_a;
  let start_b = z * p.stride_b;
  var rows0 = lines(start_a, i0 + 4u * q, p.m);
  var rows1 = lines(start_a, i0 + 16u + 4u * q, p.m);
  if (form == TN) {
    rows0.x = (start_a + min(i0 + 4u * q, p.m - 4u)) / 4u;
    rows1.x = (start_a + min(i0 + 16u + 4u * q, p.m - 4u)) / 4u;
  }
  var columns0 = lines(start_b, j0, p.n);
  var columns1 = lines(start_b, j0 + 4u * WIDE, p.n);
  if (form != NT) {
    columns0.x = (start_b + min(j0, p.n - 4u)) / 4u;
    columns1.x = (start_b + min(j0 + 4u * WIDE, p.n - 4u)) / 4u;
  }
  var s0 = Sums(); var s1 = Sums(); var s2 = Sums(); var s3 = Sums();
  var s4 = Sums(); var s5 = Sums(); var s6 = Sums(); var s7 = Sums();
  for (var l = 0u; l < p.k; l += 8u) {
    let y = Block(block_b(columns0, l), block_b(columns0, l + 4u), block_b(columns1, l), block_b(columns1, l + 4u));
    let v0 = block_a(rows0, l);
    let w0 = block_a(rows0, l + 4u);
    s0 = outer(s0, v0[0], w0[0], y); s1 = outer(s1, v0[1], w0[1], y); s2 = outer(s2, v0[2], w0[2], y); s3 = outer(s3, v0[3], w0[3], y);
    let v1 = block_a(rows1, l);
    let w1 = block_a(rows1, l + 4u);
    s4 = outer(s4, v1[0], w1[0], y); s5 = outer(s5, v1[1], w1[1], y); s6 = outer(s6, v1[2], w1[2], y); s7 = outer(s7, v1[3], w1[3], y);
  }
  var sums = array<mat2x4f, 32>(
    s0.own, s0.x, s0.y, s0.d, s1.own, s1.x, s1.y, s1.d, s2.own, s2.x, s2.y, s2.d, s3.own, s3.x, s3.y, s3.d,
    s4.own, s4.x, s4.y, s4.d, s5.own, s5.x, s5.y, s5.d, s6.own, s6.x, s6.y, s6.d, s7.own, s7.x, s7.y, s7.d,
  );
  for (var e = 0u; e < 256u; e++) { put(z, i0 + row_of(e, q), j0 + column_of(e), sums[e / 8u][e / 4u % 2u][e % 4u]); }
  // The second half of the outputs has the second half of the rows: no silu for the idle ones of a decode step.
  let outputs = epilogues(select(256u, 128u, i0 + 16u >= p.m));
  for (var e = 0u; e < outputs; e++) { finish(z, i0 + row_of(e, q), j0 + column_of(e)); }
}
