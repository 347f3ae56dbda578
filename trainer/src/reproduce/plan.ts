/**
 * From cells to work: nodes that depend on each other, each known by the hash of all that decides its result.
 *
 *   expert -> trees -> stage1 -> rl -> answers        sft_answer hangs on trees, rl without Stage 1 on the expert alone
 *   samples -> stage1 -> samples -> stage1 -> answers  STaR: a round's samples are in the place of trees
 *
 * hash = SHA-256 of (kind, the config keys that the node reads with their values, its parents' hashes). Cells that differ in a key which a
 * node does not read share that node: expert, trees and Stage 1 are computed once. Roots are digests of the cohort and of the base
 * policy's files, not their paths, so that a shard on another machine finds the same hashes. A key that no node reads is in one of two
 * lists below. Pure: nothing is read or run here.
 */
import { createHash } from 'node:crypto';
import { CONFIG_KEYS, type ConfigLayer, configValue, mergeLayers, resolveConfig } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import type { CohortName } from '../data/transfer.ts';
import type { AnswerStyle } from '../text/prompt.ts';
import { type Cell, type PolicyCell, REFERENCE, STAR_ROUNDS, testedOn } from './matrix.ts';

export const KINDS = ['expert', 'trees', 'samples', 'stage1', 'sft_answer', 'rl', 'answers'] as const;
export type Kind = (typeof KINDS)[number];

/** Raised from 1 when the code changes what a node of the kind computes from the same config. 2: the members' own seeds. */
const CACHE_VERSION: Readonly<Partial<Record<Kind, number>>> = { expert: 2 };

export interface Node {
  readonly kind: Kind;
  /** For people: kind, and the first cell and seed that asked for it. */
  readonly title: string;
  readonly hash: string;
  readonly seed: number;
  /** Whose patients it is about. */
  readonly cohort: CohortName;
  /** Whole, though the node reads `reads` of it alone. */
  readonly config: Config;
  readonly reads: readonly string[];
  readonly answer: AnswerStyle | null;
  /** Trees read the expert, Stage 1 the trees, and so on; null: the base policy. */
  readonly expert: Node | null;
  readonly trees: Node | null;
  /** Whose weights are trained on, or answer. */
  readonly policy: Node | null;
}

export interface PlannedCell {
  readonly cell: Cell;
  readonly seed: number;
  /** Whose config its questions and C_exp follow. */
  readonly config: Config;
  /** The expert that its names are compared with. */
  readonly expert: Node;
  /** Null where no policy is asked. */
  readonly answers: Node | null;
}

export interface Plan {
  /** Parents before children. */
  readonly nodes: readonly Node[];
  readonly cells: readonly PlannedCell[];
}

/** Digests of what the plan starts from; hex. */
export interface Roots {
  /** Those of the other cohort where the cells want it. */
  readonly cohorts: { readonly here: string } & Readonly<Partial<Record<CohortName, string>>>;
  readonly model: string;
}

const section = (...names: string[]): string[] => CONFIG_KEYS.filter((key) => names.includes(key.split('.')[0]));

/** Keys whose effect is in a root: the cohorts, the base policy's files and the chat template. */
export const IN_ROOTS: readonly string[] = [...section('data'), 'transfer_config', 'model.model_name_or_path', 'model.chat_template'];

/** Keys that cannot matter: they say where, are read after the answers are in, change no bit, or belong to `eagrl pretrain`. */
export const NOT_DECISIVE: readonly string[] = [
  ...['run_name', 'output_dir', 'preset', 'checkpoint.every_steps', 'eval.num_bootstrap', 'model.gradient_checkpointing'],
  ...section('pretrain'),
];

const TOP_K = 'expert.attention_top_k';
/** How the base policy's weights are kept, whoever asks or trains it. */
const DTYPE = 'model.dtype';
/** What is trained of the model. */
const TRAINED = [DTYPE, ...CONFIG_KEYS.filter((key) => key === 'model.use_peft' || key.startsWith('model.lora_'))];

/** What each kind reads of the config. */
export const READS: Readonly<Record<Kind, readonly string[]>> = {
  expert: [...section('device', 'seed'), ...section('expert').filter((key) => key !== TOP_K)],
  trees: [...section('device', 'seed', 'prompt', 'mcts', 'reward'), TOP_K, DTYPE],
  samples: [
    ...section('device', 'seed', 'prompt'),
    ...section('mcts').filter((key) => !['mcts.num_children', 'mcts.exploration', 'mcts.usefulness_weight'].includes(key)),
    DTYPE,
  ],
  stage1: [...section('device', 'seed', 'prompt', 'sft'), ...TRAINED],
  sft_answer: [...section('device', 'seed', 'prompt', 'sft'), ...TRAINED],
  rl: [...section('device', 'seed', 'prompt', 'rl', 'reward'), TOP_K, ...TRAINED],
  answers: [...section('device', 'seed', 'prompt', 'eval').filter((key) => !NOT_DECISIVE.includes(key)), DTYPE],
};

