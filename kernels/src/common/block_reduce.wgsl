// Workgroup-wide reductions that assume no subgroup size. The including file declares
// WG: u32, a constant or an override (a power of two from 8 on, its workgroup size in x) and calls from uniform control flow.
// Two levels over shared memory: some threads reduce a group of REDUCE_GROUP values each, then every thread reduces the groups, in the
// same order, so all get the same bits. Rows of few columns share a workgroup, `lanes` threads each.
// Two barriers a call; a tree has log2(WG) + 2, and software adapters pay for a barrier with a switch of every subgroup.
// With one_thread a row has a single thread, and nothing here remains of it: what a row kernel's variant for CPUs sets (lanes.ts).
// No barrier at the end: the next call writes what this one read only behind a barrier of its own.

override REDUCE_GROUP: u32 = select(16u, 8u, WG <= 64u);
override REDUCE_GROUPS: u32 = WG / REDUCE_GROUP;

override one_thread: bool = false;

var<workgroup> reduce_values: array<vec2f, WG>;
var<workgroup> reduce_groups: array<vec2f, REDUCE_GROUPS>;

// Threads for a row of `cols` columns: a power of two from REDUCE_GROUP to WG, about one for each 16 columns. A thread beyond the columns
// costs a software adapter as much as one that works. Twin of rowGrid in lanes.ts.
fn row_lanes(cols: u32) -> u32 {
  if (one_thread) { return 1u; }
  var lanes = REDUCE_GROUP;
  while (lanes < WG && lanes * 16u < cols) { lanes *= 2u; }
  return lanes;
}

// Two sums over the `lanes` threads of a row; each of them gets both.
fn lane_sum2(value: vec2f, t: u32, lanes: u32) -> vec2f {
  if (one_thread) { return value; }
  reduce_values[t] = value;
  workgroupBarrier();
  if (t < REDUCE_GROUPS) {
    var s = vec2f();
    for (var i = 0u; i < REDUCE_GROUP; i++) { s += reduce_values[t * REDUCE_GROUP + i]; }
    reduce_groups[t] = s;
  }
  workgroupBarrier();
  let first = (t - t % lanes) / REDUCE_GROUP;
  var total = vec2f();
  for (var i = first; i < first + lanes / REDUCE_GROUP; i++) { total += reduce_groups[i]; }
  return total;
}

fn lane_sum(value: f32, t: u32, lanes: u32) -> f32 { return lane_sum2(vec2f(value, 0.0), t, lanes).x; }

fn lane_max(value: f32, t: u32, lanes: u32) -> f32 {
  if (one_thread) { return value; }
  reduce_values[t].x = value;
  workgroupBarrier();
  if (t < REDUCE_GROUPS) {
    var m = reduce_values[t * REDUCE_GROUP].x;
    for (var i = 1u; i < REDUCE_GROUP; i++) { m = max(m, reduce_values[t * REDUCE_GROUP + i].x); }
    reduce_groups[t].x = m;
  }
  workgroupBarrier();
  let first = (t - t % lanes) / REDUCE_GROUP;
  var top = reduce_groups[first].x;
  for (var i = first + 1u; i < first + lanes / REDUCE_GROUP; i++) { top = max(top, reduce_groups[i].x); }
  return top;
}

// The same over the whole workgroup.
fn block_sum2(value: vec2f, t: u32) -> vec2f { return lane_sum2(value, t, WG); }

fn block_sum(value: f32, t: u32) -> f32 { return lane_sum2(vec2f(value, 0.0), t, WG).x; }

fn block_max(value: f32, t: u32) -> f32 { return lane_max(value, t, WG); }

var<workgroup> reduce_values3: array<vec3f, WG>;
var<workgroup> reduce_groups3: array<vec3f, REDUCE_GROUPS>;

// Three sums at once, each in the order of block_sum.
fn block_sum3(value: vec3f, t: u32) -> vec3f {
  reduce_values3[t] = value;
  workgroupBarrier();
  if (t < REDUCE_GROUPS) {
    var s = vec3f();
    for (var i = 0u; i < REDUCE_GROUP; i++) { s += reduce_values3[t * REDUCE_GROUP + i]; }
    reduce_groups3[t] = s;
  }
  workgroupBarrier();
  var total = vec3f();
  for (var i = 0u; i < REDUCE_GROUPS; i++) { total += reduce_groups3[i]; }
  return total;
}
