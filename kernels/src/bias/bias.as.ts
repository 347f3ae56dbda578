// Gradient of a bias; formula in bias.wgsl. A work item is 16 columns, one cache line of every row, in 4 registers.

const COLS: i32 = 16;

export function bias_bwd(dbias: usize, dy: usize, rows: i32, cols: i32, lo: i32, hi: i32): void {
  const row = (<usize>cols) << 2;
  for (let item = lo; item < hi; item++) {
    const c0 = item * COLS;
    let g = dy + ((<usize>c0) << 2);
    if (c0 + COLS <= cols) {
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
      for (let n = 0; n < rows; n++) {
        s0 = f32x4.add(s0, v128.load(g));
        s1 = f32x4.add(s1, v128.load(g, 16));
        s2 = f32x4.add(s2, v128.load(g, 32));
        s3 = f32x4.add(s3, v128.load(g, 48));
        g += row;
      }
      const to = dbias + ((<usize>c0) << 2);
      v128.store(to, f32x4.add(v128.load(to), s0));
      v128.store(to, f32x4.add(v128.load(to, 16), s1), 16);
      v128.store(to, f32x4.add(v128.load(to, 32), s2), 32);
      v128.store(to, f32x4.add(v128.load(to, 48), s3), 48);
      continue;
    }
    for (let c = c0; c < cols; c++) {
      let s: f32 = 0;
      for (let n = 0; n < rows; n++) s += load<f32>(g + <usize>n * row);
      const to = dbias + ((<usize>c) << 2);
      store<f32>(to, load<f32>(to) + s);
      g += 4;
    }
  }
}
