/** The table every run ends with. */
import { formatSeconds } from '../util/seconds.ts';
import { EVAL_LABELS, EVAL_NAMES, type EvalRow, type PairedDifference, type Summary, testedOn } from './summary.ts';

const three = (x: number): string => x.toFixed(3);
const interval = (value: number, lower: number, upper: number): string => `${three(value)} [${three(lower)}, ${three(upper)}]`;

function cells(label: string, row: EvalRow): string[] {
  return [
    label,
    interval(row.auroc, row.auroc_lower, row.auroc_upper),
    interval(row.auprc, row.auprc_lower, row.auprc_upper),
    three(row.brier),
    row.jaccard === null ? '-' : three(row.jaccard),
    row.parse_failure_rate === null ? '-' : `${(100 * row.parse_failure_rate).toFixed(1)} %`,
  ];
}

/** `Policy after Stage 2 - Policy after Stage 1: AUROC +0.041 [0.012, 0.070]`. */
export function formatDifference({ better, than, metric, difference, lower, upper }: PairedDifference): string {
  const signed = (x: number): string => `${x < 0 ? '-' : '+'}${three(Math.abs(x))}`;
  return `${EVAL_LABELS[better]} - ${EVAL_LABELS[than]}: ${metric.toUpperCase()} ${signed(difference)} [${signed(lower)}, ${signed(upper)}]`;
}

/** Plain text, at most 120 columns, no final newline. First column left, the others right. */
export function renderRows({ eval: found, paired = [] }: Pick<Summary, 'eval' | 'paired'>, title: string): string {
  const rows = EVAL_NAMES.flatMap((name) => {
    const row = found[name];
    return row === undefined ? [] : [{ row, cells: cells(EVAL_LABELS[name], row) }];
  });
  const head = ['', 'AUROC [95 %]', 'AUPRC [95 %]', 'Brier', 'Jaccard', 'unread'];
  const widths = head.map((text, column) => Math.max(text.length, ...rows.map((row) => row.cells[column].length)));
  const line = (texts: readonly string[]): string =>
    texts.map((text, column) => (column === 0 ? text.padEnd(widths[0]) : text.padStart(widths[column]))).join('  ');
  const rule = '-'.repeat(widths.reduce((sum, width) => sum + width + 2, -2));
  const first = rows[0]?.row;
  const of = first === undefined ? '' : `: ${testedOn(first)}, ${(100 * first.prevalence).toFixed(1)} % positive`;
  const lines = [`${title}${of}`, rule, line(head), rule, ...rows.map((row) => line(row.cells)), rule, ...paired.map(formatDifference)];
  return lines.join('\n');
}

/** The rows, and what they took. */
export function renderTable(summary: Summary, title: string): string {
  const gigabytes = (summary.peak_rss_bytes / 1e9).toFixed(2);
  const { seconds, device, adapter } = summary;
  return `${renderRows(summary, title)}\n${formatSeconds(seconds.total)} on ${device} (${adapter}), ${gigabytes} GB at the most. Not for clinical use.`;
}
