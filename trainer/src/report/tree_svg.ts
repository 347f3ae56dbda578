/**
 * A search tree as SVG, left to right: one column per depth, leaves in rows, parents centred on their children.
 * Children the search never visited are counted at their parent, not drawn.
 */
import { parseAnswer, parseSteps } from '../text/answer.ts';
import { escapeHtml, wrap } from './html.ts';
import type { TreeNode } from './report_data.ts';

const BOX = { width: 178, height: 58, gapX: 22, gapY: 12 };
/** Fits the box in the widest of the fonts asked for (DejaVu Sans, 7.2 px a letter at 12 px). */
const LINE_LETTERS = 23;
const ROOT_WIDTH = 62;

interface Placed {
  readonly node: TreeNode;
  readonly depth: number;
  readonly children: Placed[];
  readonly unvisited: number;
  /** Row of the centre, in leaves from the top. */
  row: number;
}

function place(nodes: readonly TreeNode[]): { root: Placed; rows: number; depth: number } {
  const childrenOf = nodes.map((): number[] => []);
  for (let i = 1; i < nodes.length; i++) childrenOf[nodes[i].parent].push(i);
  let rows = 0;
  let deepest = 0;
  const build = (index: number, depth: number): Placed => {
    deepest = Math.max(deepest, depth);
    const visited = childrenOf[index].filter((child) => nodes[child].visits > 0);
    const children = visited.map((child) => build(child, depth + 1));
    const row = children.length === 0 ? rows++ : (children[0].row + children[children.length - 1].row) / 2;
    return { node: nodes[index], depth, children, unvisited: childrenOf[index].length - visited.length, row };
  };
  const root = build(0, 0);
  return { root, rows, depth: deepest };
}

/** What the node asks; for a terminal node the probability it ends on. */
function caption(node: TreeNode): string {
  const step = parseSteps(node.text)[0];
  if (!node.terminal) return step?.question ?? node.text.replace(/<[^>]*>/g, ' ');
  const { probability, features } = parseAnswer(node.text);
  return `${probability === null ? 'unreadable' : `p = ${probability.toFixed(2)}`}: ${features.join(', ')}`;
}

/** Nodes from the root to the terminal node with the largest reward. */
function bestPath(root: Placed): Set<Placed> {
  let best: Placed[] = [];
  let bestReward = Number.NEGATIVE_INFINITY;
  const walk = (at: Placed, path: Placed[]): void => {
    const here = [...path, at];
    if (at.node.terminal && at.node.reward > bestReward) {
      bestReward = at.node.reward;
      best = here;
    }
    for (const child of at.children) walk(child, here);
  };
  walk(root, []);
  return new Set(best);
}

/** @param nodes node 0 is the root; a tree without a visited child gives an empty string. */
export function treeSvg(nodes: readonly TreeNode[]): string {
  if (!nodes.some((node, i) => i > 0 && node.visits > 0)) return '';
  const { root, rows, depth } = place(nodes);
  const best = bestPath(root);
  const x = (d: number): number => (d === 0 ? 1 : ROOT_WIDTH + BOX.gapX + (d - 1) * (BOX.width + BOX.gapX));
  const y = (row: number): number => 2 + row * (BOX.height + BOX.gapY);
  const width = x(depth) + BOX.width + 2;
  const height = y(rows) - BOX.gapY + 2;
  const edges: string[] = [];
  const boxes: string[] = [];
  const draw = (at: Placed): void => {
    const isRoot = at.depth === 0;
    const [left, top, w] = [x(at.depth), y(at.row), isRoot ? ROOT_WIDTH : BOX.width];
    const onBest = best.has(at);
    const stroke = onBest ? 'stroke="var(--two)" stroke-width="2.5"' : 'stroke="var(--soft)" stroke-width="1"';
    boxes.push(
      `<rect x="${left}" y="${top}" width="${w}" height="${BOX.height}" rx="${at.node.terminal ? 14 : 3}" fill="var(--panel)" ${stroke}/>`,
    );
    const lines = isRoot ? ['patient'] : wrap(caption(at.node), LINE_LETTERS, 2);
    lines.forEach((line, i) => {
      boxes.push(`<text x="${left + 9}" y="${top + 18 + 14 * i}" font-size="12" fill="var(--ink)">${escapeHtml(line)}</text>`);
    });
    const stats = isRoot ? `n ${at.node.visits}` : `n ${at.node.visits}  V ${at.node.maxValue.toFixed(2)}  r ${at.node.reward.toFixed(2)}`;
    const more = at.unvisited > 0 && !isRoot ? `  +${at.unvisited}` : '';
    boxes.push(`<text x="${left + 9}" y="${top + 49}" font-size="11" fill="var(--soft)" xml:space="preserve">${stats}${more}</text>`);
    for (const child of at.children) {
      const [x0, y0] = [left + w, top + BOX.height / 2];
      const [x1, y1] = [x(child.depth), y(child.row) + BOX.height / 2];
      const middle = (x0 + x1) / 2;
      const line = onBest && best.has(child) ? 'stroke="var(--two)" stroke-width="2.5"' : 'stroke="var(--soft)" stroke-width="1"';
      edges.push(`<path d="M${x0} ${y0}C${middle} ${y0} ${middle} ${y1} ${x1} ${y1}" fill="none" ${line}/>`);
      draw(child);
    }
  };
  draw(root);
  return `<svg width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Search tree" font-family="system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif">${edges.join('')}${boxes.join('')}</svg>`;
}
