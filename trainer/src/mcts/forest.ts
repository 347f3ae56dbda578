/**
 * The trees of many patients as flat arrays, so that selection and back-propagation of a whole wave are one kernel each.
 * Node 0 of each tree is its root; the children of a node are contiguous.
 */
import { mcts } from '@eagrl/kernels';
import type { Backend, DeviceBuffer } from '@eagrl/runtime';

const NODE_FIELDS = 4; // parent, first_child, num_children, flags
const STAT_FIELDS = 4; // visits, max_value, prior, reward
const TERMINAL = 1;
const NONE = 0xffffffff;

type BufferName = 'nodes' | 'stats' | 'active' | 'path' | 'pathLength';

export interface ChildStats {
  readonly prior: number;
  readonly reward: number;
  readonly terminal: boolean;
}

export class Forest {
  readonly numTrees: number;
  readonly maxNodes: number;
  readonly maxDepth: number;
  readonly #backend: Backend;
  readonly #nodes: Uint32Array;
  #stats: Float32Array;
  readonly #count: Uint32Array;
  readonly #buffers: Record<BufferName, DeviceBuffer>;

  constructor(backend: Backend, numTrees: number, maxNodes: number, maxDepth: number) {
    this.#backend = backend;
    this.numTrees = numTrees;
    this.maxNodes = maxNodes;
    this.maxDepth = maxDepth;
    this.#nodes = new Uint32Array(numTrees * maxNodes * NODE_FIELDS);
    this.#stats = new Float32Array(numTrees * maxNodes * STAT_FIELDS);
    this.#count = new Uint32Array(numTrees).fill(1);
    for (let t = 0; t < numTrees; t++) this.#nodes[t * maxNodes * NODE_FIELDS] = NONE;
    this.#buffers = {
      nodes: backend.alloc(this.#nodes.length),
      stats: backend.alloc(this.#stats.length),
      active: backend.alloc(numTrees),
      path: backend.alloc(numTrees * (maxDepth + 1)),
      pathLength: backend.alloc(numTrees),
    };
  }

  /** Appends children to `parent` and returns the index of the first. @throws when the tree is full. */
  addChildren(tree: number, parent: number, children: readonly ChildStats[]): number {
    const first = this.#count[tree];
    if (first + children.length > this.maxNodes) {
      throw new Error(`forest: tree ${tree} is full at ${this.maxNodes} nodes; raise maxNodes`);
    }
    this.#count[tree] += children.length;
    const at = (tree * this.maxNodes + parent) * NODE_FIELDS;
    this.#nodes[at + 1] = first;
    this.#nodes[at + 2] = children.length;
    children.forEach((child, i) => {
      const node = tree * this.maxNodes + first + i;
      this.#nodes.set([parent, 0, 0, child.terminal ? TERMINAL : 0], node * NODE_FIELDS);
      this.#stats.set([0, 0, child.prior, child.reward], node * STAT_FIELDS);
    });
    return first;
  }

  /** From each active root down to a leaf; `exploration` is w of the child score. Paths start with the root. */
  async select(active: readonly boolean[], exploration: number): Promise<number[][]> {
    const b = this.#buffers;
    this.#write('nodes', this.#nodes);
    this.#write('stats', this.#stats);
    this.#write(
      'active',
      Uint32Array.from(active, (a) => (a ? 1 : 0)),
    );
    this.#backend.dispatch(mcts, 'mcts_select', [b.path, b.pathLength, b.nodes, b.stats, b.active].map(whole), {
      trees: this.numTrees,
      max_nodes: this.maxNodes,
      max_depth: this.maxDepth,
      w: exploration,
    });
    const path = await this.#backend.read(whole(b.path), 'u32');
    const length = await this.#backend.read(whole(b.pathLength), 'u32');
    const stride = this.maxDepth + 1;
    return active.map((on, t) => (on ? Array.from(path.subarray(t * stride, t * stride + length[t])) : []));
  }

  /** Counts one visit and back-propagates the value of each path's leaf; an empty path leaves its tree alone. */
  async backup(paths: readonly (readonly number[])[]): Promise<void> {
    const b = this.#buffers;
    const stride = this.maxDepth + 1;
    const path = new Uint32Array(this.numTrees * stride).fill(NONE);
    paths.forEach((p, t) => {
      path.set(p, t * stride);
    });
    this.#write('stats', this.#stats);
    this.#write('path', path);
    this.#write(
      'pathLength',
      Uint32Array.from(paths, (p) => p.length),
    );
    this.#backend.dispatch(mcts, 'mcts_backup', [b.stats, b.path, b.pathLength].map(whole), {
      trees: this.numTrees,
      max_nodes: this.maxNodes,
      max_depth: this.maxDepth,
    });
    this.#stats = await this.#backend.read(whole(b.stats), 'f32');
  }

  visits(tree: number, node: number): number {
    return this.#stats[(tree * this.maxNodes + node) * STAT_FIELDS];
  }

  /** M: the largest value back-propagated through the node. */
  maxValue(tree: number, node: number): number {
    return this.#stats[(tree * this.maxNodes + node) * STAT_FIELDS + 1];
  }

  hasChildren(tree: number, node: number): boolean {
    return this.#nodes[(tree * this.maxNodes + node) * NODE_FIELDS + 2] > 0;
  }

  size(tree: number): number {
    return this.#count[tree];
  }

  free(): void {
    for (const buffer of Object.values(this.#buffers)) this.#backend.free(buffer);
  }

  #write(name: BufferName, data: Uint32Array | Float32Array): void {
    this.#backend.write(whole(this.#buffers[name]), data);
  }
}

const whole = (buffer: DeviceBuffer) => ({ buffer, offset: 0, length: buffer.length });