export function nodeHash(kind: Kind, config: Config, parents: readonly string[], answer: AnswerStyle | null): string {
  const values = READS[kind].map((key) => [key, configValue(config, key)]);
  return createHash('sha256')
    .update(JSON.stringify([CACHE_VERSION[kind] ?? 1, kind, values, answer, parents]))
    .digest('hex');
}

const over = (config: Config, ...layers: readonly (ConfigLayer | undefined)[]): Config =>
  resolveConfig(
    layers.reduce<ConfigLayer>((merged, layer) => mergeLayers(merged, layer ?? {}), config),
    'reproduce',
  );

/** Work for `cells` at `seeds`, seed by seed. @throws ConfigError when a cell's config contradicts itself. */
export function planOf(config: Config, cells: readonly Cell[], seeds: readonly number[], roots: Roots): Plan {
  const nodes = new Map<string, Node>();
  const planned: PlannedCell[] = [];
  for (const seed of seeds) {
    for (const cell of cells) {
      const policy = cell.predictor === 'policy' ? cell : null;
      const chain = over(config, { seed }, cell.everywhere);
      const add: Add = (kind, of, cohort, links = {}) => {
        const { expert = null, trees = null, policy: weights = null, answer = null } = links;
        const model = kind === 'expert' || weights !== null ? '' : roots.model;
        const digest = roots.cohorts[cohort];
        if (digest === undefined) throw new Error(`reproduce: cell ${cell.name} wants the cohort "${cohort}", which is not loaded`);
        const hash = nodeHash(kind, of, [digest, model, ...[expert, trees, weights].map((n) => n?.hash ?? '')], answer);
        const known = nodes.get(hash);
        if (known !== undefined) return known;
        const node: Node = {
          kind,
          title: `${kind} ${cell.name} ${seed}`,
          hash,
          seed,
          cohort,
          config: of,
          reads: READS[kind],
          answer,
          expert,
          trees,
          policy: weights,
        };
        nodes.set(hash, node);
        return node;
      };
      const expert = add('expert', chain, (cell.predictor === 'policy' ? undefined : cell.cohort) ?? testedOn(cell));
      planned.push({ cell, seed, config: chain, expert, answers: policy === null ? null : answersOf(policy, chain, add) });
    }
  }
  return { nodes: [...nodes.values()], cells: planned };
}

type Links = Partial<Pick<Node, 'expert' | 'trees' | 'policy' | 'answer'>>;
type Add = (kind: Kind, of: Config, cohort: CohortName, links?: Links) => Node;

function answersOf(cell: PolicyCell, chain: Config, add: Add): Node {
  const on = cell.trainedOn ?? 'here';
  const expert = () => add('expert', chain, on);
  const trees = () => add('trees', chain, on, { expert: expert() });
  const stage1 = () => add('stage1', chain, on, { trees: trees() });
  const starRound = (policy: Node | null) => add('stage1', chain, on, { trees: add('samples', chain, on, { policy }) });
  const train: Readonly<Record<PolicyCell['training'], () => Node | null>> = {
    none: () => null,
    sft_answer: () => add('sft_answer', chain, on, { trees: trees() }),
    stage1,
    star: () => Array.from({ length: STAR_ROUNDS }).reduce<Node | null>(starRound, null),
    stage2: () => add('rl', over(chain, cell.stage2), on, { expert: expert(), policy: cell.fromBase ? null : stage1() }),
  };
  return add('answers', over(chain, cell.asked), testedOn(cell), { policy: train[cell.training](), answer: cell.answer });
}

/** The nodes that some cells need, parents first. */
export function neededBy(plan: Plan, cells: readonly PlannedCell[]): Node[] {
  const needed = new Set<Node>();
  const visit = (node: Node | null): void => {
    if (node === null || needed.has(node)) return;
    for (const parent of [node.expert, node.trees, node.policy]) visit(parent);
    needed.add(node);
  };
  for (const { expert, answers } of cells) {
    visit(expert);
    visit(answers);
  }
  return plan.nodes.filter((node) => needed.has(node));
}

/**
 * Part `index` (from 1) of `count` nearly equal parts of the cells, whole runs of the list: cells of one seed share their parents, so
 * neighbours stay together. Every cell is in exactly one part.
 */
export function shardOf(cells: readonly PlannedCell[], index: number, count: number): PlannedCell[] {
  const cut = (i: number): number => Math.floor((i * cells.length) / count);
  return cells.slice(cut(index - 1), cut(index));
}

/** Whether a planned cell is what others are compared with. */
export const isReference = ({ cell }: PlannedCell): boolean => cell.name === REFERENCE;
