// Matrix product on subgroup matrices: f16 units that add in f32, fed with f32. Each row of op(a) and each column of op(b) is scaled by a power of
// two so that its largest magnitude lies in [2^14, 2^15); each number then becomes the sum of two f16, hi + lo, off by at most 2^-22 of itself
// or 2^-24, whichever is more, and hi hi + hi lo + lo hi stands for the product. Powers of two come off again at the end. A row or column
// that holds an infinity or a NaN has no such scale: its outputs are summed one by one instead.
// 4 subgroups of `lanes` threads share a 64 x 64 tile, 32 x 32 each. The including file declares SIDE, the rows, columns and depth of a matrix.

@group(0) @binding(1) var<storage, read> a: array<elem>;
@group(0) @binding(2) var<storage, read> b: array<elem>;
/** Exponents of the scales: of the rows of op(a), batch after batch, then of the columns of op(b). */
@group(0) @binding(6) var<storage, read_write> exponents: array<f32>;

override form: u32 = 0u;
override lanes: u32 = 32u;

/** In place of an exponent where a row or column is not finite. */
const NOT_FINITE: f32 = 1000.0;
const TOP: i32 = 14;

const STRANDS: u32 = 64u;
var<workgroup> largest: array<u32, STRANDS>;

/** Rows or columns per workgroup: one where its numbers are neighbours in memory, else 16 that lie side by side. */
fn lines_of(neighbours: bool) -> u32 { return select(16u, 1u, neighbours); }

@compute @workgroup_size(64)
fn matmul_exponents(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let rows = p.batch * p.m;
  let columns = p.batch * p.n;
  let row_groups = (rows + lines_of(form != TN) - 1u) / lines_of(form != TN);
  let group = wid.x + wid.y * nwg.x;
  let of_a = group < row_groups;
  let lines = select(lines_of(form == NT), lines_of(form != TN), of_a);
  let count = select(columns, rows, of_a);
  let line = (group - select(row_groups, 0u, of_a)) * lines + t % lines;
  // Without their sign the bits of numbers are ordered as the numbers are, infinity and then NaN above all.
  var most = 0u;
  if (line < count) {
    if (of_a) {
      let start = row_start(form, line / p.m, line % p.m);
      for (var l = t / lines; l < p.k; l += STRANDS / lines) { most = max(most, bitcast<u32>(f32(a[start + l * k_step_a(form)])) & 0x7fffffffu); }
    } else {
      let start = column_start(form, line / p.n, line % p.n);
      for (var l = t / lines; l < p.k; l += STRANDS / lines) { most = max(most, bitcast<u32>(f32(b[start + l * k_step_b(form)])) & 0x7fffffffu); }
    }
  }
  largest[t] = most;
  workgroupBarrier();
  if (t >= lines || line >= count) { return; }
  for (var s = t; s < STRANDS; s += lines) { most = max(most, largest[s]); }
  let field = i32(most >> 23u);
  let at = line + select(rows, 0u, of_a);
  exponents[at] = select(f32(clamp(TOP + 127 - field, -126, 126)), NOT_FINITE, field == 255);
}

const TILE: u32 = 64u;
const DEPTH: u32 = 16u;
const REGION: u32 = 32u;
const ACROSS: u32 = REGION / SIDE;
const OUTPUTS: u32 = SIDE * SIDE;

alias Left = subgroup_matrix_left<f16, SIDE, SIDE>;
alias Right = subgroup_matrix_right<f16, SIDE, SIDE>;
alias Sum = subgroup_matrix_result<f32, SIDE, SIDE>;

/**
 * [row][k] and [k][column], rows 8 apart for fewer bank conflicts (and 16 bytes, as matrix loads want them). Counted for 32 threads and 32 banks: NT's
 * stores of b meet a bank 2 times, 16 without, TN's of a 4 times, 8 without. With `finished` 14.5 KiB at the most.
 */
const ROW_A: u32 = DEPTH + 8u;
const ROW_B: u32 = TILE + 8u;
var<workgroup> hi_a: array<f16, TILE * ROW_A>;
var<workgroup> lo_a: array<f16, TILE * ROW_A>;
var<workgroup> hi_b: array<f16, DEPTH * ROW_B>;
var<workgroup> lo_b: array<f16, DEPTH * ROW_B>;
/** Finished sums of one matrix of each subgroup, on their way to their threads. */
var<workgroup> finished: array<f32, 4u * OUTPUTS>;

fn exponent_a(z: u32, i: u32) -> f32 { return exponents[z * p.m + min(i, p.m - 1u)]; }
fn exponent_b(z: u32, j: u32) -> f32 { return exponents[p.batch * p.m + z * p.n + min(j, p.n - 1u)]; }

/** The number without the 13 bits that f16 has no room for. Not f32(f16(x)): compilers take that for x. */
fn high(x: f32) -> f32 { return bitcast<f32>(bitcast<u32>(x) & 0xffffe000u); }

