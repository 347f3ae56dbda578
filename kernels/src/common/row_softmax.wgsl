// One pass over a row of a softmax, online. Twin of row_softmax.as.ts. The including file also uses common/block_reduce.wgsl.
// m: maximum so far; l = sum exp(d), s = sum exp(d) d with d = (x - m) scale.
// Then log-sum-exp = m scale + ln l, and the entropy in nats = ln l - s / l.

struct RowSums { m: f32, l: f32, s: f32 }

const ROW_LOWEST: f32 = -3.4028234e38;
// exp(-200) is 0 in f32: the floor keeps exp(d) d at 0 where d would be minus infinity.
const ROW_FLOOR: f32 = -200.0;

fn row_empty() -> RowSums { return RowSums(ROW_LOWEST, 0.0, 0.0); }

fn row_push(a: RowSums, x: f32, scale: f32) -> RowSums {
  if (x > a.m) {
    let d = max((a.m - x) * scale, ROW_FLOOR);
    let e = exp(d);
    return RowSums(x, a.l * e + 1.0, e * (a.s + a.l * d));
  }
  let d = max((x - a.m) * scale, ROW_FLOOR);
  let e = exp(d);
  return RowSums(a.m, a.l + e, a.s + e * d);
}

// The row's sums from those of its threads; every thread gets the same.
fn block_row(a: RowSums, scale: f32, t: u32) -> RowSums {
  let m = block_max(a.m, t);
  let d = max((a.m - m) * scale, ROW_FLOOR);
  let e = exp(d);
  return RowSums(m, block_sum(a.l * e, t), block_sum(e * (a.s + a.l * d), t));
}
