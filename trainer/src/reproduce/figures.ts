/**
 * Figures as SVG of their own, in black, white and grey, so that print and colour-blindness cost nothing: what a mark is, its shape and
 * fill say. Drawn from rows alone. Sizes in CSS pixels.
 */
import { type Group, NOISE, OTHER_REFERENCE, REFERENCE, REMOVED, referenceOf, SHUFFLED } from './matrix.ts';
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
  /** A dotted line here, e.g. at no difference; a row's own value for `reference`. */
  readonly guide: number | 'reference' | null;
}

/** Rows under a heading of their own; without one where a figure has one block. */
interface Block {
  readonly heading: string | null;
  readonly rows: readonly Row[];
}

/** What lines and marks are, for the line below a figure. */
function caption(rows: readonly Row[]): string {
  const resampled = rows.some((row) => row.seed === null) ? 'the test patients and the seeds' : 'the test patients';
  const given = rows.some((row) => styleOf(row) === 'given') ? '; diamonds: experts and ceiling' : '';
  return `Lines: 95 % intervals, bootstrap over ${resampled}. Black: EAG-RL; grey: other policies${given}.`;
}

/** Width of a text at 13 px, from above. */
const widthOf = (label: string): number => 7.2 * label.length;
const ROW_HEIGHT = 26;

/** Rows as lines, panels side by side on one list of labels. */
function forest(label: string, blocks: readonly Block[], panels: readonly Panel[]): string {
  const rows = blocks.flatMap((block) => block.rows);
  const headings = blocks.map(({ heading }) => heading ?? '');
  const left = Math.max(150, ...[...rows.map((row) => row.label), ...headings].map(widthOf)) + 30;
  const [panelWidth, gap, top] = [300, 52, 40];
  const width = Math.max(left + panels.length * panelWidth + (panels.length - 1) * gap + 24, widthOf(caption(rows)) + 30);
  const yOf = new Map<Row, number>();
  let names = '';
  let y = top;
  for (const { heading, rows: own } of blocks) {
    if (heading !== null) {
      names += text(left - 14, y + 17.5, heading, `text-anchor="end" font-style="italic" fill="${SOFT}"`);
      y += ROW_HEIGHT;
    }
    for (const row of own) {
      yOf.set(row, y + ROW_HEIGHT / 2);
      names += text(left - 14, y + 17.5, row.label, `text-anchor="end"${styleOf(row) === 'reference' ? ' font-weight="700"' : ''}`);
      y += ROW_HEIGHT;
    }
  }
  const bottom = y;
  const drawn = panels.map(({ title, of, guide }, p) => {
    const x0 = left + p * (panelWidth + gap);
    const shown = rows.flatMap((row) => {
      const bounds = of(row);
      return bounds === null ? [] : [{ row, y: yOf.get(row) as number, bounds }];
    });
    const ends = [
      ...shown.flatMap(({ bounds }) => [bounds.lower, bounds.upper, bounds.value]),
      ...(typeof guide === 'number' ? [guide] : []),
    ];
    const scale = scaleOf(Math.min(...ends), Math.max(...ends), x0, x0 + panelWidth);
    const axis = scale.ticks
      .map(
        (t) =>
          line(scale.to(t), top - 4, scale.to(t), bottom, FAINT) +
          text(scale.to(t), bottom + 18, t.toFixed(scale.decimals), `text-anchor="middle" font-size="12" fill="${SOFT}"`),
      )
      .join('');
    const guides = guide === 'reference' ? referenceGuides(blocks, of, yOf, scale) : '';
    const zero = typeof guide === 'number' ? line(scale.to(guide), top - 4, scale.to(guide), bottom, INK, DOTTED) : '';
    const marks = shown.map(
      (m) =>
        line(scale.to(m.bounds.lower), m.y, scale.to(m.bounds.upper), m.y, INK, 'stroke-width="1.5"') +
        mark(scale.to(m.bounds.value), m.y, styleOf(m.row)),
    );
    return text(x0 + panelWidth / 2, top - 16, title, 'text-anchor="middle" font-weight="600"') + axis + guides + zero + marks.join('');
  });
  const below = text(width - 24, bottom + 44, caption(rows), `text-anchor="end" font-size="12" fill="${SOFT}"`);
  return page(width, bottom + 58, label, names + drawn.join('') + below);
}

const DOTTED = 'stroke-dasharray="2 3"';

/** A dotted line through each block at the value of its EAG-RL. */
function referenceGuides(blocks: readonly Block[], of: Panel['of'], yOf: ReadonlyMap<Row, number>, scale: Scale): string {
  return blocks
    .flatMap(({ rows }) => {
      const bounds = rows.filter((row) => row.cell === referenceOf(row)).map(of)[0] ?? null;
      const ys = rows.map((row) => yOf.get(row) as number);
      if (bounds === null) return [];
      const x = scale.to(bounds.value);
      return [line(x, Math.min(...ys) - ROW_HEIGHT / 2, x, Math.max(...ys) + ROW_HEIGHT / 2, SOFT, DOTTED)];
    })
    .join('');
}

const stat =
  (name: Stat) =>
  (row: Row): Bounds | null =>
    row.stats[name] ?? null;

const CURVES: readonly Panel[] = [
  { title: 'AUROC', of: stat('auroc'), guide: 'reference' },
  { title: 'AUPRC', of: stat('auprc'), guide: 'reference' },
];

