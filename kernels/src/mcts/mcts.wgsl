alias elem = f32;
// Monte Carlo tree search over many trees at once (EAG-RL, stage 1). One thread per tree; a node is its index in its tree, the root is 0.
// nodes (trees, max_nodes, 4) u32: parent, first child, number of children (contiguous), flags (bit 0: terminal).
// stats (trees, max_nodes, 4): visits N, largest value M, prior r (the reward guessed before the first visit), reward of the node.
// Select: from the root to the child with the largest score, the lowest index among equals, until a node has no children, is terminal, or
//   max_depth is reached. Score of a visited child: M + w sqrt(ln N_parent / N); of an unvisited one: r + w sqrt(ln N_parent); ln of at least 1.
// path (trees, max_depth + 1) = the nodes passed, root first, then NONE; path_length counts them; 0 for an inactive tree.
// Backup: along the path, value of a node = mean of the rewards from it down to the leaf (the root has no reward of its own: the mean
//   below it, 0 if it is the leaf); N += 1; M = the larger of M and value, or value at the first visit. Paths of length 0 change nothing.

const WG: u32 = 64u;
const NONE: u32 = 0xffffffffu;

struct SelectParams { trees: u32, max_nodes: u32, max_depth: u32, w: f32 }

@group(0) @binding(0) var<storage, read_write> path: array<u32>;
@group(0) @binding(1) var<storage, read_write> path_length: array<u32>;
@group(0) @binding(2) var<storage, read> nodes: array<vec4u>;
@group(0) @binding(3) var<storage, read> stats: array<vec4f>;
@group(0) @binding(4) var<storage, read> is_active: array<u32>;
@group(0) @binding(5) var<uniform> p: SelectParams;

@compute @workgroup_size(WG)
fn mcts_select(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let tree = (wid.x + wid.y * nwg.x) * WG + t;
  if (tree >= p.trees) { return; }
  let base = tree * p.max_nodes;
  let out = tree * (p.max_depth + 1u);
  var length = 0u;
  if (is_active[tree] != 0u) {
    var at = 0u;
    path[out] = at;
    length = 1u;
    while (length <= p.max_depth) {
      let node = nodes[base + at];
      let end = min(node.y + node.z, p.max_nodes);
      if (node.y >= end || (node.w & 1u) != 0u) { break; }
      // WGSL lets log be off by 2^-21 near 1, also below 0, of which sqrt would make NaN: then no child is better than the first.
      let ln_parent = max(log(max(stats[base + at].x, 1.0)), 0.0);
      var best = node.y;
      var best_score = -3.4028234e38;
      for (var c = node.y; c < end; c++) {
        let s = stats[base + c];
        let score = select(s.z + p.w * sqrt(ln_parent), s.y + p.w * sqrt(ln_parent / max(s.x, 1.0)), s.x > 0.0);
        if (score > best_score) { best_score = score; best = c; }
      }
      at = best;
      path[out + length] = at;
      length++;
    }
  }
  path_length[tree] = length;
  for (var i = length; i <= p.max_depth; i++) { path[out + i] = NONE; }
}

struct BackupParams { trees: u32, max_nodes: u32, max_depth: u32 }

@group(0) @binding(0) var<storage, read_write> stats_rw: array<vec4f>;
@group(0) @binding(1) var<storage, read> path_in: array<u32>;
@group(0) @binding(2) var<storage, read> path_length_in: array<u32>;
@group(0) @binding(3) var<uniform> pb: BackupParams;

@compute @workgroup_size(WG)
fn mcts_backup(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) t: u32) {
  let tree = (wid.x + wid.y * nwg.x) * WG + t;
  if (tree >= pb.trees) { return; }
  let start = tree * (pb.max_depth + 1u);
  var sum = 0.0;
  var count = 0.0;
  for (var i = min(path_length_in[tree], pb.max_depth + 1u); i > 0u; i--) {
    let node = tree * pb.max_nodes + min(path_in[start + i - 1u], pb.max_nodes - 1u);
    var s = stats_rw[node];
    if (i > 1u) {
      sum += s.w;
      count += 1.0;
    }
    let value = sum / max(count, 1.0);
    s.y = select(value, max(s.y, value), s.x > 0.0);
    s.x += 1.0;
    stats_rw[node] = s;
  }
}
