// Workgroup-wide reductions that assume no subgroup size. The including file declares
// `const WG: u32` (a power of two, its workgroup size in x) and calls from uniform control flow.
// Tree over shared memory: log2(WG) barriers; every thread gets the same value back.

var<workgroup> reduce_scratch: array<f32, WG>;

fn block_sum(value: f32, t: u32) -> f32 {
  reduce_scratch[t] = value;
  workgroupBarrier();
  for (var s = WG / 2u; s > 0u; s >>= 1u) {
    if (t < s) { reduce_scratch[t] += reduce_scratch[t + s]; }
    workgroupBarrier();
  }
  let total = reduce_scratch[0];
  workgroupBarrier();
  return total;
}

fn block_max(value: f32, t: u32) -> f32 {
  reduce_scratch[t] = value;
  workgroupBarrier();
  for (var s = WG / 2u; s > 0u; s >>= 1u) {
    if (t < s) { reduce_scratch[t] = max(reduce_scratch[t], reduce_scratch[t + s]); }
    workgroupBarrier();
  }
  let top = reduce_scratch[0];
  workgroupBarrier();
  return top;
}
