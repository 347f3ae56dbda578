// One pass over a row of a softmax, online. Twin of row_softmax.as.ts. The including file also uses common/block_reduce.wgsl.
// m: maximum so far; l = sum exp(d), s = sum exp(d) d with d = (x - m) scale.
// Then log-sum-exp = m scale + ln l, and the entropy in nats = ln l - s / l.

struct RowSums { m: f32, l: f32, s: f32 }

const ROW_LOWEST: f32 = -3.4028234e38;
// exp(-200) is 0 in f32: the floor keeps exp(d) d at 0 where d would be minus infinity.
const ROW_FLOOR: f32 = -200.0;

fn row_empty() -> RowSums { return RowSums(ROW_LOWEST, 0.0, 0.0); }

// One exp either way: of the old maximum's distance to a larger x, or of x's distance to the maximum.
fn row_push(a: RowSums, x: f32, scale: f32) -> RowSums {
  let above = x > a.m;
  let d = max(-abs(x - a.m) * scale, ROW_FLOOR);
  let e = exp(d);
  return RowSums(select(a.m, x, above), select(a.l + e, a.l * e + 1.0, above), select(a.s + e * d, e * (a.s + a.l * d), above));
}

// The row's sums from those of its threads; every thread gets the same.
fn block_row(a: RowSums, scale: f32, t: u32) -> RowSums {
  let m = block_max(a.m, t);
  let d = max((a.m - m) * scale, ROW_FLOOR);
  let e = exp(d);
  let sums = block_sum2(vec2f(a.l * e, e * (a.s + a.l * d)), t);
  return RowSums(m, sums.x, sums.y);
}

// The same over the `lanes` threads of a row, where nobody reads s.
fn lane_row(a: RowSums, t: u32, lanes: u32) -> RowSums {
  let m = lane_max(a.m, t, lanes);
  return RowSums(m, lane_sum(a.l * exp(max(a.m - m, ROW_FLOOR)), t, lanes), 0.0);
}
