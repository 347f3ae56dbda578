/** The page around the worker: what it was asked, how far it is, what came of it. */
import { stepChart } from '../src/report/charts.ts';
import { renderRows } from '../src/report/terminal_table.ts';
import { CSS } from '../src/report/theme.ts';
import type { InMemoryPhase } from '../src/stages/in_memory.ts';
import { formatSeconds } from '../src/util/seconds.ts';
import type { Done, Event, Start } from './messages.ts';

const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
};
const status = element('status');
const phases = element('phases');
const charts = element('charts');

/** In the order in which a run ends them. */
const PHASES: readonly (readonly [InMemoryPhase, string])[] = [
  ['expert', 'expert (ConCare)'],
  ['mcts', 'Stage 1: search'],
  ['sft_answer', 'SFT on bare answers'],
  ['sft', 'Stage 1: distillation'],
  ['rl', 'Stage 2: policy optimisation'],
  ['eval', 'answers of the test patients'],
];
const CHARTS = [
  ['reward', 'Reward', 'mean reward'],
  ['eagrl/jaccard/mean', 'Agreement with the expert', 'Jaccard'],
] as const;

document.head.prepend(Object.assign(document.createElement('style'), { textContent: CSS }));
const isGpu = navigator.gpu && (await navigator.gpu.requestAdapter()) !== null;
if (!isGpu) {
  element<HTMLSelectElement>('device').value = 'wasm';
  element<HTMLSelectElement>('device').options[0].disabled = true;
  status.textContent = 'ready; this browser offers no WebGPU adapter';
}

let worker: Worker | null = null;
let records: { readonly phase: InMemoryPhase; readonly step: number; readonly [key: string]: number | string }[] = [];

function showPhases(): void {
  phases.replaceChildren(
    ...PHASES.flatMap(([phase, label]) => {
      const bar = Object.assign(document.createElement('progress'), { id: `bar-${phase}`, value: 0, max: 1 });
      bar.setAttribute('aria-label', label);
      return [
        Object.assign(document.createElement('span'), { textContent: label }),
        bar,
        Object.assign(document.createElement('small'), { id: `note-${phase}`, className: 'soft' }),
      ];
    }),
  );
  phases.hidden = false;
}

function showCharts(): void {
  const ofRl = records.filter((r) => r.phase === 'rl');
  charts.replaceChildren(
    ...CHARTS.flatMap(([key, title, axis]) => {
      const svg = stepChart(ofRl, key, axis);
      if (svg === null) return [];
      const figure = document.createElement('figure');
      figure.innerHTML = `<h3>${title}</h3>${svg}`;
      return [figure];
    }),
  );
  charts.hidden = charts.childElementCount === 0;
}

function offer(id: string, type: string, content: BlobPart): void {
  element<HTMLAnchorElement>(id).href = URL.createObjectURL(new Blob([content], { type }));
}

function showResult({ eval: rows, paired, example, seconds, weights }: Done, preset: string): void {
  element('table').textContent = renderRows({ eval: rows, paired }, preset);
  element('prompt').textContent = example.prompt;
  element('before').textContent = example.before;
  element('after').textContent = example.after;
  offer('weights', 'application/octet-stream', weights);
  offer('metrics', 'application/jsonl', records.map((r) => `${JSON.stringify(r)}\n`).join(''));
  element('result').hidden = false;
  status.textContent = `done in ${formatSeconds(seconds)} on ${device}`;
}

let device = '';

function finish(): void {
  worker?.terminate();
  worker = null;
  element<HTMLButtonElement>('start').disabled = false;
  element<HTMLButtonElement>('stop').disabled = true;
}

function start(asked: Start): void {
  records = [];
  element('result').hidden = true;
  showPhases();
  showCharts();
  status.textContent = 'loading';
  element<HTMLButtonElement>('start').disabled = true;
  element<HTMLButtonElement>('stop').disabled = false;
  worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
  worker.onerror = (event) => {
    status.textContent = `failed: ${event.message}`;
    finish();
  };
  worker.onmessage = ({ data }: MessageEvent<Event>) => {
    switch (data.kind) {
      case 'device':
        device = data.text;
        status.textContent = `running on ${device}`;
        break;
      case 'progress':
        element<HTMLProgressElement>(`bar-${data.phase}`).value = data.done / data.total;
        element(`note-${data.phase}`).textContent = `${data.done}/${data.total} ${data.note}`;
        break;
      case 'metrics':
        records.push({ phase: data.phase, step: data.step, ...data.metrics });
        if (data.phase === 'rl') showCharts();
        break;
      case 'warning':
        console.warn(data.message);
        break;
      case 'failed':
        status.textContent = `failed: ${data.message}`;
        finish();
        break;
      case 'done':
        showResult(data, asked.preset);
        finish();
    }
  };
  worker.postMessage(asked);
}

element<HTMLFormElement>('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const value = (id: string) => element<HTMLSelectElement>(id).value;
  start({ preset: value('preset') as Start['preset'], device: value('device') as Start['device'] });
});
element('stop').addEventListener('click', () => {
  finish();
  status.textContent = 'stopped; nothing of this run is kept';
});
