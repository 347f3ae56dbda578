/**
 * The experiments of the paper as data: one cell is one predictor whose answers for the test patients make one row of a table.
 * Source of the list: eag-rl.md section 6 (trainer/PAPER.md section 6 says what each one is here).
 */
import type { ConfigLayer } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import type { CohortName } from '../data/transfer.ts';
import type { AnswerStyle } from '../text/prompt.ts';
import { didYouMean } from '../util/did_you_mean.ts';
import { ConfigError } from '../util/errors.ts';

/**
 * Where a policy's weights come from. `stage2`: policy optimisation, from Stage 1 or, with `fromBase`, from the base policy. `star`: rounds
 * of stages/star.ts in the place of Stage 1, each from the base policy.
 */
export type Training = 'none' | 'sft_answer' | 'stage1' | 'star' | 'stage2';

/** `transfer`: tested on the run's cohort; `transfer_other`: tested on the other one. */
export const GROUPS = ['method', 'ablation', 'robustness', 'transfer', 'transfer_other'] as const;
export type Group = (typeof GROUPS)[number];

interface CellCommon {
  /** Name for --only and for the rows. */
  readonly name: string;
  readonly label: string;
  readonly group: Group;
  /** Config of every stage: another expert, search, Stage 1 and Stage 2. */
  readonly everywhere?: ConfigLayer;
}

export interface PolicyCell extends CellCommon {
  readonly predictor: 'policy';
  readonly training: Training;
  readonly answer: AnswerStyle;
  readonly fromBase?: boolean;
  /** Whose train patients it learns from; default `here`. */
  readonly trainedOn?: 'here' | 'other';
  /** Config of policy optimisation alone: the Stage-1 start is that of EAG-RL. */
  readonly stage2?: ConfigLayer;
  /** Config of the questions at evaluation alone: the policy is that of EAG-RL. */
  readonly asked?: ConfigLayer;
}

/** `expert`: the ensemble; `bayes`: the generator's own probability, the ceiling, known for generated cohorts only. */
export interface GivenCell extends CellCommon {
  readonly predictor: 'expert' | 'bayes';
  /** What the expert is trained and tested on; default the cohort that the group is tested on. */
  readonly cohort?: CohortName;
}

export type Cell = PolicyCell | GivenCell;

/** The cell that all others are compared with, and the one for those tested on the other cohort: trained there. */
export const REFERENCE = 'eagrl';
export const OTHER_REFERENCE = 'other_eagrl';

/** The cohort that a cell's group is tested on. */
export const testedOn = ({ group }: Pick<CellCommon, 'group'>): 'here' | 'other' => (group === 'transfer_other' ? 'other' : 'here');

export const referenceOf = (cell: Pick<CellCommon, 'group'>): string => (testedOn(cell) === 'here' ? REFERENCE : OTHER_REFERENCE);

export const EXPERT_LABELS: Readonly<Record<Config['expert']['kind'], string>> = {
  concare: 'ConCare',
  gru: 'GRU',
  adacare: 'AdaCare',
  logistic: 'logistic regression',
};
/** The rate of the nets leaves so few weights far from where they end [d]; a linear model is not harmed by a larger one. */
const LOGISTIC = { learning_rate: 0.03, num_epochs: 50 };

/** K of the ablation [d: the sizes of issue 5]. */
const TOP_KS = [3, 5, 10] as const;
/** Shares of shuffled feature lines [p]. */
export const SHUFFLED = [0.2, 0.4, 0.6, 1] as const;
/** Shares of removed values [d]: the paper has none. */
export const REMOVED = [0.2, 0.4] as const;

/** Relative standard deviations of noise on values [d]: the paper has none. */
export const NOISE = [0.1, 0.2, 0.4] as const;
/** Rounds of STaR [d]. */
export const STAR_ROUNDS = 2;

const percent = (fraction: number): number => Math.round(100 * fraction);

