/** One mark per predictor, the same in the table, the curves and their legend. */
import { escapeHtml } from './html.ts';
import { EVAL_LABELS, type EvalName } from './summary.ts';
import { SERIES } from './theme.ts';

/** SVG of the mark centred on (x, y), about 10 px wide. */
export function marker(name: EvalName, x: number, y: number): string {
  const { color, symbol } = SERIES[name];
  switch (symbol) {
    case 'diamond':
      return `<path d="M${x - 6} ${y}L${x} ${y - 6}L${x + 6} ${y}L${x} ${y + 6}Z" fill="${color}"/>`;
    case 'rect':
      return `<rect x="${x - 4.5}" y="${y - 4.5}" width="9" height="9" fill="${color}"/>`;
    case 'triangle':
      return `<path d="M${x - 5.5} ${y + 4.5}L${x} ${y - 5.5}L${x + 5.5} ${y + 4.5}Z" fill="${color}"/>`;
    case 'emptyCircle':
      return `<circle cx="${x}" cy="${y}" r="4.5" fill="var(--paper)" stroke="${color}" stroke-width="2"/>`;
    case 'circle':
      return `<circle cx="${x}" cy="${y}" r="5.5" fill="${color}"/>`;
    case 'none':
      return `<path d="M${x} ${y - 8}V${y + 8}" stroke="${color}" stroke-width="3"/>`;
  }
}

/** One legend for all curves of the page. */
export function legend(names: readonly EvalName[]): string {
  const items = names.map((name) => {
    const { color, width, dash } = SERIES[name];
    const dashes = dash === 'solid' ? '' : ` stroke-dasharray="${dash.join(' ')}"`;
    return (
      `<li><svg width="46" height="18" viewBox="0 0 46 18" aria-hidden="true"><path d="M0 9H46" stroke="${color}" stroke-width="${width}"${dashes}/>` +
      `${marker(name, 23, 9)}</svg>${escapeHtml(EVAL_LABELS[name])}</li>`
    );
  });
  return `<ul class="legend">${items.join('')}</ul>`;
}
