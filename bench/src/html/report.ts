/** A receipt as one HTML file that needs nothing else: bars, rooflines, peers, scaling, every row. */
import type { Receipt } from '../lib/receipt.ts';
import { noiseNote, type Row } from '../lib/report.ts';
import { NOISY } from '../lib/time.ts';
import { peerBars, roofline, type Series, scaling } from './charts.ts';

const light =
  '--paper:#fff;--ink:#1a1d21;--soft:#5b626c;--line:#d9dde3;--good:#1c6b4a;--bad:#ad1f3d;--ours:#2f7dbd;--peer:#a9b1bc;--s1:#2f7dbd;--s2:#ad1f3d;--s3:#b8860b;--s4:#1c6b4a;--s5:#7a4fa3;--s6:#5b626c';
const dark =
  '--paper:#14171b;--ink:#e8eaed;--soft:#9aa2ad;--line:#333941;--good:#6cc79c;--bad:#ff7289;--ours:#6db3ec;--peer:#5d6672;--s1:#6db3ec;--s2:#ff7289;--s3:#d9a93a;--s4:#6cc79c;--s5:#b999e0;--s6:#9aa2ad';
const CSS = `
:root{color-scheme:light dark;${light}}
@media (prefers-color-scheme:dark){:root{${dark}}}
*{box-sizing:border-box}
body{margin:0 auto;padding:32px 24px 48px;max-width:1120px;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,Arial,sans-serif}
h1{font-size:26px;line-height:1.2;margin:0 0 4px}h2{font-size:18px;margin:40px 0 4px}h3{font-size:14px;margin:0}
p{margin:4px 0 10px;max-width:80ch}.soft,th{color:var(--soft)}
.notice{border:1px solid var(--bad);border-radius:4px;padding:2px 10px;display:inline-block}
.grid{display:grid;grid-template-columns:1fr 1fr;gap:24px;margin-top:12px}figure{margin:0;min-width:0}svg{display:block;max-width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:13px}
th{font-weight:500;text-align:right;padding:4px 8px;vertical-align:bottom}td{text-align:right;padding:2px 8px;border-top:1px solid var(--line);white-space:nowrap}
th:first-child,td:first-child{text-align:left;padding-left:0}td.wrong{text-align:left;color:var(--bad);white-space:normal}
.pass{color:var(--good)}.miss{color:var(--bad);font-weight:600}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 16px;margin:8px 0;font-size:14px}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
@media (max-width:760px){.grid{grid-template-columns:1fr}}`;

const html = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
const OURS = /^(wasm(-\d+)?|webgpu)$/;
const isOurs = (r: Row) => OURS.test(r.provider);
const caseOf = (r: Row) => `${r.kernel}/${r.pass}/${r.dtype}/${r.shape}`;
const figure = (title: string, plot: string) => (plot === '' ? '' : `<figure><h3>${html(title)}</h3>${plot}</figure>`);
const section = (title: string, text: string, body: string) =>
  body === '' ? '' : `<section><h2>${title}</h2><p class="soft">${text}</p>${body}</section>`;
const grid = (figures: readonly string[]) => (figures.join('') === '' ? '' : `<div class="grid">${figures.join('')}</div>`);

/** Cases that a peer was asked for too, one figure per case and backend: what shares a device shares a figure. */
function peers(rows: readonly Row[]): string {
  const groups = new Map<string, Row[]>();
  for (const r of rows) {
    const key = `${caseOf(r)}, ${r.backend === 'wasm' || r.backend === 'cpu' ? 'CPU' : 'WebGPU'}`;
    groups.set(key, [...(groups.get(key) ?? []), r]);
  }
  return grid(
    [...groups].filter(([, g]) => g.some(isOurs) && g.some((r) => !isOurs(r))).map(([title, g]) => figure(title, peerBars(g, isOurs))),
  );
}

/** Square products by provider over their size. */
function overSize(rows: readonly Row[]): Series[] {
  const square = rows.filter((r) => r.kernel === 'matmul' && r.pass === 'nn' && r.gflops !== null && /^(\d+)x\1x\1$/.test(r.shape));
  return [...new Set(square.map((r) => r.provider))]
    .map((name) => ({
      name,
      points: square
        .filter((r) => r.provider === name)
        .map((r) => [Number(r.shape.split('x')[0]), r.gflops ?? 0] as const)
        .sort(([a], [b]) => a - b),
    }))
    .filter((s) => s.points.length > 1);
}

/** Time on one thread over time on n, for the case of each kernel that takes longest on one thread. */
function overThreads(rows: readonly Row[]): Series[] {
  const own = rows.filter((r) => isOurs(r) && r.backend === 'wasm' && r.median_ms !== null);
  const most = Math.max(1, ...own.map((r) => r.threads));
  if (most === 1) return [];
  const wanted = ['matmul', 'attention', 'softmax', 'adamw', 'cross_entropy'];
  const series = wanted.flatMap((kernel): Series[] => {
    const single = own.filter((r) => r.kernel === kernel && r.threads === 1);
    if (single.length === 0) return [];
    const base = single.reduce((a, r) => ((r.median_ms ?? 0) > (a.median_ms ?? 0) ? r : a));
    const points = own
      .filter((r) => caseOf(r) === caseOf(base))
      .map((r) => [r.threads, (base.median_ms ?? 0) / (r.median_ms ?? 1)] as const)
      .sort(([a], [b]) => a - b);
    return points.length > 1 ? [{ name: `${kernel} ${base.pass} ${base.shape}`, points }] : [];
  });
  return series.length === 0
    ? []
    : [...series, { name: 'as many times as threads', points: [1, most].map((n) => [n, n] as const), ideal: true }];
}