/** Keys that the matrix sets itself, with the value that they must have in the config it starts from. */
const OWN_KEYS = [
  ['rl', 'clip_mode', 'entropy_adaptive'],
  ['rl', 'dynamic_sampling', 0],
  ['rl', 'soft_punish_cache', 0],
  ['reward', 'preset', 'paper'],
  ['prompt', 'shuffle_fraction', 0],
  ['prompt', 'missing_fraction', 0],
  ['prompt', 'noise_std', 0],
] as const;

/** All cells in the order of the tables. @throws ConfigError when the config sets what the matrix varies. */
export function cellsOf(config: Config): Cell[] {
  for (const [section, key, value] of OWN_KEYS) {
    const found = (config[section] as Readonly<Record<string, unknown>>)[key];
    if (found !== value) {
      throw new ConfigError(
        `reproduce: ${section}.${key} is varied by the matrix and must be ${value} in its config, got ${String(found)}`,
      );
    }
  }
  const policy = (cell: Omit<PolicyCell, 'predictor' | 'answer'> & { readonly answer?: AnswerStyle }): PolicyCell => ({
    answer: 'steps',
    ...cell,
    predictor: 'policy',
  });
  const method = { group: 'method' } as const;
  const ablation = { group: 'ablation' } as const;
  return [
    policy({ ...method, name: 'vanilla', label: 'zero-shot, number only', training: 'none', answer: 'number' }),
    policy({ ...method, name: 'features', label: 'zero-shot, features and number', training: 'none', answer: 'features' }),
    policy({ ...method, name: 'decompose', label: 'zero-shot, question decomposition', training: 'none' }),
    policy({ ...method, name: 'sft_answer', label: 'SFT on bare answers', training: 'sft_answer', answer: 'number' }),
    policy({ ...method, name: 'stage1', label: 'Stage 1 only (without Stage 2)', training: 'stage1' }),
    policy({
      ...method,
      name: 'grpo',
      label: 'Stage 1, then GRPO',
      training: 'stage2',
      stage2: {
        rl: { clip_mode: 'fixed', epsilon: 0.2, epsilon_high: null, beta: 0.001, loss_type: 'grpo', lambda: null },
        reward: { lambda: 1 },
      },
    }),
    policy({
      ...method,
      name: 'dapo',
      label: 'Stage 1, then DAPO',
      training: 'stage2',
      stage2: {
        rl: {
          clip_mode: 'fixed',
          epsilon: 0.2,
          epsilon_high: 0.28,
          beta: 0,
          loss_type: 'dapo',
          lambda: null,
          // verl's recipe of DAPO samples at most 10 rounds; the paper's cache is a fifth of its longest completion (4,096 of 20,480).
          dynamic_sampling: 10,
          soft_punish_cache: Math.round(config.rl.max_completion_length / 5),
        },
        reward: { lambda: 1 },
      },
    }),
    policy({ ...method, name: REFERENCE, label: 'EAG-RL', training: 'stage2' }),
    { ...method, name: 'expert', label: `expert (${EXPERT_LABELS[config.expert.kind]})`, predictor: 'expert' },
    ...(Object.keys(EXPERT_LABELS) as Config['expert']['kind'][])
      .filter((kind) => kind !== config.expert.kind)
      .map(
        (kind): GivenCell => ({
          ...method,
          name: `expert_${kind}`,
          label: `expert (${EXPERT_LABELS[kind]})`,
          predictor: 'expert',
          everywhere: { expert: { kind, ...(kind === 'logistic' ? LOGISTIC : {}) } },
        }),
      ),
    ...(config.data.kind === 'synthetic'
      ? [{ ...method, name: 'bayes', label: 'Bayes optimum (ceiling)', predictor: 'bayes' } as const]
      : []),
    policy({ ...ablation, name: 'no_stage1', label: 'without Stage 1', training: 'stage2', fromBase: true }),
    policy({ ...ablation, name: 'star', label: 'STaR for Stage 1, no Stage 2', training: 'star' }),
    policy({
      ...ablation,
      name: 'no_attention',
      label: 'without R_att',
      training: 'stage2',
      everywhere: { reward: { lambda: 1 }, rl: { lambda: null } },
    }),
    policy({
      ...ablation,
      name: 'no_adaptive',
      label: 'without adaptive clip',
      training: 'stage2',
      stage2: { rl: { clip_mode: 'fixed', epsilon_high: null } },
    }),
    ...TOP_KS.map((k) =>
      policy({
        ...ablation,
        name: `k${k}`,
        label: `K = ${k}`,
        training: 'stage2',
        everywhere: { expert: { attention_top_k: k } },
      }),
    ),
    policy({
      ...ablation,
      name: 'reward_repo',
      label: 'reward preset repo',
      training: 'stage2',
      everywhere: { reward: { preset: 'repo' } },
    }),
    ...SHUFFLED.map((fraction) =>
      policy({
        group: 'robustness',
        name: `shuffled_${percent(fraction)}`,
        label: `order of ${percent(fraction)} % of the lines shuffled`,
        training: 'stage2',
        asked: { prompt: { shuffle_fraction: fraction } },
      }),
    ),
    ...REMOVED.map((fraction) =>
      policy({
        group: 'robustness',
        name: `removed_${percent(fraction)}`,
        label: `${percent(fraction)} % of the values removed`,
        training: 'stage2',
        asked: { prompt: { missing_fraction: fraction } },
      }),
    ),
    ...NOISE.map((std) =>
      policy({
        group: 'robustness',
        name: `noise_${percent(std)}`,
        label: `noise of ${percent(std)} % on the values`,
        training: 'stage2',
        asked: { prompt: { noise_std: std } },
      }),
    ),
    ...(config.transfer_config === null ? [] : transferCells(policy)),
  ];
}

