// Monte Carlo tree search over many trees; formulas and layouts in mcts.wgsl. One work item per tree.
import { log1 } from '../common/simd.as';

// @ts-ignore: decorator
@inline
function at(base: usize, index: usize): usize {
  return base + (index << 2);
}

export function mcts_select(
  path: usize, path_length: usize, nodes: usize, stats: usize, active: usize,
  trees: i32, max_nodes: i32, max_depth: i32, w: f32, lo: i32, hi: i32,
): void {
  for (let tree = lo; tree < hi; tree++) {
    const node = nodes + ((<usize>tree * max_nodes) << 4);
    const stat = stats + ((<usize>tree * max_nodes) << 4);
    const out = at(path, <usize>tree * (max_depth + 1));
    let length = 0;
    if (load<u32>(at(active, tree)) != 0) {
      let here: u32 = 0;
      store<u32>(out, 0);
      length = 1;
      while (length <= max_depth) {
        const n = node + ((<usize>here) << 4);
        const first = load<u32>(n, 4);
        const end = min(first + load<u32>(n, 8), <u32>max_nodes);
        if (first >= end || (load<u32>(n, 12) & 1) != 0) break;
        const ln = log1(max(load<f32>(stat + ((<usize>here) << 4)), <f32>1));
        const explore: f32 = w * sqrt<f32>(ln);
        let best = first;
        let bestScore: f32 = -f32.MAX_VALUE;
        for (let c = first; c < end; c++) {
          const s = stat + ((<usize>c) << 4);
          const visits = load<f32>(s);
          const score: f32 = visits > 0 ? load<f32>(s, 4) + w * sqrt<f32>(ln / visits) : load<f32>(s, 8) + explore;
          if (score > bestScore) { bestScore = score; best = c; }
        }
        here = best;
        store<u32>(at(out, length), here);
        length++;
      }
    }
    store<u32>(at(path_length, tree), length);
    for (let i = length; i <= max_depth; i++) store<u32>(at(out, i), 0xffffffff);
  }
}

export function mcts_backup(
  stats: usize, path: usize, path_length: usize,
  trees: i32, max_nodes: i32, max_depth: i32, lo: i32, hi: i32,
): void {
  for (let tree = lo; tree < hi; tree++) {
    const from = at(path, <usize>tree * (max_depth + 1));
    let sum: f32 = 0, count: f32 = 0;
    for (let i = <i32>min(load<u32>(at(path_length, tree)), <u32>(max_depth + 1)); i > 0; i--) {
      const node = min(load<u32>(at(from, i - 1)), <u32>(max_nodes - 1));
      const s = stats + ((<usize>tree * max_nodes + node) << 4);
      if (i > 1) {
        sum += load<f32>(s, 12);
        count += 1;
      }
      const value: f32 = sum / max(count, <f32>1);
      const visits = load<f32>(s);
      store<f32>(s, visits > 0 ? max(load<f32>(s, 4), value) : value, 4);
      store<f32>(s, visits + 1);
    }
  }
}
