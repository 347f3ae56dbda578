alias elem = f32;
//!use common/row_lanes.wgsl
//!use common/wide.wgsl
// cross_entropy.wgsl for hardware: `lanes` threads hold a row in registers, up to eight vec4 each, lanes apart, so that neighbours load neighbours,
// all loads are on their way at once and each number is read once. vocab: a multiple of 4, at most 32 lanes.
// Loads past the end of a row take its last vec4, which the maximum has seen anyway; sums leave it out.

struct Params { rows: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> logits: array<vec4<elem>>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

fn load(first: u32, n: u32, at: u32) -> vec4f { return vec4f(logits[first + min(at, n - 1u)]); }

fn block(first: u32, n: u32, at: u32) -> mat4x4f {
  return mat4x4f(load(first, n, at), load(first, n, at + lanes), load(first, n, at + 2u * lanes), load(first, n, at + 3u * lanes));
}

/** What a logit of its row adds to; d = logit - m. */
struct Row { first: u32, n: u32, target_c: u32, w: f32, inv: f32, log_l: f32, index: u32 }

/** Gradients of the vec4 `at` of the row, from its d and exp(d). The loss comes from the thread that has the target. */
fn store(r: Row, at: u32, d: vec4f, e: vec4f) {
  if (at >= r.n) { return; }
  var g = e * r.inv;
  if (at == r.target_c / 4u) {
    let own = vec4u(0u, 1u, 2u, 3u) == vec4u(r.target_c % 4u);
    losses[r.index] = elem(-r.w * (sum4(select(vec4f(), d, own)) - r.log_l));
    g = select(g, g - 1.0, own);
  }
  logits[r.first + at] = vec4<elem>(g * r.w);
}

fn store_block(r: Row, at: u32, d: mat4x4f, e: mat4x4f) {
  store(r, at, d[0], e[0]);
  store(r, at + lanes, d[1], e[1]);
  store(r, at + 2u * lanes, d[2], e[2]);
  store(r, at + 3u * lanes, d[3], e[3]);
}

/** Gradients of a row of weight 0. */
fn clear(first: u32, n: u32, lane: u32) {
  for (var at = lane; at < n; at += lanes) { logits[first + at] = vec4<elem>(); }
}

@compute @workgroup_size(WG)
fn cross_entropy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let n = p.vocab / 4u;
  let there = min(row, p.rows - 1u);
  let first = there * n;
  let more = lane + 4u * lanes;
  let two = n > 4u * lanes; // the same for all
  let w = f32(weights[there]);
  let target_c = targets[there];
  var a = block(first, n, lane);
  var b = mat4x4f();
  var m = max16(a);
  if (two) {
    b = block(first, n, more);
    m = max(m, max16(b));
  }
  m = row_max(m, t);
  a = less16(a, m);
  b = less16(b, m);
  let ea = exp16(a);
  let eb = exp16(b);
  var l = sum16(within4(ea, lane, n));
  if (two) { l += sum16(within4(eb, more, n)); }
  let total = row_sum(sum4(l), t);
  if (row >= p.rows) { return; }
  if (w == 0.0) {
    if (lane == 0u) { losses[row] = elem(0.0); }
    clear(first, n, lane);
    return;
  }
  let r = Row(first, n, target_c, w, 1.0 / total, log(total), row);
  store_block(r, lane, a, ea);
  if (two) { store_block(r, more, b, eb); }
}
