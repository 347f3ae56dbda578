// Operands of a product on subgroup matrices, made ready once: `packed` holds an exponent for each line and then the lines as f16, in matrices of
// SIDE lines x SIDE k. A line, a row of op(a) or a column of op(b), is scaled by a power of two so that its largest magnitude lies in [2^14, 2^15); each
// number then becomes the sum of two f16, hi + lo, off by at most 2^-22 of itself or 2^-24, whichever is more. A line that holds an infinity or a
// NaN has no such scale and becomes zeros: whoever stores its outputs sums them one by one.
//
// In vec4u: exponents (in x) of the lines of a, of b; matrices of a, of b. Batch after batch, SIDE lines after SIDE lines, SIDE k after SIDE k, hi
// before lo, k beside k. k is padded with zeros to whole turns of TURN; lines past the last are not written, and their outputs are not stored.
// The including file declares SIDE, `packed`, lines_of(operand) per batch, batches_of(operand) and depth().

const A: u32 = 0u;
const B: u32 = 1u;
const PARTS: u32 = 2u;

/** In place of an exponent where a line is not finite. */
const NOT_FINITE: f32 = 1000.0;
const TURN: u32 = 2u * SIDE;

/** Matrices along k, hi and lo as one; lines of matrices of a batch. */
fn steps() -> u32 { return (depth() + TURN - 1u) / TURN * (TURN / SIDE); }
fn blocks_of(operand: u32) -> u32 { return (lines_of(operand) + SIDE - 1u) / SIDE; }

/** Where an exponent lies, and the matrices of SIDE lines. */
fn exponent_at(operand: u32, z: u32, line: u32) -> u32 {
  return select(0u, batches_of(A) * lines_of(A), operand == B) + min(z, batches_of(operand) - 1u) * lines_of(operand) + line;
}
fn matrices_at(operand: u32, z: u32, block: u32) -> u32 {
  let exponents = batches_of(A) * lines_of(A) + batches_of(B) * lines_of(B);
  let before = select(0u, batches_of(A) * blocks_of(A), operand == B) + min(z, batches_of(operand) - 1u) * blocks_of(operand);
  return exponents + (before + block) * steps() * PARTS * MATRIX;
}

/** Of the last line beyond the edge. */
fn exponent_of(operand: u32, z: u32, line: u32) -> f32 {
  return bitcast<f32>(packed[exponent_at(operand, z, min(line, lines_of(operand) - 1u))].x);
}

/** Where the e-th vec4u of a tile's first turn lies; `line`: the tile's first. Past the last matrices, those again: nobody stores their outputs. */
fn packed_at(operand: u32, z: u32, line: u32, e: u32) -> u32 {
  let each = deep * PARTS * MATRIX;
  return matrices_at(operand, z, min(line / SIDE + e / each, blocks_of(operand) - 1u)) + e % each;
}
/** Its matrix in the tile, and its place therein. */
fn packed_slot(e: u32) -> vec2u { return vec2u(e / MATRIX, e % MATRIX / ROW * STRIDE + e % ROW); }
/** From one turn to the next. */
fn packed_turn() -> u32 { return deep * PARTS * MATRIX; }

/** A sum without the powers of two of its row and column, in two steps of which neither leaves the range of f32. */
fn descaled(sum: f32, exponent: f32) -> f32 {
  let e = -i32(exponent);
  return ldexp(ldexp(sum, e / 2), e - e / 2);
}
