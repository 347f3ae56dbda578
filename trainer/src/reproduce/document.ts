/** REPRODUCTION.md: each claim beside our evidence. Every number is taken from the rows and verdicts it is given. */
import { basename } from 'node:path';
import { configToYaml } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { Evidence, Verdict } from './claims.ts';
import { type ExpertRow, expertTable } from './experts.ts';
import { FIGURES } from './figures.ts';
import { GROUPS, type Group } from './matrix.ts';
import type { Row } from './rows.ts';
import { GROUP_TITLES, groupTable, markdown, type Table, timeless } from './tables.ts';

/** Published figures on the same 200 TJH test patients, AUROC / AUPRC in percent. Source: eag-rl.md section 7, ehr-llm-benchmark. */
const TJH_ANCHORS: readonly (readonly [name: string, auroc: number, auprc: number])[] = [
  ['CatBoost', 99.2, 99.0],
  ['AdaCare', 99.0, 98.9],
  ['GPT-4o', 95.7, 93.0],
  ['GRU', 93.6, 90.4],
  ['ConCare', 91.0, 91.7],
  ['DeepSeek-R1-671B', 85.6, 76.9],
  ['Qwen2.5-7B, zero-shot', 73.0, 64.5],
  ['Qwen2.5-7B, zero-shot, the better prompt', 79.8, 70.9],
];

/** reproduction.json: all that the tables, figures and verdicts are drawn from. */
export interface Reproduction {
  readonly cohort: {
    readonly name: string;
    readonly task: string;
    readonly synthetic: boolean;
    /** Patients per split. */
    readonly patients: Readonly<Record<string, number>>;
    readonly digest: string;
  };
  /** The cohort of the generalisation rows. */
  readonly other?: {
    readonly name: string;
    /** Names of the features that both cohorts have, which the experts of those rows read. */
    readonly shared_features: readonly string[];
    readonly digest: string;
  };
  readonly model_digest: string;
  readonly seeds: readonly number[];
  readonly num_bootstrap: number;
  /** Of the work behind the rows: one, unless shards ran on different ones. */
  readonly devices: readonly string[];
  readonly rows: readonly Row[];
  readonly experts: readonly ExpertRow[];
  readonly verdicts: readonly Verdict[];
}

const three = (x: number): string => `${x < 0 ? '-' : '+'}${Math.abs(x).toFixed(3)}`;

function evidenceLine({ name, value, lower, upper, threshold, decision }: Evidence): string {
  return `  - ${name}: ${three(value)} [${three(lower)}, ${three(upper)}] against ${threshold}: ${decision}\n`;
}

function verdictSection({ id, claim, rule, decision, evidence, missing, needed }: Verdict): string {
  return (
    `### ${claim}: **${decision}**\n\n- Rule (\`${id}\`): ${rule}.\n` +
    `- Evidence:${evidence.length === 0 ? ' none.' : ''}\n${evidence.map(evidenceLine).join('')}` +
    (missing.length > 0 ? `- Not run: ${missing.join(', ')}.\n` : '') +
    `- Needed to say more: ${needed}.\n`
  );
}

/** The config without where its files lie: their names remain. */
function withoutPlaces(config: Config): Config {
  const name = (path: string | null): string | null => (path === null ? null : basename(path));
  return {
    ...config,
    output_dir: basename(config.output_dir),
    transfer_config: name(config.transfer_config),
    data: { ...config.data, path: name(config.data.path), split: name(config.data.split) },
    model: { ...config.model, model_name_or_path: name(config.model.model_name_or_path) },
  };
}

