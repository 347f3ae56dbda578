/**
 * Expert-guided Monte Carlo tree search over (sub-question, answer) nodes, the trees of many patients in lockstep:
 * each wave of expansions is one batched generation, each selection and each back-up one kernel.
 *
 * Paper: EAG-RL, Stage 1. Statistics from the authors' precursor (RAP lineage), see trainer/PAPER.md.
 * A node's reward: inner = w * P("Yes": is this sub-question useful?) + (1 - w) * P("Yes": is this answer correct?), both read from the
 * policy's own logits, w = usefulness_weight; terminal = R of the paper with the true label (training patients only).
 */
import { type Backend, branchedBlocks, type SeqId } from '@eagrl/runtime';
import { type Policy, type SamplingOptions, tagStops } from '../policy.ts';
import { parseAnswer, parseSteps } from '../text/answer.ts';
import { CORRECT_QUESTION, probeTokens, usefulProbe } from '../text/probe.ts';
import { TAGS } from '../text/special_tokens.ts';
import { stopWatch } from '../text/text_stream.ts';
import type { Answer } from '../types.ts';
import { Forest } from './forest.ts';

export interface SearchConfig {
  readonly num_simulations: number;
  readonly num_children: number;
  readonly max_depth: number;
  readonly exploration: number;
  readonly max_step_tokens: number;
  readonly usefulness_weight: number;
}

/** Reward parts of one terminal node. */
export interface TerminalScore {
  readonly total: number;
  readonly classification: number;
  readonly attention: number;
}

export interface SearchCase {
  readonly id: string;
  readonly prompt: Uint32Array;
  /** First of the case's random streams; a case uses at most `num_simulations * max_depth * num_children` of them. */
  readonly stream: number;
}

export interface SearchNode {
  readonly parent: number;
  readonly depth: number;
  readonly tokens: Uint32Array;
  readonly text: string;
  readonly terminal: boolean;
  /** Probes of an inner node; null at the root and at terminal nodes. */
  readonly usefulness: number | null;
  readonly selfScore: number | null;
  readonly reward: number;
  readonly answer: Answer | null;
  readonly score: TerminalScore | null;
  visits: number;
  maxValue: number;
}

export interface SearchTree {
  readonly id: string;
  /** Node 0 is the root: the bare prompt. */
  readonly nodes: SearchNode[];
}

interface Live {
  readonly tree: SearchTree;
  readonly seqs: SeqId[];
  stream: number;
}

/** Scores finished paths of several cases at once: `items[i].case` indexes the cases given to `search`. */
export type ScoreTerminals = (items: readonly { readonly case: number; readonly answer: Answer }[]) => Promise<TerminalScore[]>;

/** Tokens of a step's opening and end, or of the question that a probe asks of it, at the most. */
export const SHORT_TEXT = 64;

/**
 * What a tree adds to its prompt at the most: the first simulation expands a path from the root, each later one a path from a node below it.
 * The probes of an expansion come on top, a step and a question each: they count as so many more nodes.
 */
export function treeSize(config: Pick<SearchConfig, 'num_simulations' | 'num_children' | 'max_depth' | 'max_step_tokens'>): {
  readonly nodes: number;
  readonly tokensPerNode: number;
} {
  const { num_simulations: simulations, num_children: children, max_depth: depth, max_step_tokens: step } = config;
  const expansions = depth + (simulations - 1) * (depth - 1);
  const tokensPerNode = step + SHORT_TEXT / 4;
  return { nodes: children * expansions + Math.ceil((children * (step + SHORT_TEXT)) / tokensPerNode), tokensPerNode };
}

/**
 * Runs `num_simulations` rollouts on each case's tree and returns the trees with their final statistics. Trees go in lockstep as far as the
 * KV cache has room; none depends on the others.
 */
export async function search(
  policy: Policy,
  cases: readonly SearchCase[],
  config: SearchConfig,
  sampling: SamplingOptions,
  seed: number,
  scoreTerminals: ScoreTerminals,
): Promise<SearchTree[]> {
  const { available, blockSize } = policy.engine.cacheUse;
  const { nodes, tokensPerNode } = treeSize(config);
  const trees: SearchTree[] = [];
  while (trees.length < cases.length) {
    const from = trees.length;
    let to = from;
    let left = available;
    while (to < cases.length && (left -= branchedBlocks(blockSize, cases[to].prompt.length, nodes, tokensPerNode)) >= 0) to++;
    // What does not fit alone is tried: few trees are as large as they may be.
    const part = cases.slice(from, Math.max(to, from + 1));
    const scorePart: ScoreTerminals = (items) => scoreTerminals(items.map((item) => ({ ...item, case: from + item.case })));
    trees.push(...(await searchTogether(policy, part, config, sampling, seed, scorePart)));
  }
  return trees;
}

