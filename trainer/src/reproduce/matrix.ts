/**
 * The experiments of the paper as data: one cell is one predictor whose answers for the test patients make one row of a table.
 * Source of the list: eag-rl.md section 6 (trainer/PAPER.md section 6 says what each one is here).
 */
import type { ConfigLayer } from '../config/resolve.ts';
import type { Config } from '../config/schema.ts';
import type { AnswerStyle } from '../text/prompt.ts';
import { didYouMean } from '../util/did_you_mean.ts';
import { ConfigError } from '../util/errors.ts';

/** Where a policy's weights come from. `stage2`: policy optimisation, from Stage 1 or, with `fromBase`, from the base policy. */
export type Training = 'none' | 'sft_answer' | 'stage1' | 'stage2';

export const GROUPS = ['method', 'ablation', 'robustness'] as const;
export type Group = (typeof GROUPS)[number];

interface CellCommon {
  /** Name for --only and for the rows. */
  readonly name: string;
  readonly label: string;
  readonly group: Group;
}

export interface PolicyCell extends CellCommon {
  readonly predictor: 'policy';
  readonly training: Training;
  readonly answer: AnswerStyle;
  readonly fromBase?: boolean;
  /** Config of every stage: another expert, search, Stage 1 and Stage 2. */
  readonly everywhere?: ConfigLayer;
  /** Config of policy optimisation alone: the Stage-1 start is that of EAG-RL. */
  readonly stage2?: ConfigLayer;
  /** Config of the questions at evaluation alone: the policy is that of EAG-RL. */
  readonly asked?: ConfigLayer;
}

/** `expert`: the ConCare ensemble; `bayes`: the generator's own probability, the ceiling, known for generated cohorts only. */
export interface GivenCell extends CellCommon {
  readonly predictor: 'expert' | 'bayes';
}

export type Cell = PolicyCell | GivenCell;

/** The cell that all others are compared with. */
export const REFERENCE = 'eagrl';

/** K of the ablation [d: the sizes of issue 5]. */
const TOP_KS = [3, 5, 10] as const;
/** Shares of shuffled feature lines [p]. */
export const SHUFFLED = [0.2, 0.4, 0.6, 1] as const;
/** Shares of removed values [d]: the paper has none. */
export const REMOVED = [0.2, 0.4] as const;

const percent = (fraction: number): number => Math.round(100 * fraction);

/** Keys that the matrix sets itself, with the value that they must have in the config it starts from. */
const OWN_KEYS = [
  ['rl', 'clip_mode', 'entropy_adaptive'],
  ['rl', 'dynamic_sampling', 0],
  ['rl', 'soft_punish_cache', 0],
  ['reward', 'preset', 'paper'],
  ['prompt', 'shuffle_fraction', 0],
  ['prompt', 'missing_fraction', 0],
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
    { ...method, name: 'expert', label: 'expert (ConCare)', predictor: 'expert' },
    ...(config.data.kind === 'synthetic'
      ? [{ ...method, name: 'bayes', label: 'Bayes optimum (ceiling)', predictor: 'bayes' } as const]
      : []),
    policy({ ...ablation, name: 'no_stage1', label: 'without Stage 1', training: 'stage2', fromBase: true }),
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
  return cells.filter((c) => c.name === REFERENCE || names.includes(c.name));
}
