/**
 * Colours as CSS variables, so one SVG serves light, dark and paper. Each predictor also has its own dash and marker: the figures
 * must be readable without colour.
 */
import type { EvalName } from './summary.ts';

export interface SeriesStyle {
  /** CSS colour. */
  readonly color: string;
  readonly width: number;
  /** ECharts line type: solid, or dash lengths in px. */
  readonly dash: 'solid' | number[];
  readonly symbol: 'circle' | 'rect' | 'triangle' | 'diamond' | 'emptyCircle' | 'none';
}

export const SERIES: Readonly<Record<EvalName, SeriesStyle>> = {
  zero_shot: { color: 'var(--zero)', width: 1.75, dash: [2, 3], symbol: 'emptyCircle' },
  sft_answer: { color: 'var(--sft)', width: 1.75, dash: [8, 3, 2, 3], symbol: 'triangle' },
  stage1: { color: 'var(--one)', width: 2, dash: [7, 4], symbol: 'rect' },
  stage2: { color: 'var(--two)', width: 2.75, dash: 'solid', symbol: 'circle' },
  expert: { color: 'var(--expert)', width: 1.75, dash: [12, 4], symbol: 'diamond' },
  bayes: { color: 'var(--bayes)', width: 1.75, dash: [1, 2], symbol: 'none' },
};

const light = `--paper:#fff;--ink:#1a1d21;--soft:#5b626c;--line:#d9dde3;--panel:#f5f6f8;--good:#1c6b4a;
--zero:#8a929e;--sft:#b8860b;--one:#2f7dbd;--two:#ad1f3d;--expert:#2b3038;--bayes:#5c7f6b;--band:#ad1f3d22`;
const dark = `--paper:#14171b;--ink:#e8eaed;--soft:#9aa2ad;--line:#333941;--panel:#1d2127;--good:#6cc79c;
--zero:#9aa3b0;--sft:#d9a93a;--one:#6db3ec;--two:#ff7289;--expert:#dfe3e8;--bayes:#86b59a;--band:#ff728930`;

export const CSS = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
@media print{:root{${light}}body{font-size:10pt}section{break-inside:avoid-page}}
*{box-sizing:border-box}
body{margin:0 auto;padding:32px 24px 48px;max-width:1100px;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}
h2{font-size:18px;margin:40px 0 4px}
h3{font-size:14px;margin:0 0 2px}
p{margin:4px 0 10px;max-width:78ch}
.soft,figcaption,th{color:var(--soft)}
.notice{display:inline-block;border:1px solid var(--ink);border-radius:4px;padding:1px 8px;font-size:13px;font-weight:600}
svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{font-weight:500;font-size:13px;text-align:right;padding:4px 8px;vertical-align:bottom}
td{text-align:right;padding:3px 8px;border-top:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}
td small{color:var(--soft);font-size:12px;display:block;line-height:1.1}
tr.lead td{font-weight:650}tr.lead small{font-weight:400}
tr.axis td{padding-top:0;border-top:1px solid var(--line)}
td.plot{padding:0 4px}td.plot svg{display:inline-block;vertical-align:top}
.legend{display:flex;flex-wrap:wrap;gap:2px 22px;margin:8px 0 0;padding:0;list-style:none;font-size:13px}
.legend li{display:flex;align-items:center;gap:7px}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:20px 24px;margin-top:12px}
figure{margin:0;min-width:0;break-inside:avoid}
figcaption{font-size:13px;line-height:1.4}
pre{font:12px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--panel);border-radius:6px;padding:10px 12px;
white-space:pre-wrap;overflow-wrap:anywhere;margin:6px 0}
.config{columns:3;column-gap:20px}
.side{border-left:3px solid var(--line);padding-left:14px;min-width:0}
.side.after{border-color:var(--two)}
dl{margin:8px 0}dt{font-weight:600;margin-top:8px}dd{margin:0}
.chips{display:flex;flex-wrap:wrap;gap:5px;margin:4px 0 12px;padding:0;list-style:none}
.chips li{border:1px solid var(--soft);border-radius:4px;padding:0 7px;font-size:13px}
.chips li.hit{background:var(--ink);color:var(--paper);border-color:var(--ink)}
.facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;font-size:14px;margin:8px 0}
.facts dt{font-weight:400;color:var(--soft);margin:0}.facts dd{overflow-wrap:anywhere}
footer{margin-top:40px;border-top:1px solid var(--line);padding-top:8px;font-size:13px;color:var(--soft)}
@media (max-width:760px){.grid{grid-template-columns:1fr}.config{columns:1}td.plot,th.plot{display:none}}
`;
