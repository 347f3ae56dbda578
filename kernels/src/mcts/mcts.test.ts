/**
 * Plan. Select and backup against the oracle on every backend, on random trees: numbers of trees on both sides of the workgroup size 64;
 * depth limits 0, 1 and beyond the tree; a lone root, inactive trees, terminal inner nodes, unvisited children, nodes visited once (log 1), exact ties (lowest index).
 * By hand: the two score formulas, the means along one path. A whole search of 200 waves on WebAssembly finds the best leaf.
 */
import { type HostBuffers, launchRef, launchWasm } from '@eagrl/kernels';
import { type Random, TOLERANCE, testKernel } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { mcts } from './mcts.ts';

const NONE = 0xffffffff;

/** Trees grown breadth first: inner nodes get 1..3 children while there is room. */
function randomTrees(r: Random, trees: number, max_nodes: number): { nodes: Uint32Array<ArrayBuffer>; stats: Float32Array<ArrayBuffer> } {
  const nodes = new Uint32Array(trees * max_nodes * 4);
  const stats = new Float32Array(trees * max_nodes * 4);
  for (let tree = 0; tree < trees; tree++) {
    const base = tree * max_nodes;
    let used = 1;
    nodes.set([NONE, 0, 0, 0], base * 4);
    for (let i = 0; i < used; i++) {
      const children = i > 0 && r.next() < 0.3 ? 0 : Math.min(1 + r.int(3), max_nodes - used);
      nodes[(base + i) * 4 + 1] = used;
      nodes[(base + i) * 4 + 2] = children;
      nodes[(base + i) * 4 + 3] = i > 0 && r.next() < 0.1 ? 1 : 0;
      for (let c = 0; c < children; c++) nodes.set([i, 0, 0, 0], (base + used + c) * 4);
      used += children;
    }
    for (let i = 0; i < max_nodes; i++) {
      const visits = r.next() < 0.3 ? 0 : 1 + r.int(50);
      stats.set([visits, r.normal(), r.next(), r.normal()], (base + i) * 4);
    }
  }
  return { nodes, stats };
}

const shapes = [
  { trees: 5, max_nodes: 40, max_depth: 5 },
  { trees: 1, max_nodes: 1, max_depth: 3 },
  { trees: 63, max_nodes: 9, max_depth: 1 },
  { trees: 64, max_nodes: 9, max_depth: 0 },
  { trees: 65, max_nodes: 17, max_depth: 30 },
];

const selects = shapes.map((s) => ({
  title: `trees=${s.trees} max_nodes=${s.max_nodes} max_depth=${s.max_depth}`,
  params: { ...s, w: 1 },
  inputs: (r: Random): HostBuffers => ({
    ...randomTrees(r, s.trees, s.max_nodes),
    active: Uint32Array.from({ length: s.trees }, () => (r.next() < 0.8 ? 1 : 0)),
  }),
  tolerance: TOLERANCE.elementwise,
}));

/** Every logarithm is that of 1, every child as good as its value. */
const once = {
  ...selects[0],
  title: 'every node visited once',
  inputs: (r: Random): HostBuffers => {
    const made = selects[0].inputs(r);
    return { ...made, stats: (made.stats as Float32Array<ArrayBuffer>).map((x, i) => (i % 4 === 0 ? 1 : x)) };
  },
};

testKernel(mcts, 'mcts_select', [...selects, once]);

testKernel(
  mcts,
  'mcts_backup',
  shapes.map((s) => ({
    title: `trees=${s.trees} max_nodes=${s.max_nodes} max_depth=${s.max_depth}`,
    params: s,
    inputs: (r: Random): HostBuffers => {
      const trees = randomTrees(r, s.trees, s.max_nodes);
      const active = Uint32Array.from({ length: s.trees }, (_, i) => i % 4 && 1);
      const { path, path_length } = launchRef(mcts, 'mcts_select', { ...trees, active }, { ...s, w: 1 });
      return { stats: trees.stats, path: Uint32Array.from(path), path_length: Uint32Array.from(path_length) };
    },
    tolerance: TOLERANCE.elementwise,
  })),
);