/** @param phases cost by phase, of tables.ts */
export function reproductionMarkdown(reproduction: Reproduction, config: Config, phases: Table): string {
  const { cohort, other, rows, verdicts, seeds, experts } = reproduction;
  const first = rows[0];
  const groups = GROUPS.filter((group: Group) => rows.some((row) => row.group === group));
  const budget =
    `Budgets: policy optimisation takes ${config.rl.max_steps} steps of ${config.rl.prompts_per_step} prompts x ${config.rl.num_generations} completions in every row that has it ` +
    '(DAPO samples again where rewards are equal; cost.md has its tokens); fine-tuning has the same epochs and rate on trajectories and on bare answers. ' +
    'Nothing is chosen by the test patients: the validation split stops the expert, and no other choice is made.';
  const anchors =
    cohort.name === 'tjh'
      ? `\n## Published figures on the same 200 test patients\n\nNot ours. Source: ehr-llm-benchmark; labs up to the day of death, as published.\n\n${markdown(
          {
            head: ['Model', 'AUROC', 'AUPRC'],
            body: TJH_ANCHORS.map(([name, auroc, auprc]) => [name, auroc.toFixed(1), auprc.toFixed(1)]),
          },
        )}`
      : '';
  const transfer =
    other === undefined
      ? ''
      : `\nGeneralisation: the other cohort is ${other.name}. The policy reads words and was asked as it is; the experts of those rows read the ` +
        `${other.shared_features.length} features that both cohorts have: ${other.shared_features.join(', ')}.\n`;
  const figures = Object.entries(FIGURES).filter(([, own]) => own.some((group) => groups.includes(group)));
  return `# EAG-RL (arXiv 2508.13579) at our scale: ${cohort.name}, ${cohort.task}

Written by \`eagrl reproduce\`; every number is from \`reproduction.json\`. Research software, not for clinical use.

${first.n} test patients${cohort.synthetic ? ', generated' : ''}, ${(100 * first.prevalence).toFixed(1)} % positive; ${cohort.patients.train} train, ${cohort.patients.val} validation.
Seeds ${seeds.join(', ')}; intervals are 2.5 and 97.5 percentiles of ${reproduction.num_bootstrap} resamples of the test patients${
    seeds.length > 1 ? ' and of the seeds' : ''
  }; differences are paired. ${reproduction.devices.join('; ')}.

${budget}

## Claims

| claim | verdict |
|---|---|
${verdicts.map((v) => `| ${v.claim} | ${v.decision} |\n`).join('')}
A contrast is confirmed when its whole interval lies above its threshold, not confirmed when the whole interval lies below it. A claim is
confirmed when all of its contrasts are, not confirmed when one is not, and otherwise cannot be said. ${
    seeds.length < 3
      ? `With ${seeds.length === 1 ? 'one seed' : 'two seeds'} the intervals say little of what another seed would give. `
      : ''
  }Where a verdict is negative, it is so of this
policy (PAPER.md, "What differs from the paper"), not of the paper's.

${verdicts.map(verdictSection).join('\n')}
## Tables

${groups.map((group) => `${markdown(groupTable(rows, group))}`).join('\n')}
Jaccard: named features against the expert's top K${cohort.synthetic ? '; "truth": against the features that drive the outcome of each generated patient' : ''}. Unread: answers without a readable probability, scored 0.5.
${transfer}${
  experts.length === 0
    ? ''
    : `\nThe expert and others in its place, each an ensemble; \`expert.kind\` lets another one guide.\n\n${markdown(expertTable(experts))}`
}${figures.map(([name, own]) => `\n![${GROUP_TITLES[own[0]]}](figures/${name}.svg)\n`).join('')}${anchors}
## Cost

All pieces of this run. Tokens: trained on, searched or written; the expert reads numbers. GFLOP: counted by the kernels' own formulas, a
multiply-add as two, over every launch. Seconds, which no two runs share, are in \`tables/phases.md\` and, piece by piece, in \`tables/cost.md\`.

${markdown(timeless(phases))}
## Config

Each row's own changes are in \`cells/<hash>/node.json\`.

\`\`\`yaml
${configToYaml(withoutPlaces(config))}\`\`\`
`;
}
