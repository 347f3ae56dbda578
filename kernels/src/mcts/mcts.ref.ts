/** f64 oracle of the tree search; formulas and layouts in mcts.wgsl. */
type Buffers = Record<string, Float64Array>;
interface Shape {
  trees: number;
  max_nodes: number;
  max_depth: number;
}
const NONE = 0xffffffff;

export function mcts_select(
  { path, path_length, nodes, stats, active }: Buffers,
  { trees, max_nodes, max_depth, w }: Shape & { w: number },
): void {
  for (let tree = 0; tree < trees; tree++) {
    const node = (i: number) => nodes.subarray((tree * max_nodes + i) * 4, (tree * max_nodes + i) * 4 + 4);
    const stat = (i: number) => stats.subarray((tree * max_nodes + i) * 4, (tree * max_nodes + i) * 4 + 4);
    const steps: number[] = [];
    if (active[tree]) {
      steps.push(0);
      for (let at = 0; steps.length <= max_depth; steps.push(at)) {
        const [, first, count, flags] = node(at);
        const children = Array.from({ length: Math.max(0, Math.min(first + count, max_nodes) - first) }, (_, i) => first + i);
        if (children.length === 0 || flags % 2 === 1) break;
        const ln = Math.log(Math.max(stat(at)[0], 1));
        const scores = children.map((c) => {
          const [visits, max, prior] = stat(c);
          return visits > 0 ? max + w * Math.sqrt(ln / visits) : prior + w * Math.sqrt(ln);
        });
        at = children[scores.indexOf(Math.max(...scores))];
      }
    }
    path_length[tree] = steps.length;
    for (let i = 0; i <= max_depth; i++) path[tree * (max_depth + 1) + i] = steps[i] ?? NONE;
  }
}

export function mcts_backup({ stats, path, path_length }: Buffers, { trees, max_nodes, max_depth }: Shape): void {
  for (let tree = 0; tree < trees; tree++) {
    const steps = Array.from(path.subarray(tree * (max_depth + 1), tree * (max_depth + 1) + path_length[tree]));
    const at = (i: number) => (tree * max_nodes + i) * 4;
    for (const [depth, i] of steps.entries()) {
      const rewards = steps.slice(Math.max(depth, 1)).map((j) => stats[at(j) + 3]);
      const value = rewards.reduce((a, b) => a + b, 0) / Math.max(rewards.length, 1);
      stats[at(i) + 1] = stats[at(i)] > 0 ? Math.max(stats[at(i) + 1], value) : value;
      stats[at(i)] += 1;
    }
  }
}
