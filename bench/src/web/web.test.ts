/**
 * Plan. In a headless Chromium, WebGPU by SwiftShader: the page is isolated, so WebAssembly has threads; a quick run of one kernel on
 * both backends finishes with every row right, and the receipt it offers reads back, with errors below the bench's limit; the report is
 * whole. A layer of a 7B, which a quick run lacks, is there when all is asked for. A filter that matches nothing says so.
 */
import { chromiumPath } from '@eagrl/testing';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { ViteDevServer } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cases } from '../cases/index.ts';
import { titleOf } from '../lib/case.ts';
import { MAX_REL_ERR } from '../lib/check.ts';
import { readReceipt } from '../lib/receipt.ts';
import { casesAt, PACES, type Pace } from './paces.ts';
import { serve } from './serve.ts';

const FLAGS = '--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader --enable-features=Vulkan --no-sandbox'.split(' ');

let server: ViteDevServer;
let browser: Browser;
let page: Page;

beforeAll(async () => {
  server = await serve(0);
  browser = await chromium.launch({ executablePath: await chromiumPath(), args: FLAGS });
  page = await browser.newPage();
  page.setDefaultTimeout(240_000);
  await page.goto(server.resolvedUrls?.local[0] ?? '');
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

const textOf = (id: string) =>
  page.evaluate(async (link) => (await fetch((document.getElementById(link) as HTMLAnchorElement).href)).text(), id);

async function start(filter: string): Promise<string> {
  await page.fill('#filter', filter);
  await page.click('#start');
  const status = page.locator('#status', { hasText: /^(done|failed)/ });
  await status.waitFor();
  return (await status.textContent()) ?? '';
}

test('a quick run finishes, its numbers verify, the receipt reads back', async () => {
  expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
  expect(await start('rmsnorm/fwd')).toMatch(/^done: \d+ rows, all right$/);
  const { run, rows } = readReceipt(await textOf('receipt'));
  expect(new Set(rows.map((r) => r.backend))).toEqual(new Set(['wasm', 'webgpu']));
  for (const r of rows) {
    expect(r.median_ms).toBeGreaterThan(0);
    expect(r.rel_err).toBeLessThanOrEqual(MAX_REL_ERR);
    expect(r.floor_share).toBeGreaterThan(0);
  }
  expect(Object.keys(run.floors)).toEqual(expect.arrayContaining(['wasm', 'webgpu']));
  expect(await textOf('report')).toMatch(/^<!doctype html>[\s\S]*Roofline[\s\S]*<\/html>\s*$/);
}, 300_000);

test('all shapes of the bench can be asked for', async () => {
  const large = 'rmsnorm/fwd/f32/512x3584';
  expect(await start(large)).toMatch(/^failed: no row/);
  expect(await page.locator('#pace option').evaluateAll((all) => all.map((o) => (o as HTMLOptionElement).value))).toEqual(
    Object.keys(PACES),
  );
  const has = (pace: Pace) => casesAt(pace).some((c) => titleOf(c) === large);
  expect([has('quick'), has('normal'), has('full'), casesAt('full').length]).toEqual([false, false, true, cases.length]);
}, 300_000);

test('a filter without rows says so', async () => {
  expect(await start('no such row')).toMatch(/^failed: no row has 'no such row'/);
}, 300_000);
