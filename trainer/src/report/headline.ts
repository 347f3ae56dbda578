/** The headline table with its intervals drawn in the rows, all on one axis per metric. */
import { escapeHtml, percent, three } from './html.ts';
import { marker } from './marker.ts';
import { EVAL_LABELS, EVAL_NAMES, type EvalName, type EvalRow, type Summary } from './summary.ts';
import { formatDifference } from './terminal_table.ts';
import { SERIES } from './theme.ts';

const WIDTH = 190;
/** As high as a row, so that the grid lines meet. */
const HEIGHT = 44;
const PAD = 8;

interface Axis {
  readonly low: number;
  readonly ticks: readonly number[];
  readonly x: (value: number) => number;
}

/** From just below the lowest bound to 1, ticks every 0.1 or 0.2. */
function axisOf(lowest: number): Axis {
  const low = Math.max(0, Math.floor(lowest * 10) / 10);
  const step = 1 - low > 0.6 ? 0.2 : 0.1;
  const ticks: number[] = [];
  for (let k = 0; 1 - k * step > low - 1e-9; k++) ticks.unshift(1 - k * step);
  return { low, ticks, x: (value) => PAD + ((value - low) / (1 - low)) * (WIDTH - 2 * PAD) };
}

function intervalPlot(name: EvalName, axis: Axis, value: number, lower: number, upper: number): string {
  const y = HEIGHT / 2;
  const [x0, x, x1] = [lower, value, upper].map((v) => Number(axis.x(v).toFixed(1)));
  const grid = axis.ticks.map((tick) => `<path d="M${axis.x(tick).toFixed(1)} 0V${HEIGHT}" stroke="var(--line)"/>`).join('');
  const line = `<path d="M${x0} ${y}H${x1}" stroke="${SERIES[name].color}" stroke-width="2.5"/>`;
  return `<svg width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${three(value)}, ${three(lower)} to ${three(upper)}">${grid}${line}${marker(name, x, y)}</svg>`;
}

function axisPlot(axis: Axis): string {
  const labels = axis.ticks
    .map(
      (tick) =>
        `<text x="${axis.x(tick).toFixed(1)}" y="13" text-anchor="middle" font-size="11" fill="var(--soft)">${tick.toFixed(1)}</text>`,
    )
    .join('');
  return `<svg width="${WIDTH}" height="18" viewBox="0 0 ${WIDTH} 18" aria-hidden="true">${labels}</svg>`;
}

/** Rows present in the summary, in order; the paired differences below. */
export function headlineTable(summary: Summary): string {
  const rows = EVAL_NAMES.flatMap((name): [EvalName, EvalRow][] => {
    const row = summary.eval[name];
    return row === undefined ? [] : [[name, row]];
  });
  const auroc = axisOf(Math.min(...rows.map(([, row]) => row.auroc_lower)));
  const auprc = axisOf(Math.min(...rows.map(([, row]) => row.auprc_lower)));
  const number = (value: number, lower: number, upper: number): string =>
    `${three(value)}<small>${three(lower)} to ${three(upper)}</small>`;
  const body = rows.map(([name, row]) =>
    [
      `<tr${name === 'stage2' ? ' class="lead"' : ''}><td>${escapeHtml(EVAL_LABELS[name])}</td>`,
      `<td>${number(row.auroc, row.auroc_lower, row.auroc_upper)}</td>`,
      `<td class="plot">${intervalPlot(name, auroc, row.auroc, row.auroc_lower, row.auroc_upper)}</td>`,
      `<td>${number(row.auprc, row.auprc_lower, row.auprc_upper)}</td>`,
      `<td class="plot">${intervalPlot(name, auprc, row.auprc, row.auprc_lower, row.auprc_upper)}</td>`,
      `<td>${three(row.brier)}</td>`,
      `<td>${row.jaccard === null ? '' : three(row.jaccard)}</td>`,
      `<td>${row.parse_failure_rate === null ? '' : percent(row.parse_failure_rate)}</td></tr>`,
    ].join(''),
  );
  const head = `<tr><th></th><th>AUROC</th><th class="plot"></th><th>AUPRC</th><th class="plot"></th><th>Brier</th><th>Jaccard</th><th>unread</th></tr>`;
  const axis = `<tr class="axis"><td></td><td></td><td class="plot">${axisPlot(auroc)}</td><td></td><td class="plot">${axisPlot(auprc)}</td><td></td><td></td><td></td></tr>`;
  const paired = (summary.paired ?? []).map((difference) => `<li>${escapeHtml(formatDifference(difference))}</li>`).join('');
  return (
    `<table><thead>${head}</thead><tbody>${body.join('')}${axis}</tbody></table>` +
    (paired === '' ? '' : `<h3 style="margin-top:14px">Differences on the same patients (paired bootstrap)</h3><ul>${paired}</ul>`)
  );
}
