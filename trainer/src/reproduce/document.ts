/** REPRODUCTION.md: each claim beside our evidence. Every number is taken from the rows and verdicts it is given. */
import { basename } from 'node:path';
import { configToYaml } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { testedOn } from '../report/summary.ts';
import type { Decision, Evidence, Verdict } from './claims.ts';
import { type ExpertRow, expertTable } from './experts.ts';
import { FIGURES } from './figures.ts';
import { GROUPS, type Group, REFERENCE } from './matrix.ts';
import type { Bounds, Row } from './rows.ts';
import { GROUP_TITLES, groupTable, headRows, markdown, type Table, timeless } from './tables.ts';

/**
 * Published figures on the same 200 TJH test patients, AUROC / AUPRC in percent, and what of ours is of that kind: a cell, or a kind of expert.
 * Source: eag-rl.md section 7, ehr-llm-benchmark.
 */
const TJH_ANCHORS: readonly (readonly [name: string, auroc: number, auprc: number, ours?: string])[] = [
  ['CatBoost', 99.2, 99.0],
  ['AdaCare', 99.0, 98.9, 'adacare'],
  ['GPT-4o', 95.7, 93.0],
  ['GRU', 93.6, 90.4, 'gru'],
  ['ConCare', 91.0, 91.7, 'concare'],
  ['DeepSeek-R1-671B', 85.6, 76.9],
  ['Qwen2.5-7B, zero-shot', 73.0, 64.5],
  ['Qwen2.5-7B, zero-shot, the better prompt', 79.8, 70.9],
];

const TJH_TEST_PATIENTS = 200;

/** Published figures beside ours, where our test patients are those; empty otherwise. */
function anchorSection({ cohort, rows }: Reproduction, config: Config): string {
  const { min_visits: minVisits, horizon_days: horizon } = config.data;
  if (cohort.name !== 'tjh' || cohort.patients.test !== TJH_TEST_PATIENTS || minVisits !== 1 || horizon !== null) return '';
  const shown = headRows(rows);
  const row = (cell: string) => shown.find((r) => r.cell === cell);
  const percent = (bounds: Bounds | undefined): string =>
    bounds === undefined ? '-' : `${hundred(bounds.value)} [${hundred(bounds.lower)}, ${hundred(bounds.upper)}]`;
  const ours = (own: Row | undefined) => [percent(own?.stats.auroc), percent(own?.stats.auprc)];
  const expert = (kind: string | undefined) =>
    kind === undefined ? undefined : row(kind === config.expert.kind ? 'expert' : `expert_${kind}`);
  const policies = shown.filter(({ cell }) => [REFERENCE, 'stage1', 'decompose'].includes(cell));
  const table: Table = {
    head: ['Model', 'AUROC, published', 'AUPRC, published', 'AUROC, ours [95 %]', 'AUPRC, ours [95 %]'],
    body: [
      ...TJH_ANCHORS.map(([name, auroc, auprc, kind]) => [name, auroc.toFixed(1), auprc.toFixed(1), ...ours(expert(kind))]),
      ...policies.map((own) => [`this policy: ${own.label}`, '-', '-', ...ours(own)]),
    ],
  };
  return (
    `\n## Published figures on the same ${TJH_TEST_PATIENTS} test patients\n\nIn percent. Published: ehr-llm-benchmark; labs up to the day of death, as here. ` +
    `Our experts are ensembles of ${config.expert.ensemble}.\n\n${markdown(table)}`
  );
}

const hundred = (x: number): string => (100 * x).toFixed(1);

