/**
 * Plan: the smoke preset on the software WebGPU adapter, both stages from end to end, and what it leaves behind.
 *   exit code 0; summary.json has the rows and keys of the design; metrics of each phase; a report that stands alone
 *   sampled log-probs are those of training on this device too
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { METRIC_KEYS } from '../../trainer/src/run/metric_keys.ts';
import { readMetrics } from '../../trainer/src/run/metrics_logger.ts';
import { eagrl, type Finished } from './cli.ts';

const work = mkdtempSync(join(tmpdir(), 'eagrl-smoke-'));
afterAll(() => rmSync(work, { recursive: true, force: true }));
const folder = join(work, 'smoke');
let finished: Finished;
beforeAll(async () => {
  // With a reference policy, without which there is no KL to log.
  const flags = ['--config', 'configs/smoke.yaml', '--device', 'webgpu-software', '--rl.beta', '0.04', '--output-dir', work, '--json'];
  finished = await eagrl('run', ...flags);
}, 900_000);

test('both stages run to their end', () => {
  expect(finished.code, finished.stderr).toBe(0);
  expect(finished.stderr).toContain('(webgpu, ');
});

test('summary.json has every row and key', () => {
  const summary = JSON.parse(readFileSync(join(folder, 'summary.json'), 'utf8'));
  expect(JSON.parse(finished.stdout)).toEqual(summary);
  expect(Object.keys(summary)).toEqual(['device', 'adapter', 'config_hash', 'commit', 'seconds', 'peak_rss_bytes', 'eval', 'paired']);
  expect(summary.device).toBe('webgpu-software');
  expect(Object.keys(summary.seconds).sort()).toEqual(['eval', 'expert', 'mcts', 'rl', 'sft', 'total']);
  expect(Object.keys(summary.eval)).toEqual(['zero_shot', 'sft_answer', 'stage1', 'stage2', 'expert', 'bayes']);
  for (const [name, row] of Object.entries<Record<string, number | null>>(summary.eval)) {
    expect(Object.keys(row), name).toEqual([
      'n',
      'prevalence',
      'auroc',
      'auroc_lower',
      'auroc_upper',
      'auprc',
      'auprc_lower',
      'auprc_upper',
      'brier',
      'jaccard',
      'parse_failure_rate',
    ]);
    expect(row.n).toBe(4);
    expect(row.auroc).toBeGreaterThanOrEqual(0);
    expect(row.auroc_upper).toBeGreaterThanOrEqual(row.auroc_lower as number);
    // Nothing is named or parsed where a probability is computed; bare answers name nothing.
    expect(row.jaccard === null, name).toBe(['sft_answer', 'expert', 'bayes'].includes(name));
    expect(row.parse_failure_rate === null, name).toBe(['expert', 'bayes'].includes(name));
  }
});

test('metrics of every phase, and log-probs that training recomputes', () => {
  const records = readMetrics(join(folder, 'metrics.jsonl'));
  expect([...new Set(records.map((r) => r.phase))]).toEqual(['expert', 'mcts', 'sft', 'sft_answer', 'rl', 'eval']);
  const rl = records.filter((r) => r.phase === 'rl');
  expect(rl.map((r) => r.step)).toEqual([1]);
  // METRICS.md promises no key that nobody logs.
  const logged = new Set(
    records
      .flatMap((r) => Object.keys(r))
      .map((key) => key.replace(/^eval\/[^/]+\/[^/]+\//, 'eval/<dataset>/<task>/').replace(/^rewards\/[^/]+/, 'rewards/<name>')),
  );
  expect(Object.keys(METRIC_KEYS).filter((key) => !logged.has(key))).toEqual(['nan_count']);
  for (const record of rl) {
    expect(record['sampling/sampling_logp_difference/max']).toBeLessThan(1e-4);
    expect(record.frac_reward_zero_std).toBeLessThan(1);
    expect(record.grad_norm).toBeGreaterThan(0);
  }
});

test('report.html stands alone', () => {
  const html = readFileSync(join(folder, 'report.html'), 'utf8');
  expect(html).toMatch(/^<!doctype html>/i);
  expect(html).not.toMatch(/(src|href)="https?:/);
});
