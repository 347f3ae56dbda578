// Rows by index; formulas in embedding.wgsl. Forward: a work item is a token. Backward: a work item is a unique id; its tokens are
// summed in 16 columns at a time, in 4 registers.

export function embedding_fwd(y: usize, weight: usize, ids: usize, tokens: i32, dim: i32, vocab: i32, lo: i32, hi: i32): void {
  const row = (<usize>dim) << 2;
  for (let t = lo; t < hi; t++) {
    const id = load<u32>(ids + ((<usize>t) << 2));
    const to = y + <usize>t * row;
    if (id < <u32>vocab) memory.copy(to, weight + <usize>id * row, row);
    else memory.fill(to, 0, row);
  }
}

export function embedding_bwd(dweight: usize, dy: usize, order: usize, unique_ids: usize, row_start: usize, num_unique: i32, dim: i32,
  tokens: i32, vocab: i32, lo: i32, hi: i32): void {
  const row = (<usize>dim) << 2;
  const wide = dim & ~15;
  for (let u = lo; u < hi; u++) {
    const id = load<u32>(unique_ids + ((<usize>u) << 2));
    if (id >= <u32>vocab) continue;
    const first = order + ((<usize>load<u32>(row_start + ((<usize>u) << 2))) << 2);
    const last = order + ((<usize>load<u32>(row_start + ((<usize>u) << 2), 4)) << 2);
    const to = dweight + <usize>id * row;
    let c = 0;
    for (; c < wide; c += 16) {
      let s0 = f32x4.splat(0), s1 = f32x4.splat(0), s2 = f32x4.splat(0), s3 = f32x4.splat(0);
      const o = (<usize>c) << 2;
      for (let i = first; i < last; i += 4) {
        const g = dy + <usize>load<u32>(i) * row + o;
        s0 = f32x4.add(s0, v128.load(g));
        s1 = f32x4.add(s1, v128.load(g, 16));
        s2 = f32x4.add(s2, v128.load(g, 32));
        s3 = f32x4.add(s3, v128.load(g, 48));
      }
      v128.store(to + o, f32x4.add(v128.load(to + o), s0));
      v128.store(to + o, f32x4.add(v128.load(to + o, 16), s1), 16);
      v128.store(to + o, f32x4.add(v128.load(to + o, 32), s2), 32);
      v128.store(to + o, f32x4.add(v128.load(to + o, 48), s3), 48);
    }
    for (; c < dim; c++) {
      const o = (<usize>c) << 2;
      let s: f32 = 0;
      for (let i = first; i < last; i += 4) s += load<f32>(dy + <usize>load<u32>(i) * row + o);
      store<f32>(to + o, load<f32>(to + o) + s);
    }
  }
}
