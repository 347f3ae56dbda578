/**
 * Plan. The page of `npm run demo:web` in a headless Chromium, on WebAssembly with threads: the smoke config runs from the base policy to
 * the table, the rows are those that `eagrl run` gives in Node to the last printed digit, the weights it offers load, and the metrics are
 * those of every step. Stopping leaves the page ready.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSafetensors } from '@eagrl/runtime';
import { chromiumPath } from '@eagrl/testing';
import { type Browser, chromium, type Page } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Summary } from '../../trainer/src/report/summary.ts';
import { renderRows } from '../../trainer/src/report/terminal_table.ts';
import { eagrl } from './cli.ts';

const folder = mkdtempSync(join(tmpdir(), 'eagrl-web-'));
let server: ViteDevServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  const configFile = fileURLToPath(new URL('../../trainer/web/vite.config.mjs', import.meta.url));
  server = await createServer({ configFile, logLevel: 'warn', server: { port: 0, host: 'localhost' } });
  await server.listen();
  browser = await chromium.launch({ executablePath: await chromiumPath(), args: ['--no-sandbox'] });
  page = await browser.newPage();
  page.setDefaultTimeout(240_000);
  await page.goto(server.resolvedUrls?.local[0] ?? '');
}, 240_000);
afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const textOf = async (id: string) => (await page.locator(`#${id}`).textContent()) ?? '';
const bytesOf = async (id: string) =>
  Uint8Array.from(
    await page.evaluate(async (link) => {
      const response = await fetch((document.getElementById(link) as HTMLAnchorElement).href);
      return [...new Uint8Array(await response.arrayBuffer())];
    }, id),
  );

async function start(): Promise<void> {
  await page.selectOption('#device', 'wasm');
  await page.selectOption('#preset', 'smoke');
  await page.click('#start');
}

test('a run in the page gives the rows of a run in Node', async () => {
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
  await start();
  await page.locator('#status', { hasText: /^(done|failed)/ }).waitFor();
  expect(await textOf('status')).toMatch(/^done in \d+s on WebAssembly SIMD \(wasm, \d+ threads?\)$/);

  const { code, stderr } = await eagrl('run', '--config', 'configs/smoke.yaml', '--device', 'wasm', '--output-dir', folder);
  expect(code, stderr).toBe(0);
  const summary = JSON.parse(readFileSync(join(folder, 'smoke/summary.json'), 'utf8')) as Summary;
  expect(await textOf('table')).toBe(renderRows(summary, 'smoke'));

  const trained = parseSafetensors(await bytesOf('weights')).tensors;
  const base = parseSafetensors(readFileSync(new URL('../../trainer/assets/base-policy/model.safetensors', import.meta.url))).tensors;
  expect(new Set(trained.keys())).toEqual(new Set(base.keys()));
  for (const [name, { shape }] of trained) expect(shape, name).toEqual(base.get(name)?.shape);
  const ofFirst = 'model.layers.0.mlp.up_proj.weight';
  expect(trained.get(ofFirst)?.read()).not.toEqual(base.get(ofFirst)?.read());

  const metrics = Buffer.from(await bytesOf('metrics'))
    .toString('utf8')
    .trim()
    .split('\n');
  const logged = readFileSync(join(folder, 'smoke/metrics.jsonl'), 'utf8').trim().split('\n');
  const essence = (line: string) => {
    const { phase, step, loss } = JSON.parse(line) as { phase: string; step: number; loss?: number };
    return `${phase} ${step} ${loss}`;
  };
  const comparable = (line: string) => !line.startsWith('eval ') && !line.startsWith('mcts ');
  expect(metrics.map(essence).filter(comparable).sort()).toEqual(logged.map(essence).filter(comparable).sort());
  expect(await textOf('prompt')).toMatch(/^Patient: .*important features/s);
}, 400_000);

test('stopping leaves the page ready', async () => {
  await start();
  await page.locator('#status', { hasText: 'running' }).waitFor();
  await page.click('#stop');
  expect(await textOf('status')).toMatch(/^stopped/);
  expect(await page.locator('#start').isEnabled()).toBe(true);
}, 100_000);
