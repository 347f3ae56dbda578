alias elem = f32;
//!use common/row_lanes.wgsl
//!use common/strips.wgsl
//!use common/wide.wgsl
// cross_entropy.wgsl for hardware and vocabularies of any size: `lanes` threads per row, 32 columns each at a time.

struct Params { rows: u32, vocab: u32 }

@group(0) @binding(0) var<storage, read_write> losses: array<elem>;
@group(0) @binding(1) var<storage, read_write> logits: array<elem>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<elem>;
@group(0) @binding(4) var<uniform> p: Params;

fn column(at: u32) -> f32 { return f32(logits[at]); }

/** What a logit of its row needs to become a gradient. */
struct Row { base: u32, target_c: u32, w: f32, m: f32, inv: f32 }

fn store(at: u32, c: u32, g: f32) {
  if (c < p.vocab) { logits[at + c] = elem(g); }
}

/** Gradients of the 16 columns from c on. */
fn store16(r: Row, c: u32, x: mat4x4f) {
  let prob = exp16(less16(x, r.m)) * r.inv;
  for (var i = 0u; i < 4u; i++) {
    let columns = vec4u(c + 4u * i * lanes) + vec4u(0u, lanes, 2u * lanes, 3u * lanes);
    let g = (prob[i] - select(vec4f(), vec4f(1.0), columns == vec4u(r.target_c))) * r.w;
    store(r.base, columns.x, g.x);
    store(r.base, columns.y, g.y);
    store(r.base, columns.z, g.z);
    store(r.base, columns.w, g.w);
  }
}

@compute @workgroup_size(WG)
fn cross_entropy(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let row = row_of(wid, nwg, t);
  let lane = t % lanes;
  let there = min(row, p.rows - 1u);
  let base = there * p.vocab;
  let w = f32(weights[there]);
  let target_c = targets[there];
  let own = f32(logits[base + min(target_c, p.vocab - 1u)]);
  let cols = select(0u, p.vocab, w != 0.0);
  var a = mat4x4f();
  var b = mat4x4f();
  var s = wide_empty();
  for (var c = 0u; c < cols; c += TURN) {
    a = strip(base, p.vocab, c + lane);
    b = strip(base, p.vocab, c + lane + 16u * lanes);
    s = push(s, a, b, c + lane, p.vocab);
  }
  storageBarrier(); // `own` is read before another thread makes it a gradient
  let sums = row_sums(s, t);
  if (row >= p.rows) { return; }
  if (w == 0.0) {
    if (lane == 0u) { losses[row] = elem(0.0); }
    for (var c = lane; c < p.vocab; c += lanes) { logits[base + c] = elem(0.0); }
    return;
  }
  if (lane == 0u) { losses[row] = elem(-w * (own - sums.x - log(sums.y))); }
  let r = Row(base, target_c, w, sums.x, 1.0 / sums.y);
  // Backwards: the last turn is still in registers.
  var c = (p.vocab - 1u) / TURN * TURN;
  loop {
    store16(r, c + lane, a);
    store16(r, c + lane + 16u * lanes, b);
    if (c == 0u) { break; }
    c -= TURN;
    a = strip(base, p.vocab, c + lane);
    b = strip(base, p.vocab, c + lane + 16u * lanes);
  }
}