/** Zero for what lies past the end of k or has no scale. */
fn scaled(value: f32, exponent: f32, l: u32) -> f32 {
  return select(0.0, value * bitcast<f32>(u32(127 + i32(min(exponent, 126.0))) << 23u), l < p.k && exponent != NOT_FINITE);
}

fn fill(z: u32, i0: u32, j0: u32, l0: u32, t: u32) {
  for (var e = t; e < TILE * DEPTH; e += 4u * lanes) {
    // Neighbouring threads load neighbours in memory.
    let ka = select(e % DEPTH, e / TILE, form == TN);
    let i = select(e / DEPTH, e % TILE, form == TN);
    let row = row_start(form, z, i0 + i);
    let va = scaled(f32(a[row + min(l0 + ka, p.k - 1u) * k_step_a(form)]), exponent_a(z, i0 + i), l0 + ka);
    hi_a[i * ROW_A + ka] = f16(high(va));
    lo_a[i * ROW_A + ka] = f16(va - high(va));
    let kb = select(e / TILE, e % DEPTH, form == NT);
    let j = select(e % TILE, e / DEPTH, form == NT);
    let column = column_start(form, z, j0 + j);
    let vb = scaled(f32(b[column + min(l0 + kb, p.k - 1u) * k_step_b(form)]), exponent_b(z, j0 + j), l0 + kb);
    hi_b[kb * ROW_B + j] = f16(high(vb));
    lo_b[kb * ROW_B + j] = f16(vb - high(vb));
  }
}

/** The sum without its powers of two, in two steps of which neither leaves the range of f32; one by one where there are none. */
fn descaled(z: u32, i: u32, j: u32, sum: f32) -> f32 {
  let ea = exponent_a(z, i);
  let eb = exponent_b(z, j);
  if (ea != NOT_FINITE && eb != NOT_FINITE) {
    let e = -i32(ea + eb);
    return ldexp(ldexp(sum, e / 2), e - e / 2);
  }
  var r = 0.0;
  for (var l = 0u; l < p.k; l++) {
    r += f32(a[row_start(form, z, i) + l * k_step_a(form)]) * f32(b[column_start(form, z, j) + l * k_step_b(form)]);
  }
  return r;
}

@compute @workgroup_size(4u * lanes)
fn matmul_subgroup_matrix(
  @builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32,
) {
  let across = (p.n + TILE - 1u) / TILE;
  let down = (p.m + TILE - 1u) / TILE;
  let index = wid.x + wid.y * nwg.x;
  if (index >= across * down * p.batch) { return; } // the same for the whole workgroup
  let z = index / across / down;
  let i0 = index / across % down * TILE;
  let j0 = index % across * TILE;
  let subgroup = t / lanes;
  let i_region = subgroup / 2u * REGION;
  let j_region = subgroup % 2u * REGION;
  var sums: array<Sum, ACROSS * ACROSS>;
  for (var l0 = 0u; l0 < p.k; l0 += DEPTH) {
    fill(z, i0, j0, l0, t);
    workgroupBarrier();
    for (var l = 0u; l < DEPTH; l += SIDE) {
      var hi: array<Right, ACROSS>;
      var lo: array<Right, ACROSS>;
      for (var x = 0u; x < ACROSS; x++) {
        hi[x] = subgroupMatrixLoad<Right, row_major>(&hi_b, l * ROW_B + j_region + x * SIDE, ROW_B);
        lo[x] = subgroupMatrixLoad<Right, row_major>(&lo_b, l * ROW_B + j_region + x * SIDE, ROW_B);
      }
      for (var y = 0u; y < ACROSS; y++) {
        let at = (i_region + y * SIDE) * ROW_A + l;
        let left = subgroupMatrixLoad<Left, row_major>(&hi_a, at, ROW_A);
        let rest = subgroupMatrixLoad<Left, row_major>(&lo_a, at, ROW_A);
        for (var x = 0u; x < ACROSS; x++) {
          let small = subgroupMatrixMultiplyAccumulate(rest, hi[x], subgroupMatrixMultiplyAccumulate(left, lo[x], sums[y * ACROSS + x]));
          sums[y * ACROSS + x] = subgroupMatrixMultiplyAccumulate(left, hi[x], small);
        }
      }
    }
    workgroupBarrier();
  }
  for (var s = 0u; s < ACROSS * ACROSS; s++) {
    subgroupMatrixStore<row_major>(&finished, subgroup * OUTPUTS, sums[s], SIDE);
    workgroupBarrier();
    for (var e = t % lanes; e < OUTPUTS; e += lanes) {
      let i = i0 + i_region + s / ACROSS * SIDE + e / SIDE;
      let j = j0 + j_region + s % ACROSS * SIDE + e % SIDE;
      if (i < p.m && j < p.n) {
        put(z, i, j, descaled(z, i, j, finished[subgroup * OUTPUTS + e]));
        finish(z, i, j);
      }
    }
    workgroupBarrier();
  }
}