async function searchTogether(
  policy: Policy,
  cases: readonly SearchCase[],
  config: SearchConfig,
  sampling: SamplingOptions,
  seed: number,
  scoreTerminals: ScoreTerminals,
): Promise<SearchTree[]> {
  const { engine } = policy;
  const forest = forestOf(policy.backend, cases.length, config);
  const roots = engine.open(cases.map((c) => c.prompt));
  const live: Live[] = cases.map((c, i) => ({
    tree: { id: c.id, nodes: [rootNode()] },
    seqs: [roots[i]],
    stream: c.stream,
  }));
  try {
    for (let s = 0; s < config.num_simulations; s++) {
      const paths = await forest.select(
        cases.map(() => true),
        config.exploration,
      );
      let frontier = cases.map((_, t) => t).filter((t) => !leafOf(live[t], paths[t]).terminal);
      while (frontier.length > 0) {
        await expand(
          policy,
          frontier.map((t) => ({ case: t, live: live[t], leaf: paths[t][paths[t].length - 1] })),
          forest,
          config,
          sampling,
          seed,
          scoreTerminals,
        );
        for (const t of frontier) paths[t].push(bestChild(live[t].tree, paths[t][paths[t].length - 1]));
        frontier = frontier.filter((t) => !leafOf(live[t], paths[t]).terminal);
      }
      await forest.backup(paths);
    }
    live.forEach(({ tree }, t) => {
      tree.nodes.forEach((node, n) => {
        node.visits = forest.visits(t, n);
        node.maxValue = forest.maxValue(t, n);
      });
    });
    return live.map((l) => l.tree);
  } finally {
    for (const l of live) for (const seq of l.seqs) engine.release(seq);
    forest.free();
  }
}

const forestOf = (backend: Backend, trees: number, config: SearchConfig): Forest =>
  new Forest(backend, trees, 1 + config.num_simulations * config.max_depth * config.num_children, config.max_depth);

/** A selection and a back-up in as many trees, on a device that computes nothing. */
export async function rehearseForest(backend: Backend, trees: number, config: SearchConfig): Promise<void> {
  const forest = forestOf(backend, trees, config);
  await forest.backup(
    await forest.select(
      Array.from({ length: trees }, () => true),
      config.exploration,
    ),
  );
}

const rootNode = (): SearchNode => ({
  parent: -1,
  depth: 0,
  tokens: new Uint32Array(0),
  text: '',
  terminal: false,
  usefulness: null,
  selfScore: null,
  reward: 0,
  answer: null,
  score: null,
  visits: 0,
  maxValue: 0,
});

const leafOf = (live: Live, path: readonly number[]): SearchNode => live.tree.nodes[path[path.length - 1]];

/** The child of `parent` with the largest reward; the first among equals. Children of a fresh leaf are the last nodes added. */
function bestChild(tree: SearchTree, parent: number): number {
  let best = -1;
  tree.nodes.forEach((node, n) => {
    if (node.parent === parent && (best < 0 || node.reward > tree.nodes[best].reward)) best = n;
  });
  return best;
}

interface Expansion {
  readonly case: number;
  readonly live: Live;
  readonly leaf: number;
}

/** The last token of a step may hold more than the end of its tag: the line end in most vocabularies. */
const STEP_END = new RegExp(`${TAGS.answer[1]}\\s*$`);

/** What must come between a leaf's last step and a new line: nothing after the prompt, or after a step that has its line end already. */
function lineEnd({ live, leaf }: Expansion): '' | '\n' {
  const { depth, text } = live.tree.nodes[leaf];
  return depth > 0 && !text.endsWith('\n') ? '\n' : '';
}

