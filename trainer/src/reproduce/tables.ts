/** The rows as tables: Markdown and LaTeX for people, CSV with every number for machines. Nothing is computed here. */
import type { Group } from './matrix.ts';
import { referenceOf } from './matrix.ts';
import { type Bounds, type Row, STATS, type Stat } from './rows.ts';

export interface Table {
  readonly head: readonly string[];
  /** First column left, the others right. */
  readonly body: readonly (readonly string[])[];
}

const STAT_LABELS: Readonly<Record<Stat, string>> = {
  auroc: 'AUROC',
  auprc: 'AUPRC',
  minpse: 'min(P, Se)',
  f1: 'F1',
  brier: 'Brier',
  ece: 'ECE',
  jaccard: 'Jaccard',
  truth_jaccard: 'Jaccard, truth',
  parse_failure_rate: 'unread',
  tokens: 'tokens',
};

export const GROUP_TITLES: Readonly<Record<Group, string>> = {
  method: 'Methods',
  ablation: 'Ablations of EAG-RL',
  robustness: 'Robustness of the EAG-RL policy',
  transfer: 'Generalisation, tested on this cohort',
  transfer_other: 'Generalisation, tested on the other cohort',
};

/** The rows that are shown: those over all seeds, or the only seed's. */
export function headRows(rows: readonly Row[]): Row[] {
  const pooled = rows.filter((row) => row.seed === null);
  return pooled.length > 0 ? pooled : [...rows];
}

/** Rows of a table: the group's own, below EAG-RL's for comparison. */
export function groupRows(rows: readonly Row[], group: Group): Row[] {
  const shown = headRows(rows);
  const own = shown.filter((row) => row.group === group);
  const reference = referenceOf({ group });
  if (own.length === 0 || own.some((row) => row.cell === reference)) return own;
  return [...shown.filter((row) => row.cell === reference), ...own];
}

const three = (x: number): string => x.toFixed(3);
const signed = (x: number): string => `${x < 0 ? '-' : '+'}${three(Math.abs(x))}`;
const within = ({ value, lower, upper }: Bounds, show: (x: number) => string): string => `${show(value)} [${show(lower)}, ${show(upper)}]`;

/** Value with interval for AUROC and AUPRC and for their paired differences to EAG-RL, the value alone for the others. */
export function groupTable(rows: readonly Row[], group: Group): Table {
  const shown = groupRows(rows, group);
  const plain: readonly Stat[] = (['minpse', 'f1', 'brier', 'ece', 'jaccard', 'truth_jaccard', 'parse_failure_rate'] as const).filter(
    (stat) => shown.some((row) => row.stats[stat] !== undefined),
  );
  const withSpread = shown.some((row) => row.seed_std !== null);
  return {
    head: [
      GROUP_TITLES[group],
      'AUROC [95 %]',
      ...(withSpread ? ['SD over seeds'] : []),
      'AUPRC [95 %]',
      ...plain.map((stat) => STAT_LABELS[stat]),
      'AUROC - EAG-RL [95 %]',
      'AUPRC - EAG-RL [95 %]',
    ],
    body: shown.map((row) => [
      row.label,
      within(row.stats.auroc!, three),
      ...(withSpread ? [row.seed_std?.auroc === undefined ? '-' : three(row.seed_std.auroc)] : []),
      within(row.stats.auprc!, three),
      ...plain.map((stat) => {
        const found = row.stats[stat];
        if (found === undefined) return '-';
        return stat === 'parse_failure_rate' ? `${(100 * found.value).toFixed(1)} %` : three(found.value);
      }),
      ...(['auroc', 'auprc'] as const).map((name) => (row.difference === null ? '-' : within(row.difference[name]!, signed))),
    ]),
  };
}

/** What a node of the plan cost. */
export interface Cost {
  readonly title: string;
  readonly kind: string;
  /** Wall time over all sittings. */
  readonly seconds: number;
  /** Trained on, searched or written; 0 for the expert, which reads numbers. */
  readonly tokens: number;
  /** Of all kernels, as their specs count; a multiply-add is two. */
  readonly flops: number;
  readonly device: string;
}

