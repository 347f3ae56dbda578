// Rows of any length, 32 columns to a thread at a time, for hardware: strips of 16 lie lanes apart, so that 32 neighbours read 128 bytes at once,
// whatever a row's length and start. The including file uses common/row_lanes.wgsl and common/wide.wgsl, and declares column(at), the number
// that lies at an element of its logits. A row that one turn covers can stay in registers.

/** Columns of a turn. */
override TURN: u32 = 32u * lanes;

/** Past the end the last column, which the maximum has seen anyway. */
fn strip(base: u32, cols: u32, c: u32) -> mat4x4f {
  let most = cols - 1u;
  let far = c + 8u * lanes;
  return mat4x4f(
    column(base + min(c, most)), column(base + min(c + lanes, most)),
    column(base + min(c + 2u * lanes, most)), column(base + min(c + 3u * lanes, most)),
    column(base + min(c + 4u * lanes, most)), column(base + min(c + 5u * lanes, most)),
    column(base + min(c + 6u * lanes, most)), column(base + min(c + 7u * lanes, most)),
    column(base + min(far, most)), column(base + min(far + lanes, most)),
    column(base + min(far + 2u * lanes, most)), column(base + min(far + 3u * lanes, most)),
    column(base + min(far + 4u * lanes, most)), column(base + min(far + 5u * lanes, most)),
    column(base + min(far + 6u * lanes, most)), column(base + min(far + 7u * lanes, most)),
  );
}

/** A row so far and 32 columns more from c on, with one rescaling. */
fn push(s: WideSums, a: mat4x4f, b: mat4x4f, c: u32, cols: u32) -> WideSums {
  let m = max(s.m, max(max16(a), max16(b)));
  let e = sum16(within(exp16(less16(a, m)), c, cols)) + sum16(within(exp16(less16(b, m)), c + 16u * lanes, cols));
  return WideSums(m, s.l * exp(s.m - m) + e);
}

/** The row's maximum and sum of exp(x - maximum) from those of its threads. */
fn row_sums(s: WideSums, t: u32) -> vec2f {
  let m = row_max(s.m, t);
  return vec2f(m, row_sum(sum4(s.l) * exp(s.m - m), t));
}