/** reproduction.json: all that the tables, figures and verdicts are drawn from. */
export interface Reproduction {
  readonly cohort: {
    readonly name: string;
    readonly task: string;
    readonly synthetic: boolean;
    /** Samples per split: patients, or ICU stays. */
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

/** Where an interval lies. */
const PLACE: Readonly<Record<Decision, string>> = { confirmed: 'above', 'not confirmed': 'below', 'cannot be said': 'across' };

function evidenceLine({ name, value, lower, upper, threshold, decision }: Evidence): string {
  return `  - ${name}: ${three(value)} [${three(lower)}, ${three(upper)}], ${PLACE[decision]} ${threshold}\n`;
}

/** A claim's evidence in a few words: its only contrast, or how many of them say what. */
function summaryOf({ evidence, missing }: Verdict): string {
  const gaps = missing.length > 0 ? `; ${missing.length} cell${missing.length === 1 ? '' : 's'} not run` : '';
  if (evidence.length === 0) return `none${gaps}`;
  if (evidence.length === 1) {
    const [{ value, lower, upper, threshold, decision }] = evidence;
    return `${three(value)} [${three(lower)}, ${three(upper)}], ${PLACE[decision]} ${threshold}${gaps}`;
  }
  const count = (decision: Decision) => evidence.filter((e) => e.decision === decision).length;
  const said = (Object.keys(PLACE) as Decision[]).flatMap((d) => (count(d) > 0 ? [`${count(d)} ${PLACE[d]}`] : []));
  return `of ${evidence.length} intervals ${said.join(', ')} their thresholds${gaps}`;
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
  // The names that claims and --only use stand beside the labels.
  const named = rows.map((row) => ({ ...row, label: `${row.label} (\`${row.cell}\`)` }));
  const groups = GROUPS.filter((group: Group) => rows.some((row) => row.group === group));
  const { rl, mcts, sft } = config;
  const budget =
    `Budgets, equal for all: policy optimisation takes ${rl.max_steps} steps of ${rl.prompts_per_step} prompts x ${rl.num_generations} completions in every row that has it ` +
    '(DAPO samples again where rewards are equal; `tables/cost.md` has its tokens); ' +
    `the search of Stage 1 has ${mcts.num_cases ?? 'all'} train patients, ${mcts.num_simulations} simulations each; ` +
    `fine-tuning takes ${sft.num_train_epochs} epochs at one rate, on trajectories and on bare answers. ` +
    'Within the run nothing is chosen by the test patients: the validation split stops the expert, and no other choice is made. How the values of a preset came about is in LOG.md.';
  const transfer =
    other === undefined
      ? ''
      : `\nGeneralisation: the other cohort is ${other.name}. The policy reads words and was asked as it is; the experts of those rows read the ` +
        `${other.shared_features.length} features that both cohorts have: ${other.shared_features.join(', ')}.\n`;
  const figures = Object.entries(FIGURES).filter(([, own]) => own.some((group) => groups.includes(group)));
  return `# EAG-RL (arXiv 2508.13579) at our scale: ${cohort.name}, ${cohort.task}

Written by \`eagrl reproduce\`; every number is from \`reproduction.json\`. Research software, not for clinical use.

${testedOn(first)}${cohort.synthetic ? ', generated' : ''}, ${(100 * first.prevalence).toFixed(1)} % positive; ${cohort.patients.train} train, ${cohort.patients.val} validation.
Seed${seeds.length > 1 ? 's' : ''} ${seeds.join(', ')}; intervals are 2.5 and 97.5 percentiles of ${reproduction.num_bootstrap} resamples of the test patients${
    seeds.length > 1 ? ' and of the seeds' : ''
  }; differences are paired. ${reproduction.devices.join('; ')}.

${budget}

## Claims

| claim | verdict | evidence |
|---|---|---|
${verdicts.map((v) => `| ${v.claim} | ${v.decision} | ${summaryOf(v)} |\n`).join('')}
Each contrast is a difference on the same patients with its interval. A claim is confirmed when all intervals of its contrasts lie above their
thresholds, not confirmed when one lies wholly below, and otherwise cannot be said. The intervals are not widened for the number of contrasts:
of many, one may lie below by chance. ${
    seeds.length < 3
      ? `With ${seeds.length === 1 ? 'one seed' : 'two seeds'} the intervals say little of what another seed would give. `
      : ''
  }Every verdict, negative or positive, is one on this
cohort and this policy (PAPER.md, "What differs from the paper"), not on the paper's.${
    cohort.synthetic ? '\nThe patients are generated: nothing here is said of a hospital.' : ''
  }

${verdicts.map(verdictSection).join('\n')}
## Tables

${groups.map((group) => markdown(groupTable(named, group))).join('\n')}
Jaccard: named features against the expert's top K${cohort.synthetic ? '; "truth": against the features that drive the outcome of each generated patient' : ''}. Unread: answers without a readable probability, scored 0.5.
${transfer}${
  experts.length === 0
    ? ''
    : `\nThe expert and others in its place, each an ensemble; \`expert.kind\` lets another one guide.\n\n${markdown(expertTable(experts))}`
}${figures.map(([name, own]) => `\n![${GROUP_TITLES[own[0]]}](figures/${name}.svg)\n`).join('')}${anchorSection(reproduction, config)}
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
