import { ceilDiv, f32, grid1d, type KernelSpec, u32 } from '../common/spec.ts';
import wasm from '../gen/mcts.wasm.ts';
import wgsl from '../gen/mcts.wgsl.ts';
import * as ref from './mcts.ref.ts';

interface Shape {
  trees: number;
  max_nodes: number;
  max_depth: number;
}

const pathSize = ({ trees, max_depth }: Shape) => trees * (max_depth + 1);

/** Selection and back-propagation of Monte Carlo tree search over many trees in lockstep; layouts in mcts.wgsl. */
export const mcts = {
  name: 'mcts',
  wgsl,
  wasm,
  ref,
  entries: {
    mcts_select: {
      bindings: [u32('path', 'write'), u32('path_length', 'write'), u32('nodes'), f32('stats'), u32('active')],
      params: { trees: 'u32', max_nodes: 'u32', max_depth: 'u32', w: 'f32' },
      size: (p: Shape) => ({
        path: pathSize(p),
        path_length: p.trees,
        nodes: 4 * p.trees * p.max_nodes,
        stats: 4 * p.trees * p.max_nodes,
        active: p.trees,
      }),
      grid: ({ trees }: Shape) => grid1d(ceilDiv(trees, 64)),
      work: ({ trees }: Shape) => trees,
      // At least one child is scored per level; how many more depends on the trees.
      flops: (p: Shape) => 6 * pathSize(p),
      bytes: (p: Shape) => 36 * pathSize(p) + 8 * p.trees,
    },
    mcts_backup: {
      bindings: [f32('stats', 'read_write'), u32('path'), u32('path_length')],
      params: { trees: 'u32', max_nodes: 'u32', max_depth: 'u32' },
      size: (p: Shape) => ({ stats: 4 * p.trees * p.max_nodes, path: pathSize(p), path_length: p.trees }),
      grid: ({ trees }: Shape) => grid1d(ceilDiv(trees, 64)),
      work: ({ trees }: Shape) => trees,
      flops: (p: Shape) => 5 * pathSize(p),
      bytes: (p: Shape) => 28 * pathSize(p) + 4 * p.trees,
    },
  },
} satisfies KernelSpec;