/** Both directions, policy and expert; the experts also where they were trained, on the shared features alone. */
function transferCells(policy: (cell: Omit<PolicyCell, 'predictor' | 'answer'>) => PolicyCell): Cell[] {
  const [here, other] = [{ group: 'transfer' }, { group: 'transfer_other' }] as const;
  const expert = { predictor: 'expert' } as const;
  return [
    policy({ ...here, name: 'transfer_in', label: 'EAG-RL trained on the other cohort', training: 'stage2', trainedOn: 'other' }),
    { ...here, ...expert, name: 'expert_shared', label: 'expert, shared features', cohort: 'here_shared' },
    { ...here, ...expert, name: 'expert_in', label: 'expert trained on the other cohort', cohort: 'to_here' },
    policy({ ...other, name: OTHER_REFERENCE, label: 'EAG-RL trained there', training: 'stage2', trainedOn: 'other' }),
    policy({ ...other, name: 'other_decompose', label: 'zero-shot, question decomposition', training: 'none' }),
    policy({ ...other, name: 'transfer_out', label: 'EAG-RL trained on this cohort', training: 'stage2' }),
    { ...other, ...expert, name: 'other_expert_shared', label: 'expert trained there, shared features', cohort: 'other_shared' },
    { ...other, ...expert, name: 'expert_out', label: 'expert trained on this cohort', cohort: 'to_other' },
  ];
}

/**
 * The cells named, in the matrix's order; all of them for null. The reference is always among them: every row is compared with it.
 * @throws ConfigError on a name that is no cell.
 */
export function selectCells(cells: readonly Cell[], names: readonly string[] | null): Cell[] {
  if (names === null) return [...cells];
  const known = cells.map((c) => c.name);
  for (const name of names) {
    if (known.includes(name)) continue;
    const near = didYouMean(name, known);
    throw new ConfigError(`--only: no cell ${name}; ${near === null ? `there are ${known.join(', ')}` : `did you mean ${near}?`}`);
  }
  const chosen = cells.filter((c) => names.includes(c.name));
  return cells.filter((c) => c.name === REFERENCE || names.includes(c.name) || chosen.some((other) => referenceOf(other) === c.name));
}
