// Workgroup-wide reductions that assume no subgroup size. The including file declares
// `const WG: u32` (a multiple of 16, its workgroup size in x) and calls from uniform control flow.
// Two rounds in shared memory, two barriers: 16 threads reduce every 16th value each, then every thread reduces those 16, in the same
// order, and so has the same result. A next call needs no barrier before it: it changes reduce_values when all have passed the second
// barrier, and reduce_parts when all have passed its own first one.

const REDUCE_PARTS: u32 = 16u;

var<workgroup> reduce_values: array<vec2f, WG>;
var<workgroup> reduce_parts: array<vec2f, REDUCE_PARTS>;

fn block_sum2(value: vec2f, t: u32) -> vec2f {
  reduce_values[t] = value;
  workgroupBarrier();
  if (t < REDUCE_PARTS) {
    var part = reduce_values[t];
    for (var i = t + REDUCE_PARTS; i < WG; i += REDUCE_PARTS) { part += reduce_values[i]; }
    reduce_parts[t] = part;
  }
  workgroupBarrier();
  var total = reduce_parts[0];
  for (var i = 1u; i < REDUCE_PARTS; i++) { total += reduce_parts[i]; }
  return total;
}

fn block_sum(value: f32, t: u32) -> f32 { return block_sum2(vec2f(value, 0.0), t).x; }

fn block_max(value: f32, t: u32) -> f32 {
  reduce_values[t].x = value;
  workgroupBarrier();
  if (t < REDUCE_PARTS) {
    var part = reduce_values[t].x;
    for (var i = t + REDUCE_PARTS; i < WG; i += REDUCE_PARTS) { part = max(part, reduce_values[i].x); }
    reduce_parts[t].x = part;
  }
  workgroupBarrier();
  var top = reduce_parts[0].x;
  for (var i = 1u; i < REDUCE_PARTS; i++) { top = max(top, reduce_parts[i].x); }
  return top;
}
