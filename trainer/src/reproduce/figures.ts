/**
 * Figures as SVG of their own, in black, white and grey, so that print and colour-blindness cost nothing: what a mark is, its shape and
 * fill say. Drawn from rows alone. Sizes in CSS pixels.
 */
import { type Group, NOISE, OTHER_REFERENCE, REFERENCE, REMOVED, SHUFFLED } from './matrix.ts';
import type { Bounds, Row, Stat } from './rows.ts';
import { groupRows, headRows } from './tables.ts';

const FONT = 'font-family="system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif"';
const INK = '#111';
const SOFT = '#666';
const FAINT = '#ddd';

const escapeXml = (text: string): string => text.replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]!);
const at = (x: number): string => x.toFixed(1);

function text(x: number, y: number, content: string, more = ''): string {
  return `<text x="${at(x)}" y="${at(y)}" ${more.includes('fill=') ? '' : `fill="${INK}" `}${more}>${escapeXml(content)}</text>`;
}
function line(x1: number, y1: number, x2: number, y2: number, stroke: string, more = ''): string {
  return `<line x1="${at(x1)}" y1="${at(y1)}" x2="${at(x2)}" y2="${at(y2)}" stroke="${stroke}" ${more}/>`;
}
function page(width: number, height: number, label: string, body: string): string {
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="${escapeXml(label)}" width="${width}" height="${height}" ` +
    `viewBox="0 0 ${width} ${height}" ${FONT} font-size="13"><rect width="${width}" height="${height}" fill="#fff"/>${body}</svg>\n`
  );
}

/** Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them, covering low..high. */
export function ticks(low: number, high: number, wanted = 5): number[] {
  const raw = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const first = Math.floor(low / step + 1e-9);
  const last = Math.ceil(high / step - 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

interface Scale {
  readonly ticks: readonly number[];
  readonly decimals: number;
  readonly to: (value: number) => number;
}

function scaleOf(low: number, high: number, from: number, to: number): Scale {
  const marks = high > low ? ticks(low, high) : [low - 0.5, low, low + 0.5];
  const [first, last] = [marks[0], marks[marks.length - 1]];
  const decimals = Math.max(0, ...marks.map((t) => (String(t).split('.')[1] ?? '').length));
  return { ticks: marks, decimals, to: (value) => from + ((value - first) / (last - first)) * (to - from) };
}

/** A value with its interval: a line with a mark, filled black for EAG-RL, white for the given predictors, grey for others. */
function mark(x: number, y: number, style: 'reference' | 'given' | 'other'): string {
  const fill = { reference: INK, given: '#fff', other: '#999' }[style];
  return style === 'given'
    ? `<rect x="${at(x - 5)}" y="${at(y - 5)}" width="10" height="10" transform="rotate(45 ${at(x)} ${at(y)})" fill="${fill}" stroke="${INK}" stroke-width="1.5"/>`
    : `<circle cx="${at(x)}" cy="${at(y)}" r="5.5" fill="${fill}" stroke="${INK}" stroke-width="1.5"/>`;
}

const styleOf = (row: Row): 'reference' | 'given' | 'other' =>
  [REFERENCE, OTHER_REFERENCE].includes(row.cell) ? 'reference' : /expert|bayes/.test(row.cell) ? 'given' : 'other';

interface Panel {
  readonly title: string;
  readonly of: (row: Row) => Bounds | null;
  /** A dotted line here, e.g. at no difference. */
  readonly guide: number | null;
}

/** Rows as lines, panels side by side on one list of labels. */
function forest(label: string, rows: readonly Row[], panels: readonly Panel[]): string {
  const [left, panelWidth, gap, top, height] = [290, 300, 52, 40, 26];
  const width = left + panels.length * panelWidth + (panels.length - 1) * gap + 24;
  const bottom = top + rows.length * height;
  const yOf = (i: number): number => top + (i + 0.5) * height;
  const names = rows.map((row, i) =>
    text(left - 14, yOf(i) + 4.5, row.label, `text-anchor="end"${row.cell === REFERENCE ? ' font-weight="700"' : ''}`),
  );
  const drawn = panels.map(({ title, of, guide }, p) => {
    const x0 = left + p * (panelWidth + gap);
    const shown = rows.flatMap((row, i) => {
      const bounds = of(row);
      return bounds === null ? [] : [{ row, i, bounds }];
    });
    const ends = [...shown.flatMap(({ bounds }) => [bounds.lower, bounds.upper, bounds.value]), ...(guide === null ? [] : [guide])];
    const scale = scaleOf(Math.min(...ends), Math.max(...ends), x0, x0 + panelWidth);
    const axis = scale.ticks
      .map(
        (t) =>
          line(scale.to(t), top - 4, scale.to(t), bottom, FAINT) +
          text(scale.to(t), bottom + 18, t.toFixed(scale.decimals), `text-anchor="middle" font-size="12" fill="${SOFT}"`),
      )
      .join('');
    const zero = guide === null ? '' : line(scale.to(guide), top - 4, scale.to(guide), bottom, INK, 'stroke-dasharray="2 3"');
    const marks = shown.map(
      ({ row, i, bounds }) =>
        line(scale.to(bounds.lower), yOf(i), scale.to(bounds.upper), yOf(i), INK, 'stroke-width="1.5"') +
        mark(scale.to(bounds.value), yOf(i), styleOf(row)),
    );
    return text(x0 + panelWidth / 2, top - 16, title, 'text-anchor="middle" font-weight="600"') + axis + zero + marks.join('');
  });
  return page(width, bottom + 34, label, names.join('') + drawn.join(''));
}

const stat =
  (name: Stat) =>
  (row: Row): Bounds | null =>
    row.stats[name] ?? null;

/** AUROC and AUPRC of every method with their intervals. */
export function methodsFigure(rows: readonly Row[]): string {
  return forest('AUROC and AUPRC of each method', groupRows(rows, 'method'), [
    { title: 'AUROC, 95 % interval', of: stat('auroc'), guide: null },
    { title: 'AUPRC, 95 % interval', of: stat('auprc'), guide: null },
  ]);
}

/** Each ablation's paired difference to EAG-RL, beside the agreement with the expert. */
export function ablationsFigure(rows: readonly Row[]): string {
  // Stage 1 alone is also the ablation without Stage 2.
  const own = groupRows(rows, 'ablation');
  const shown = own.length === 0 ? [] : [...own.slice(0, 1), ...headRows(rows).filter((row) => row.cell === 'stage1'), ...own.slice(1)];
  return forest('Ablations: difference in AUROC, agreement with the expert', shown, [
    {
      title: 'AUROC - EAG-RL, 95 % interval',
      of: (row) => row.difference?.auroc ?? (row.cell === REFERENCE ? { value: 0, lower: 0, upper: 0 } : null),
      guide: 0,
    },
    { title: 'Jaccard with the expert', of: stat('jaccard'), guide: null },
  ]);
}

/** AUROC of policies and experts trained on one cohort and tested on the other, both ways. */
export function transferFigure(rows: readonly Row[]): string {
  const panel = (group: Group, title: string): Panel => {
    const own = new Set(groupRows(rows, group));
    return { title, of: (row) => (own.has(row) ? (row.stats.auroc ?? null) : null), guide: null };
  };
  const shown = [...new Set([...groupRows(rows, 'transfer'), ...groupRows(rows, 'transfer_other')])];
  return forest('Generalisation: AUROC on either cohort', shown, [
    panel('transfer', 'AUROC, this cohort'),
    panel('transfer_other', 'AUROC, the other cohort'),
  ]);
}

/** AUROC over the share of shuffled lines and of removed values, and over the size of noise. */
export function robustnessFigure(rows: readonly Row[]): string {
  const shown = headRows(rows);
  const find = (cell: string): Bounds | null => shown.find((row) => row.cell === cell)?.stats.auroc ?? null;
  const series = [
    { name: 'feature lines shuffled', dash: '', fill: INK, prefix: 'shuffled', fractions: SHUFFLED as readonly number[], shift: -3 },
    { name: 'values removed', dash: '6 4', fill: '#fff', prefix: 'removed', fractions: REMOVED as readonly number[], shift: 3 },
    { name: 'noise on the values', dash: '2 3', fill: '#999', prefix: 'noise', fractions: NOISE as readonly number[], shift: 0 },
  ].map((s) => ({
    ...s,
    points: [0, ...s.fractions].flatMap((fraction) => {
      const bounds = find(fraction === 0 ? REFERENCE : `${s.prefix}_${Math.round(100 * fraction)}`);
      return bounds === null ? [] : [{ fraction, ...bounds }];
    }),
  }));
  const [width, height, left, right, top, bottom] = [720, 380, 64, 696, 66, 324];
  const ends = series.flatMap((s) => s.points.flatMap((p) => [p.lower, p.upper]));
  const y = scaleOf(Math.min(...ends), Math.max(...ends), bottom, top);
  const x = (fraction: number): number => left + 16 + fraction * (right - left - 32);
  const axes =
    y.ticks
      .map(
        (t) =>
          line(left, y.to(t), right, y.to(t), FAINT) +
          text(left - 10, y.to(t) + 4.5, t.toFixed(y.decimals), `text-anchor="end" font-size="12" fill="${SOFT}"`),
      )
      .join('') +
    [0, 0.2, 0.4, 0.6, 0.8, 1]
      .map((f) => text(x(f), bottom + 20, `${Math.round(100 * f)} %`, `text-anchor="middle" font-size="12" fill="${SOFT}"`))
      .join('') +
    text(
      (left + right) / 2,
      bottom + 42,
      'share shuffled or removed; standard deviation of the noise, of the value',
      `text-anchor="middle" fill="${SOFT}"`,
    ) +
    text(left, 20, 'AUROC of the EAG-RL policy, 95 % interval', 'font-weight="600"');
  const drawn = series.map(({ points, dash, fill, shift }) => {
    const path = points.map((p, i) => `${i === 0 ? 'M' : 'L'}${at(x(p.fraction) + shift)} ${at(y.to(p.value))}`).join('');
    return (
      `<path d="${path}" fill="none" stroke="${INK}" stroke-width="1.75"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}/>` +
      points
        .map(
          (p) =>
            line(x(p.fraction) + shift, y.to(p.lower), x(p.fraction) + shift, y.to(p.upper), INK) +
            `<circle cx="${at(x(p.fraction) + shift)}" cy="${at(y.to(p.value))}" r="4.5" fill="${fill}" stroke="${INK}" stroke-width="1.5"/>`,
        )
        .join('')
    );
  });
  const legend = series
    .map(({ name, dash, fill }, i) => {
      const lx = left + 230 * i;
      const ly = 42;
      return (
        line(lx, ly, lx + 34, ly, INK, `stroke-width="1.75"${dash === '' ? '' : ` stroke-dasharray="${dash}"`}`) +
        `<circle cx="${at(lx + 17)}" cy="${at(ly)}" r="4.5" fill="${fill}" stroke="${INK}" stroke-width="1.5"/>` +
        text(lx + 44, ly + 4.5, name)
      );
    })
    .join('');
  return page(width, height, 'AUROC under shuffled feature lines, removed values and noise', axes + drawn.join('') + legend);
}

/** Each figure, and the groups whose rows it draws. */
export const FIGURES: Readonly<Record<string, readonly Group[]>> = {
  methods: ['method'],
  ablations: ['ablation'],
  robustness: ['robustness'],
  transfer: ['transfer', 'transfer_other'],
};
const DRAW: Readonly<Record<string, (rows: readonly Row[]) => string>> = {
  methods: methodsFigure,
  ablations: ablationsFigure,
  robustness: robustnessFigure,
  transfer: transferFigure,
};

/** File name to SVG; a figure whose cells were not run is left out. */
export function figuresOf(rows: readonly Row[]): Record<string, string> {
  const drawn = Object.entries(FIGURES).filter(([, groups]) => rows.some((row) => groups.includes(row.group)));
  return Object.fromEntries(drawn.map(([name]) => [`${name}.svg`, DRAW[name](rows)]));
}