/** Adds `num_children` children to each leaf: the policy writes them, the probe and the reward judge them. */
async function expand(
  policy: Policy,
  expansions: readonly Expansion[],
  forest: Forest,
  config: SearchConfig,
  sampling: SamplingOptions,
  seed: number,
  scoreTerminals: ScoreTerminals,
): Promise<void> {
  const { engine, tokenizer, chat } = policy;
  const { stopTokens, stopStrings } = tagStops(policy, [TAGS.answer[1], TAGS.finalAnswer[1]]);

  const slots = expansions.flatMap((e) => {
    const depth = e.live.tree.nodes[e.leaf].depth + 1;
    // A path that has used up its depth is made to conclude.
    const opening = `${lineEnd(e)}${TAGS.finalSubquestion[0]}`;
    const forced = depth >= config.max_depth ? tokenizer.encode(opening) : new Uint32Array(0);
    return Array.from({ length: config.num_children }, () => ({
      expansion: e,
      depth,
      forced,
      seq: engine.fork(e.live.seqs[e.leaf]),
      stream: e.live.stream++,
    }));
  });
  engine.append(slots.filter((s) => s.forced.length > 0).map(({ seq, forced }) => ({ seq, tokens: forced })));
  const completions = await engine.sample(
    slots.map(({ seq, stream }) => ({
      seq,
      stream,
      seed,
      maxTokens: config.max_step_tokens,
      stopTokens,
      stopAfter: stopWatch(tokenizer, stopStrings),
    })),
    sampling,
  );

  const drafts = slots.map((slot, i) => {
    const tokens = Uint32Array.from([...slot.forced, ...completions[i].tokens]);
    const text = tokenizer.decode(tokens);
    // Anything but one whole step ends the path: it is final, or it is broken and scores as unparsable. So does a step where the path had to end.
    const steps = slot.depth < config.max_depth && STEP_END.test(text) ? parseSteps(text) : [];
    const step = steps.length === 1 ? steps[0] : null;
    return { ...slot, tokens, text, step, answer: step ? null : parseAnswer(text) };
  });

  const terminals = drafts.filter((d) => !d.step);
  const scores = await scoreTerminals(terminals.map((d) => ({ case: d.expansion.case, answer: d.answer as Answer })));
  const scoreOf = new Map(terminals.map((d, i) => [d, scores[i]]));
  const inner = drafts.filter((d) => d.step);
  const useful = await probe(
    policy,
    inner.map((d) => ({
      seq: d.expansion.live.seqs[d.expansion.leaf],
      text: lineEnd(d.expansion) + usefulProbe(d.step!.question, chat.followUp),
    })),
  );
  const correct = await probe(
    policy,
    inner.map((d) => ({ seq: d.seq, text: chat.followUp(CORRECT_QUESTION) })),
  );
  const probesOf = new Map(inner.map((d, i) => [d, { usefulness: useful[i], selfScore: correct[i] }]));

  for (const e of expansions) {
    const own = drafts.filter((d) => d.expansion === e);
    const nodes = own.map((d): SearchNode => {
      const score = scoreOf.get(d) ?? null;
      const probes = probesOf.get(d);
      const w = config.usefulness_weight;
      return {
        parent: e.leaf,
        depth: d.depth,
        tokens: d.tokens,
        text: d.text,
        terminal: !d.step,
        usefulness: probes?.usefulness ?? null,
        selfScore: probes?.selfScore ?? null,
        reward: probes ? w * probes.usefulness + (1 - w) * probes.selfScore : score!.total,
        answer: d.answer,
        score,
        visits: 0,
        maxValue: 0,
      };
    });
    forest.addChildren(
      e.case,
      e.leaf,
      nodes.map((n) => ({ prior: n.reward, reward: n.reward, terminal: n.terminal })),
    );
    e.live.tree.nodes.push(...nodes);
    e.live.seqs.push(...own.map((d) => d.seq));
  }
}

/** P("Yes") against "No" after each sequence is continued by its text; the sequences themselves stay as they are. */
async function probe({ engine, tokenizer }: Policy, items: readonly { readonly seq: SeqId; readonly text: string }[]): Promise<number[]> {
  if (items.length === 0) return [];
  const { yes, no } = probeTokens(tokenizer);
  const forks = items.map(({ seq }) => engine.fork(seq));
  engine.append(forks.map((seq, i) => ({ seq, tokens: tokenizer.encode(items[i].text) })));
  const rows = await engine.probabilities(forks, [yes, no]);
  for (const seq of forks) engine.release(seq);
  return rows.map(([y, n]) => y / (y + n));
}
