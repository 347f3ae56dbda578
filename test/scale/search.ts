/**
 * Selection and back-up over many large trees, 1,000 of 100,000 nodes unless said otherwise (3.2 GB): waves per second, and the paths and statistics of
 * some trees, last one included, against f64 on the host after two waves. The nodes of all trees are alike, their statistics are not.
 * Not in the test suite: it takes 6 GB.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/scale/search.ts \
 *       [wasm | webgpu-software | webgpu] [trees] [nodes]
 */
import { mcts } from '@eagrl/kernels';
import { type DeviceName, openDevice, type Slice } from '@eagrl/runtime';
import { Random } from '@eagrl/testing';

const [device = 'wasm', treesText = '1000', nodesText = '100000'] = process.argv.slice(2);
const [trees, nodes] = [Number(treesText), Number(nodesText)];
const BRANCHES = 4;
const depth = Math.ceil(Math.log(3 * nodes + 1) / Math.log(BRANCHES));
const params = { trees, max_nodes: nodes, max_depth: depth, w: 1 };
const NONE = 0xffffffff;

/** Four children per node as far as the nodes go: mcts.wgsl. */
const tree = new Uint32Array(4 * nodes);
for (let i = 0; i < nodes; i++) {
  const children = Math.max(0, Math.min(BRANCHES, nodes - (BRANCHES * i + 1)));
  tree.set([i === 0 ? NONE : (i - 1) >> 2, children ? BRANCHES * i + 1 : 0, children, 0], 4 * i);
}
/** visits, largest value, prior, reward of every node of a tree. */
function statsOf(t: number): Float32Array {
  const random = new Random(`tree ${t}`);
  return Float32Array.from({ length: 4 * nodes }, (_, i) => (i % 4 === 0 ? 1 + Math.floor(50 * random.next()) : random.next()));
}

const backend = await openDevice({ device: device as DeviceName });
const slice = (length: number): Slice => ({ buffer: backend.alloc(length), offset: 0, length });
const start = performance.now();
const [path, lengths, active] = [slice(trees * (depth + 1)), slice(trees), slice(trees)];
const [table, stats] = [slice(4 * trees * nodes), slice(4 * trees * nodes)];
backend.write(active, new Uint32Array(trees).fill(1));
// Seven kinds of statistics: drawing 400 million numbers would take longer than all waves.
const kinds = Array.from({ length: 7 }, (_, i) => statsOf(i));
const part = (of: Slice, t: number): Slice => ({ ...of, offset: 4 * nodes * t, length: 4 * nodes });
for (let t = 0; t < trees; t++) {
  backend.write(part(table, t), tree);
  backend.write(part(stats, t), kinds[t % kinds.length]);
}
await backend.prepare([mcts]);
await backend.sync();
console.log(
  `${backend.info.adapter}, ${backend.info.threads} threads: ${trees} trees of ${nodes} nodes, depth ${depth}; placed in ${((performance.now() - start) / 1e3).toFixed(1)} s, ${(backend.stats.liveBytes / 1e9).toFixed(2)} GB`,
);

const wave = () => {
  backend.dispatch(mcts, 'mcts_select', [path, lengths, table, stats, active], params);
  backend.dispatch(mcts, 'mcts_backup', [stats, path, lengths], params);
};
const readPath = async () => [await backend.read(path, 'u32'), await backend.read(lengths, 'u32')];
const got: Uint32Array[][] = [];
for (let i = 0; i < 2; i++) {
  wave();
  got.push(await readPath());
}

const checked = [...new Set([0, 1, Math.floor(trees / 2), trees - 2, trees - 1].filter((t) => t >= 0))];
let worst = 0;
for (const t of checked) {
  const own = { ...params, trees: 1 };
  const host = {
    nodes: Float64Array.from(tree),
    stats: Float64Array.from(kinds[t % kinds.length]),
    active: Float64Array.of(1),
    path: new Float64Array(depth + 1),
    path_length: new Float64Array(1),
  };
  for (const [steps, length] of got) {
    mcts.ref.mcts_select(host, own);
    const want = Uint32Array.from(host.path);
    const ours = steps.subarray(t * (depth + 1), (t + 1) * (depth + 1));
    if (length[t] !== host.path_length[0] || want.some((node, i) => node !== ours[i])) {
      throw new Error(`tree ${t}: path ${ours.join(' ')} instead of ${want.join(' ')}`);
    }
    mcts.ref.mcts_backup(host, own);
  }
  const after = await backend.read(part(stats, t), 'f32');
  for (let i = 0; i < after.length; i++) worst = Math.max(worst, Math.abs(after[i] - host.stats[i]) / Math.max(1, Math.abs(host.stats[i])));
}
if (!(worst < 1e-5)) throw new Error(`statistics differ from f64 by ${worst}`);
console.log(`trees ${checked.join(', ')}: two paths each as in f64; statistics within ${worst.toExponential(1)} of it`);

const times: number[] = [];
for (let i = 0; i < 21; i++) {
  const t0 = performance.now();
  wave();
  await backend.sync();
  times.push(performance.now() - t0);
}
times.sort((a, b) => a - b);
console.log(
  `a wave: median ${times[10].toFixed(2)} ms of 21 (${times[5].toFixed(2)} to ${times[15].toFixed(2)}), ${Math.round(1e3 / times[10])} waves a second`,
);
await backend.destroy();
process.exit(0);
