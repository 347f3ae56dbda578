// Sums over the rows of a (rows, cols) matrix for each column, for hardware: a workgroup has 4 vec4 of columns and 64 lanes of rows; lane l adds rows
// l, l + 64, ..., eight loads on their way at once, and a tree in fixed order adds the lanes: no atomics, the same bits every time. The including file
// says what a row brings: term(row, c), a vec4 of columns, for any row below its number.

/** vec4 side by side: 64 neighbouring bytes. */
const ACROSS: u32 = 4u;
const LANES: u32 = 256u / ACROSS;

var<workgroup> lane_sums: array<vec4f, 256>;

/** Zero past the last row, which is loaded in its place. */
fn term_or_zero(row: u32, rows: u32, c: u32) -> vec4f { return select(vec4f(), term(min(row, rows - 1u), c), row < rows); }

fn four_terms(row: u32, rows: u32, c: u32) -> vec4f {
  let a = term_or_zero(row, rows, c);
  let b = term_or_zero(row + LANES, rows, c);
  let d = term_or_zero(row + 2u * LANES, rows, c);
  let e = term_or_zero(row + 3u * LANES, rows, c);
  return (a + b) + (d + e);
}

/** Of vec4 column c; complete for threads t below ACROSS. */
fn column_sums(rows: u32, c: u32, t: u32) -> vec4f {
  var sum = vec4f();
  for (var row = t / ACROSS; row < rows; row += 8u * LANES) { sum += four_terms(row, rows, c) + four_terms(row + 4u * LANES, rows, c); }
  lane_sums[t] = sum;
  workgroupBarrier();
  for (var left = 64u; left >= ACROSS; left /= 4u) {
    if (t < left) {
      sum = (lane_sums[t] + lane_sums[t + left]) + (lane_sums[t + 2u * left] + lane_sums[t + 3u * left]);
      lane_sums[t] = sum;
    }
    workgroupBarrier();
  }
  return sum;
}
