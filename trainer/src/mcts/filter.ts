/**
 * Which searched paths are distilled: the best path per case, on the right side of 0.5, named features at or above the
 * median agreement with the expert, classes balanced. Paper: EAG-RL, Stage 1 ("high-quality reasoning paths").
 */
import type { SearchNode, SearchTree } from './search.ts';

export interface Trajectory {
  readonly id: string;
  readonly label: 0 | 1;
  /** Index of the case in the order that was searched. */
  readonly case: number;
  readonly completion: Uint32Array;
  readonly text: string;
  readonly probability: number;
  /** Jaccard with the expert's features. */
  readonly jaccard: number;
  readonly reward: number;
}

export interface FilterCounts {
  readonly cases: number;
  readonly parsable: number;
  readonly rightSide: number;
  readonly aboveMedian: number;
  readonly balanced: number;
}

/** The parsable terminal node with the largest reward; the first among equals. */
export function bestTerminal(tree: SearchTree): number | null {
  let best: number | null = null;
  tree.nodes.forEach((node, n) => {
    if (!node.terminal || node.answer?.probability == null) return;
    if (best === null || node.reward > tree.nodes[best].reward) best = n;
  });
  return best;
}

/** Nodes from the root's child down to `node`. */
export function pathTo(tree: SearchTree, node: number): SearchNode[] {
  const path: SearchNode[] = [];
  for (let n = node; n > 0; n = tree.nodes[n].parent) path.unshift(tree.nodes[n]);
  return path;
}

/** `labels[i]` belongs to `trees[i]`, matched by id. @throws when a tree has no label. */
export function filterTrajectories(
  trees: readonly SearchTree[],
  labels: ReadonlyMap<string, 0 | 1>,
): { trajectories: Trajectory[]; counts: FilterCounts } {
  const parsable = trees.flatMap((tree, i): Trajectory[] => {
    const best = bestTerminal(tree);
    if (best === null) return [];
    const label = labels.get(tree.id);
    if (label === undefined) throw new Error(`filter: no label for case ${i}; text, label and id must stay together`);
    const path = pathTo(tree, best);
    const { answer, score } = tree.nodes[best];
    return [
      {
        id: tree.id,
        label,
        case: i,
        completion: Uint32Array.from(path.flatMap((n) => Array.from(n.tokens))),
        text: path.map((n) => n.text).join(''),
        probability: answer!.probability!,
        jaccard: score!.attention,
        reward: score!.total,
      },
    ];
  });
  const rightSide = parsable.filter((t) => (t.label === 1 ? t.probability > 0.5 : t.probability < 0.5));
  const cut = median(rightSide.map((t) => t.jaccard));
  const aboveMedian = rightSide.filter((t) => t.jaccard >= cut);
  const trajectories = balance(aboveMedian);
  return {
    trajectories,
    counts: {
      cases: trees.length,
      parsable: parsable.length,
      rightSide: rightSide.length,
      aboveMedian: aboveMedian.length,
      balanced: trajectories.length,
    },
  };
}

/** Equal numbers of both labels: the surplus with the smallest reward goes. Order of cases is kept. */
function balance(all: readonly Trajectory[]): Trajectory[] {
  const of = (label: 0 | 1) => all.filter((t) => t.label === label).sort((a, b) => b.reward - a.reward || a.case - b.case);
  const [zeros, ones] = [of(0), of(1)];
  const n = Math.min(zeros.length, ones.length);
  return [...zeros.slice(0, n), ...ones.slice(0, n)].sort((a, b) => a.case - b.case);
}

/** Median of the values; 0 of none. The lower of the two middle ones for an even count, so that at least half pass. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[(sorted.length - 1) >> 1];
}