/** One tree: a root with three children, the second of which has one. */
const small = { trees: 1, max_nodes: 5, max_depth: 3 };
const smallNodes = Uint32Array.from([NONE, 1, 3, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0]);
const select = (stats: Float32Array<ArrayBuffer>, w: number, nodes = smallNodes) =>
  Array.from(launchWasm(mcts, 'mcts_select', { nodes, stats, active: Uint32Array.of(1) }, { ...small, w })['path']);

test('select: exact ties take the lowest index, exploration prefers the rarely visited, an unvisited child counts by its prior', () => {
  const stats = Float32Array.from([20, 0, 0, 0, 9, 0.5, 0, 0, 9, 0.5, 0, 0, 9, 0.5, 0, 0, 9, 1, 0, 0]);
  expect(select(stats, 1)).toEqual([0, 1, NONE, NONE]);
  stats[2 * 4] = 3;
  expect(select(stats, 1)).toEqual([0, 2, 4, NONE]);
  expect(select(stats, 0)).toEqual([0, 1, NONE, NONE]);
  stats.set([0, 99, 0.6, 0], 3 * 4);
  expect(select(stats, 0)).toEqual([0, 3, NONE, NONE]);
});

test('select: a terminal node ends the path though it has children', () => {
  const nodes = smallNodes.slice();
  nodes[2 * 4 + 3] = 1;
  const stats = Float32Array.from([3, 0, 0, 0, 1, 0, 0, 0, 1, 5, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
  expect(select(stats, 1, nodes)).toEqual([0, 2, NONE, NONE]);
});

test('backup: means from each node down to the leaf; the root has no reward of its own', () => {
  const stats = Float32Array.from([4, 0.9, 0, 77, 0, 0, 0, 0, 2, 0.1, 0, 0.25, 0, 0, 0, 0, 0, -5, 0, 0.75]);
  const inputs = { stats, path: Uint32Array.of(0, 2, 4, NONE), path_length: Uint32Array.of(3) };
  const { stats: after } = launchWasm(mcts, 'mcts_backup', inputs, small);
  const row = (i: number) => Array.from(after.subarray(i * 4, i * 4 + 2));
  expect(row(0)).toEqual([5, Math.fround(0.9)]);
  expect(row(2)).toEqual([3, 0.5]);
  expect(row(4)).toEqual([1, 0.75]);
  expect(row(1)).toEqual([0, 0]);
});

test('a search of 200 waves visits every leaf and ends on the best one', () => {
  // Root, 3 children, 9 leaves; only a leaf's reward differs, the best is node 10.
  const max_nodes = 13;
  const nodes = new Uint32Array(max_nodes * 4);
  nodes.set([NONE, 1, 3, 0]);
  for (let c = 0; c < 3; c++) nodes.set([0, 4 + 3 * c, 3, 0], (1 + c) * 4);
  for (let leaf = 4; leaf < 13; leaf++) nodes.set([1 + Math.floor((leaf - 4) / 3), 0, 0, 1], leaf * 4);
  let stats = new Float32Array(max_nodes * 4);
  for (let leaf = 4; leaf < 13; leaf++) stats[leaf * 4 + 3] = leaf === 10 ? 1 : 0.2;
  const params = { trees: 1, max_nodes, max_depth: 2 };
  for (let wave = 0; wave < 200; wave++) {
    const { path, path_length } = launchWasm(mcts, 'mcts_select', { nodes, stats, active: Uint32Array.of(1) }, { ...params, w: 1 });
    expect(path_length[0]).toBe(3);
    stats = launchWasm(mcts, 'mcts_backup', { stats, path, path_length }, params)['stats'] as Float32Array<ArrayBuffer>;
  }
  const visits = Array.from({ length: 9 }, (_, i) => stats[(4 + i) * 4]);
  expect(stats[0]).toBe(200);
  expect(Math.min(...visits)).toBeGreaterThan(0);
  expect(visits.indexOf(Math.max(...visits))).toBe(10 - 4);
});
