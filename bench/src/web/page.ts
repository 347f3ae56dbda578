/** The bench in a browser: the same cases, checks, clock and receipt as `npm run bench`. */
// These two first, in this order: see there.
import './lodash_global.ts';
import './benchmark_global.ts';

import { cases } from '../cases/index.ts';
import { reportHtml } from '../html/report.ts';
import { barLine, barsOf } from '../lib/bars.ts';
import { suits, titleOf } from '../lib/case.ts';
import { heatNote } from '../lib/heat.ts';
import type { Machine } from '../lib/machine.ts';
import { atFullClock, type BenchDevice, heaterOf, openBackends, own } from '../lib/provider.ts';
import { type Receipt, writeReceipt } from '../lib/receipt.ts';
import { noiseNote } from '../lib/report.ts';
import { runCases } from '../lib/session.ts';
import { casesAt, PACES, type Pace } from './paces.ts';

const element = <T extends HTMLElement>(id: string): T => {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
};
const status = element('status');
const table = element('table');

/** What a page may know of the machine; memory is rounded by the browser, 0 where it does not say. */
const machine = (): Machine => ({
  cpu: 'unknown to a page',
  cores: navigator.hardwareConcurrency,
  memory_gib: (navigator as { deviceMemory?: number }).deviceMemory ?? 0,
  os: navigator.platform,
  node: navigator.userAgent,
});

interface Asked {
  readonly filter: string;
  readonly devices: readonly BenchDevice[];
  readonly pace: Pace;
}

const print = (line: string) => {
  table.textContent += `${line}\n`;
};

async function run({ filter, devices, pace }: Asked): Promise<Receipt> {
  const wanted = (name: string) => suits(filter, name);
  const { budget } = PACES[pace];
  const chosen = casesAt(pace);
  const endings = devices.flatMap((device) => (device === 'wasm' ? ['wasm', 'wasm-1'] : ['webgpu']));
  if (!chosen.some((c) => endings.some((name) => wanted(`${titleOf(c)}/${name}`)))) {
    throw new Error(`no row has '${filter}' in its name; names look like ${titleOf(cases[0])}/wasm`);
  }
  const start = performance.now();
  const backends = await openBackends(devices, false);
  const heater = heaterOf(backends);
  const ours = [...backends].map(([name, backend]) => own(name, backend));
  const providers = atFullClock(ours, heater);
  const { floors, rows } = await runCases({ cases: chosen, providers, budget, wanted, print });
  for (const p of providers) await p.close();
  const bars = barsOf({ rows, counts: [] });
  for (const bar of bars) print(barLine(bar));
  const note = noiseNote(rows);
  if (note) print(note);
  const seconds = (performance.now() - start) / 1e3;
  const heating = heatNote(heater, seconds);
  if (heating) print(heating);
  const run = {
    date: new Date().toISOString(),
    machine: machine(),
    commit: import.meta.env.VITE_COMMIT || null,
    command: `npm run bench:web, ${location.search || 'by hand'}`,
    versions: { eagrl: import.meta.env.VITE_VERSION },
    workload: `${pace}, ${devices.join(',')}, rows with '${filter}'; took ${Math.round(seconds)} s${heating ? `, ${heating}` : ''}`,
    floors,
    peers: [],
  };
  return { run, rows, bars };
}

function offer(id: string, type: string, text: string): void {
  const link = element<HTMLAnchorElement>(id);
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.hidden = false;
}

async function start(asked: Asked): Promise<void> {
  table.textContent = '';
  status.textContent = 'running; the page may be slow to answer';
  element<HTMLButtonElement>('start').disabled = true;
  try {
    const receipt = await run(asked);
    offer('receipt', 'application/jsonl', writeReceipt(receipt));
    offer('report', 'text/html', reportHtml(receipt));
    const wrong = receipt.rows.filter((r) => r.wrong !== null).length;
    status.textContent =
      wrong === 0 ? `done: ${receipt.rows.length} rows, all right` : `done: ${wrong} of ${receipt.rows.length} rows wrong`;
  } catch (error) {
    status.textContent = `failed: ${(error as Error).message}`;
  } finally {
    element<HTMLButtonElement>('start').disabled = false;
  }
}

element<HTMLFormElement>('form').addEventListener('submit', (event) => {
  event.preventDefault();
  const checked = (id: string) => element<HTMLInputElement>(id).checked;
  const devices = (['wasm', 'webgpu'] as const).filter(checked);
  if (devices.length === 0) {
    status.textContent = 'failed: choose WebAssembly, WebGPU or both';
    return;
  }
  const pace = element<HTMLSelectElement>('pace').value as Pace;
  void start({ filter: element<HTMLInputElement>('filter').value, devices, pace });
});