export function costTable(costs: readonly Cost[]): Table {
  return {
    head: ['Work', 'seconds', 'tokens', 'GFLOP', 'device'],
    body: costs.map((c) => [c.title, c.seconds.toFixed(1), String(c.tokens), giga(c.flops), c.device]),
  };
}

const giga = (flops: number): string => (flops < 1e9 ? (flops / 1e9).toPrecision(2) : (flops / 1e9).toFixed(1));

/** The same summed by phase, in the order of the first piece of each. */
export function phaseTable(costs: readonly Cost[]): Table {
  const kinds = [...new Set(costs.map((c) => c.kind))];
  const line = (name: string, own: readonly Cost[]): string[] => {
    const sum = (of: (c: Cost) => number) => own.reduce((total, c) => total + of(c), 0);
    const [seconds, tokens, flops] = [sum((c) => c.seconds), sum((c) => c.tokens), sum((c) => c.flops)];
    return [name, String(own.length), seconds.toFixed(1), String(tokens), giga(flops), (flops / 1e9 / seconds).toFixed(1)];
  };
  return {
    head: ['Phase', 'pieces', 'seconds', 'tokens', 'GFLOP', 'GFLOP/s'],
    body: [
      ...kinds.map((kind) =>
        line(
          kind,
          costs.filter((c) => c.kind === kind),
        ),
      ),
      line('all', costs),
    ],
  };
}

/** The columns of a table that do not depend on when it was made: all but seconds, and rates per second. */
export function timeless({ head, body }: Table): Table {
  const kept = head.flatMap((name, i) => (/^seconds$|\/s$/.test(name) ? [] : [i]));
  return { head: kept.map((i) => head[i]), body: body.map((row) => kept.map((i) => row[i])) };
}

export function markdown({ head, body }: Table): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((c) => c.replaceAll('|', '\\|')).join(' | ')} |\n`;
  return line(head) + line(head.map((_, i) => (i === 0 ? '---' : '---:'))) + body.map(line).join('');
}

const LATEX: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '&': '\\&',
  '%': '\\%',
  $: '\\$',
  '#': '\\#',
  _: '\\_',
  '{': '\\{',
  '}': '\\}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
};
const escapeLatex = (text: string): string => text.replace(/[\\&%$#_{}~^]/g, (c) => LATEX[c]);

/** A `tabular` with booktabs rules; minus signs are set as such. */
export function latex({ head, body }: Table): string {
  const number = (text: string): string => escapeLatex(text).replace(/(^|[[ ])-(?=\d)/g, '$1$-$');
  const line = (cells: readonly string[]): string => `${cells.map((c, i) => (i === 0 ? escapeLatex(c) : number(c))).join(' & ')} \\\\\n`;
  return `\\begin{tabular}{l${'r'.repeat(head.length - 1)}}\n\\toprule\n${line(head)}\\midrule\n${body.map(line).join('')}\\bottomrule\n\\end{tabular}\n`;
}

const quoted = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

export function csv({ head, body }: Table): string {
  return [head, ...body].map((cells) => `${cells.map(quoted).join(',')}\n`).join('');
}

/** Every number of every row, one statistic a line; JSON's shortest form of each, so nothing is rounded. */
export function longCsv(rows: readonly Row[]): string {
  const head = [
    'cell',
    'group',
    'seed',
    'n',
    'prevalence',
    'stat',
    'value',
    'lower',
    'upper',
    'seed_std',
    'difference',
    'difference_lower',
    'difference_upper',
  ];
  const cell = (x: number | null | undefined): string => (x === null || x === undefined ? '' : String(x));
  return csv({
    head,
    body: rows.flatMap((row) =>
      STATS.flatMap((stat) => {
        const own = row.stats[stat];
        if (own === undefined) return [];
        const d = row.difference?.[stat];
        return [
          [
            row.cell,
            row.group,
            row.seed === null ? 'all' : String(row.seed),
            cell(row.n),
            cell(row.prevalence),
            stat,
            ...[own.value, own.lower, own.upper, row.seed_std?.[stat], d?.value, d?.lower, d?.upper].map(cell),
          ],
        ];
      }),
    ),
  });
}