const cell = (x: number | null, digits = 3) => (x === null ? '' : String(Number(x.toPrecision(digits))));
const percent = (x: number | null) => (x === null ? '' : `${(100 * x).toFixed(0)} %`);

function rowLine(r: Row): string {
  const name = `<td>${html(`${caseOf(r)}/${r.provider}`)}</td>`;
  if (r.median_ms === null) return `<tr>${name}<td class="wrong" colspan="7">wrong, not timed: ${html(r.wrong ?? '')}</td></tr>`;
  const noisy = (r.spread ?? 0) > NOISY ? ' class="miss"' : '';
  return `<tr>${name}<td>${cell(r.median_ms)}</td><td${noisy}>${percent(r.spread)}</td><td>${cell(r.device_ms)}</td><td>${cell(r.gflops)}</td><td>${cell(r.gbps)}</td><td>${percent(r.floor_share)}</td><td>${r.rel_err === null ? '' : r.rel_err.toExponential(1)}</td></tr>`;
}

function bars({ bars: all }: Receipt): string {
  if (all.length === 0) return '';
  const lines = all.map(
    (b) =>
      `<tr><td>${html(b.name)}</td><td>${cell(b.ratio, 4)}</td><td>${html(b.rule)} ${b.bar}</td><td class="${b.pass ? 'pass' : 'miss'}">${b.pass ? 'pass' : 'miss'}</td></tr>`,
  );
  return `<table><thead><tr><th>bar</th><th>ratio</th><th>wanted</th><th></th></tr></thead><tbody>${lines.join('')}</tbody></table>`;
}

/** The whole report. Light and dark follow the reader's system. */
export function reportHtml(receipt: Receipt): string {
  const { run, rows } = receipt;
  const note = noiseNote(rows);
  const facts: [string, string][] = [
    ['machine', `${run.machine.cpu}, ${run.machine.cores} cores, ${run.machine.memory_gib} GiB, ${run.machine.os}, ${run.machine.node}`],
    ['adapters', [...new Set(rows.map((r) => r.adapter))].join('; ')],
    ['commit', run.commit ?? 'not a checkout'],
    ['command', run.command],
    ['workload', run.workload],
    [
      'versions',
      Object.entries(run.versions)
        .map(([k, v]) => `${k} ${v}`)
        .join(', '),
    ],
    ...run.peers.filter((p) => p.failed !== null).map((p): [string, string] => [p.name, `does not load: ${p.failed}`]),
  ];
  const rooflines = Object.entries(run.floors).map(([name, floor]) => figure(name, roofline(name, rows, floor)));
  const size = overSize(rows);
  const threads = overThreads(rows);
  const scalings = [
    size.length > 0
      ? figure('matmul nn, square, by size', scaling('rows = columns', 'GFLOP/s', size, 'Rate of square products over their size'))
      : '',
    threads.length > 0
      ? figure('times faster than one thread', scaling('threads', 'times', threads, 'Speed over the number of threads'))
      : '',
  ];
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>eagrl bench, ${html(run.date.slice(0, 10))}</title><style>${CSS}</style></head><body>
<h1>eagrl bench</h1><p class="soft">${html(run.date)}</p>
${note ? `<p class="notice">${html(note)}</p>` : ''}
<dl>${facts.map(([k, v]) => `<dt>${html(k)}</dt><dd>${html(v)}</dd>`).join('')}</dl>
${section('Bars', 'Each a ratio of two figures of this run. Shares of a rate: a copy, or multiply-adds in registers, took turns with the kernel; median over median of the same rounds.', bars(receipt))}
${section('Roofline', 'Lines: the rates measured in this run, a copy and multiply-adds in registers. Points: kernels, the fastest case of each named. A point above the solid line re-uses what a cache holds.', grid(rooflines))}
${section('Beside the peers', 'Median milliseconds per launch, shorter is better. Every result was checked against the f64 reference first.', peers(rows))}
${section('Scaling', 'Over the size of the problem and over threads.', grid(scalings))}
${section('Rows', 'Spread: distance between the quartiles over the median. Of floor: share of the time that the flops and bytes need at the rates measured at the start of the run.', `<div class="scroll"><table><thead><tr><th>kernel/pass/dtype/shape/provider</th><th>median ms</th><th>spread</th><th>device ms</th><th>GFLOP/s</th><th>GB/s</th><th>of floor</th><th>rel. error</th></tr></thead><tbody>${rows.map(rowLine).join('')}</tbody></table></div>`)}
</body></html>
`;
}
