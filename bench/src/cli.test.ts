/**
 * Plan. The bench as a process of its own, from its sources. SIGTERM, twice at once as npm and `timeout` send it, ends it with the rows measured so
 * far. So does Ctrl-C that also ended who read its output: its report is written.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, test } from 'vitest';
import type { Row } from './lib/report.ts';

const folder = mkdtempSync(join(tmpdir(), 'eagrl-bench-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs some seconds of cases until `act`, at the first row, ends it. */
async function bench(argv: readonly string[], act: (child: ChildProcess) => void) {
  const loader = new URL('../../test/e2e/typescript_loader.mjs', import.meta.url).href;
  const flags = ['--conditions=@eagrl/source', '--experimental-wasm-relaxed-simd', '--import', loader];
  const cli = fileURLToPath(new URL('cli.ts', import.meta.url));
  const child = spawn(process.execPath, [...flags, cli, '--quick', '--device', 'wasm', '--filter', 'activation,elementwise', ...argv], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines: string[] = [];
  createInterface(child.stdout).on('line', (line) => {
    if (line.startsWith('activation/') && !lines.some((l) => l.startsWith('activation/'))) act(child);
    lines.push(line);
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  child.stdout.destroy();
  return { code, lines };
}

test('SIGTERM, twice at once', async () => {
  const { code, lines } = await bench([], (child) => {
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGTERM'), 5);
  });
  const { rows } = JSON.parse(lines.at(-1) as string) as { rows: Row[] };
  expect(code).toBe(143);
  expect(rows.length).toBeGreaterThan(0);
  expect(lines.find((line) => line.startsWith('over (SIGTERM), '))).toContain(' rows not reached: ');
});

test('Ctrl-C, and nobody reads any more', async () => {
  const report = join(folder, 'cut.html');
  const { code } = await bench(['--html', report], (child) => {
    child.stdout?.destroy();
    child.kill('SIGINT');
  });
  expect([130, 141]).toContain(code); // whichever comes first
  expect(readFileSync(report, 'utf8')).toContain('activation/tanh_fwd');
});

test('output that nobody reads ends it too', async () => {
  const report = join(folder, 'unread.html');
  expect((await bench(['--html', report], (child) => child.stdout?.destroy())).code).toBe(141);
  expect(existsSync(report)).toBe(true);
});
