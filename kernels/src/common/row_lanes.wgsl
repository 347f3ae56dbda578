// Rows that `lanes` neighbouring threads share, and their sums over workgroup memory, for hardware: no subgroup size is assumed. The including
// file calls from uniform control flow. Two levels, two barriers: FIRST threads of a row add values FIRST apart, then every thread adds
// theirs, so all get the same bits. Neighbours read neighbours: 32 banks serve 32 threads at once, where those of block_reduce.wgsl, a group of
// consecutive values each, meet one bank. A sum spells out four loads, so that none waits for another.
// No barrier at the end: the next call writes what this one read only behind a barrier of its own.

/** Threads of a workgroup and of a row: powers of two, lanes 32 at the least. */
override WG: u32 = 64u;
override lanes: u32 = 64u;

override FIRST: u32 = select(8u, 16u, lanes > 64u);
override FIRSTS: u32 = WG / lanes * FIRST;

var<workgroup> lane_values: array<vec2f, WG>;
var<workgroup> first_values: array<vec2f, FIRSTS>;

fn add_lanes(at: u32, step: u32) -> vec2f {
  return (lane_values[at] + lane_values[at + step]) + (lane_values[at + 2u * step] + lane_values[at + 3u * step]);
}

fn add_firsts(at: u32) -> vec2f { return (first_values[at] + first_values[at + 1u]) + (first_values[at + 2u] + first_values[at + 3u]); }

/** Two sums over the threads of a row; each of them gets both. */
fn row_sum2(value: vec2f, t: u32) -> vec2f {
  lane_values[t] = value;
  workgroupBarrier();
  let lane = t % lanes;
  let begin = t / lanes * FIRST;
  if (lane < FIRST) {
    var s = add_lanes(t, FIRST);
    for (var i = 4u * FIRST; i < lanes; i += 4u * FIRST) { s += add_lanes(t + i, FIRST); }
    first_values[begin + lane] = s;
  }
  workgroupBarrier();
  var total = add_firsts(begin) + add_firsts(begin + 4u);
  if (FIRST > 8u) { total += add_firsts(begin + 8u) + add_firsts(begin + 12u); }
  return total;
}

var<workgroup> lane_values4: array<vec4f, WG>;
var<workgroup> first_values4: array<vec4f, FIRSTS>;

/** Four sums. */
fn row_sum4(value: vec4f, t: u32) -> vec4f {
  lane_values4[t] = value;
  workgroupBarrier();
  let lane = t % lanes;
  let begin = t / lanes * FIRST;
  if (lane < FIRST) {
    var s = vec4f();
    for (var i = t; i < t + lanes; i += 4u * FIRST) {
      s += (lane_values4[i] + lane_values4[i + FIRST]) + (lane_values4[i + 2u * FIRST] + lane_values4[i + 3u * FIRST]);
    }
    first_values4[begin + lane] = s;
  }
  workgroupBarrier();
  var total = vec4f();
  for (var i = begin; i < begin + FIRST; i += 4u) {
    total += (first_values4[i] + first_values4[i + 1u]) + (first_values4[i + 2u] + first_values4[i + 3u]);
  }
  return total;
}

fn row_sum(value: f32, t: u32) -> f32 { return row_sum2(vec2f(value, 0.0), t).x; }

fn max_lanes(at: u32, step: u32) -> f32 {
  return max(max(lane_values[at].x, lane_values[at + step].x), max(lane_values[at + 2u * step].x, lane_values[at + 3u * step].x));
}

fn max_firsts(at: u32) -> f32 {
  return max(max(first_values[at].x, first_values[at + 1u].x), max(first_values[at + 2u].x, first_values[at + 3u].x));
}

fn row_max(value: f32, t: u32) -> f32 {
  lane_values[t].x = value;
  workgroupBarrier();
  let lane = t % lanes;
  let begin = t / lanes * FIRST;
  if (lane < FIRST) {
    var m = max_lanes(t, FIRST);
    for (var i = 4u * FIRST; i < lanes; i += 4u * FIRST) { m = max(m, max_lanes(t + i, FIRST)); }
    first_values[begin + lane].x = m;
  }
  workgroupBarrier();
  let top = max(max_firsts(begin), max_firsts(begin + 4u));
  if (FIRST > 8u) { return max(top, max(max_firsts(begin + 8u), max_firsts(begin + 12u))); }
  return top;
}

/** Which row, whatever the grid's two dimensions, and which of its threads. */
fn row_of(wid: vec3u, nwg: vec3u, t: u32) -> u32 { return (wid.x + wid.y * nwg.x) * (WG / lanes) + t / lanes; }

/** Zero for those of a thread's sixteen, `lanes` apart from `at` on, that lie past the end. */
fn within(v: mat4x4f, at: u32, end: u32) -> mat4x4f {
  if (at + 15u * lanes < end) { return v; }
  let places = vec4u(at, at + lanes, at + 2u * lanes, at + 3u * lanes);
  let none = vec4f();
  return mat4x4f(
    select(none, v[0], places < vec4u(end)), select(none, v[1], places + 4u * lanes < vec4u(end)),
    select(none, v[2], places + 8u * lanes < vec4u(end)), select(none, v[3], places + 12u * lanes < vec4u(end)),
  );
}

/** The same for four vec4. */
fn within4(v: mat4x4f, at: u32, end: u32) -> mat4x4f {
  let none = vec4f();
  return mat4x4f(
    select(none, v[0], at < end), select(none, v[1], at + lanes < end),
    select(none, v[2], at + 2u * lanes < end), select(none, v[3], at + 3u * lanes < end),
  );
}