/** AUROC and AUPRC of every method with their intervals. */
export function methodsFigure(rows: readonly Row[]): string {
  return forest('AUROC and AUPRC of each method', [{ heading: null, rows: groupRows(rows, 'method') }], CURVES);
}

/** Each ablation's paired difference to EAG-RL, beside the agreement with the expert. */
export function ablationsFigure(rows: readonly Row[]): string {
  // Stage 1 alone is also the ablation without Stage 2.
  const own = groupRows(rows, 'ablation');
  const shown = own.length === 0 ? [] : [...own.slice(0, 1), ...headRows(rows).filter((row) => row.cell === 'stage1'), ...own.slice(1)];
  return forest(
    'Ablations: difference in AUROC, agreement with the expert',
    [{ heading: null, rows: shown }],
    [
      {
        title: 'AUROC minus that of EAG-RL, paired',
        of: (row) => row.difference?.auroc ?? (row.cell === REFERENCE ? { value: 0, lower: 0, upper: 0 } : null),
        guide: 0,
      },
      { title: 'Jaccard with the expert’s top K', of: stat('jaccard'), guide: 'reference' },
    ],
  );
}

/** AUROC and AUPRC of policies and experts trained on one cohort and tested on the other, both ways. */
export function transferFigure(rows: readonly Row[]): string {
  const blocks = [
    { heading: 'tested on this cohort', rows: groupRows(rows, 'transfer') },
    { heading: 'tested on the other cohort', rows: groupRows(rows, 'transfer_other') },
  ];
  return forest(
    'Generalisation: AUROC and AUPRC on either cohort',
    blocks.filter((block) => block.rows.length > 0),
    CURVES,
  );
}

/** AUROC over the share of shuffled lines, over that of removed values, and over the size of noise, side by side. */
export function robustnessFigure(rows: readonly Row[]): string {
  const shown = headRows(rows);
  const find = (cell: string): Bounds | null => shown.find((row) => row.cell === cell)?.stats.auroc ?? null;
  const panels = [
    { axis: 'share of the feature lines shuffled', prefix: 'shuffled', fractions: SHUFFLED as readonly number[] },
    { axis: 'share of the values removed', prefix: 'removed', fractions: REMOVED as readonly number[] },
    { axis: 'noise, SD as a share of the value', prefix: 'noise', fractions: NOISE as readonly number[] },
  ]
    .map(({ fractions, prefix, axis }) => ({
      axis,
      points: [0, ...fractions].flatMap((fraction) => {
        const bounds = find(fraction === 0 ? REFERENCE : `${prefix}_${Math.round(100 * fraction)}`);
        return bounds === null ? [] : [{ fraction, ...bounds }];
      }),
    }))
    .filter(({ points }) => points.some(({ fraction }) => fraction > 0));
  const [left, panelWidth, gap, top, bottom] = [58, 250, 30, 44, 290];
  const ends = panels.flatMap((panel) => panel.points.flatMap((p) => [p.lower, p.upper]));
  const y = scaleOf(Math.min(...ends), Math.max(...ends), bottom, top);
  const inOrder = find(REFERENCE);
  const drawn = panels.map(({ axis, points }, p) => {
    const x0 = left + p * (panelWidth + gap);
    const most = Math.max(...points.map(({ fraction }) => fraction));
    const x = (fraction: number): number => x0 + 20 + (fraction / most) * (panelWidth - 40);
    const grid = y.ticks
      .map(
        (t) =>
          line(x0, y.to(t), x0 + panelWidth, y.to(t), FAINT) +
          (p > 0 ? '' : text(x0 - 10, y.to(t) + 4.5, t.toFixed(y.decimals), `text-anchor="end" font-size="12" fill="${SOFT}"`)),
      )
      .join('');
    const labels = points
      .map(({ fraction }) =>
        text(x(fraction), bottom + 20, `${Math.round(100 * fraction)} %`, `text-anchor="middle" font-size="12" fill="${SOFT}"`),
      )
      .join('');
    const guide = inOrder === null ? '' : line(x0, y.to(inOrder.value), x0 + panelWidth, y.to(inOrder.value), SOFT, DOTTED);
    const path = points.map((q, i) => `${i === 0 ? 'M' : 'L'}${at(x(q.fraction))} ${at(y.to(q.value))}`).join('');
    const marks = points.map(
      (q) =>
        line(x(q.fraction), y.to(q.lower), x(q.fraction), y.to(q.upper), INK, 'stroke-width="1.5"') +
        mark(x(q.fraction), y.to(q.value), q.fraction === 0 ? 'reference' : 'other'),
    );
    const name = text(x0 + panelWidth / 2, bottom + 42, axis, 'text-anchor="middle"');
    return `${grid}${labels}${name}${guide}<path d="${path}" fill="none" stroke="${INK}" stroke-width="1.5"/>${marks.join('')}`;
  });
  const width = Math.max(720, left + panels.length * (panelWidth + gap));
  const about = 'Lines: 95 % intervals. Black: unperturbed; dotted: its AUROC.';
  return page(
    width,
    bottom + 82,
    'AUROC under shuffled feature lines, removed values and noise',
    text(left, 20, 'AUROC of the EAG-RL policy', 'font-weight="600"') +
      drawn.join('') +
      text(width - gap, bottom + 68, about, `text-anchor="end" font-size="12" fill="${SOFT}"`),
  );
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
