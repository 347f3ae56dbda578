/**
 * Plan: the report as a document, from invented numbers of an invented patient.
 *   self-contained; every part present; parts a run did not do are left out; real patients' text is left out;
 *   hostile text is escaped; well-formed SVG; the terminal table; from a run folder and back
 * To look at it: EAGRL_REPORT_OUT=report.html npx vitest run trainer/src/report
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { configToYaml } from '../config/load.ts';
import { resolveConfig } from '../config/resolve.ts';
import { bootstrapMetrics, pairedBootstrap } from '../metrics/bootstrap.ts';
import { ConfigError } from '../util/errors.ts';
import { stepChart } from './charts.ts';
import { collectReport } from './collect.ts';
import { renderReport } from './report.ts';
import type { Predictions, ReportData, TreeNode } from './report_data.ts';
import { EVAL_NAMES, type EvalName, type EvalRow } from './summary.ts';
import { renderTable } from './terminal_table.ts';

/** Uniform in [0, 1), a Weyl sequence per key. */
const weyl = (i: number, key: number): number => (i * 0.6180339887498949 + key * 0.7548776662) % 1;
const N = 240;
const labels = Array.from({ length: N }, (_, i) => (weyl(i, 1) < 0.44 ? 1 : 0));

/** Scores with two decimals; `signal` is the distance between the classes' means in logits. */
function predictions(signal: number, key: number): Predictions {
  const scores = labels.map((y, i) => {
    const noise = weyl(i * i + 7 * i, key) + weyl(3 * i * i + i, key + 5) + weyl(5 * i * i, key + 9) - 1.5;
    const p = 1 / (1 + Math.exp(-(signal * (y - 0.5) + 2.4 * noise)));
    return Math.round(100 * p) / 100;
  });
  return { labels, scores };
}

const signals: Record<EvalName, number> = { zero_shot: 0.35, sft_answer: 1.3, stage1: 1.9, stage2: 3.1, expert: 3.2, bayes: 4.2 };
const jaccards: Partial<Record<EvalName, number>> = { zero_shot: 0.12, sft_answer: 0.14, stage1: 0.31, stage2: 0.52 };
const all = Object.fromEntries(EVAL_NAMES.map((name, k) => [name, predictions(signals[name], k + 2)])) as Record<EvalName, Predictions>;

function row(name: EvalName): EvalRow {
  const { auroc, auprc, brier } = bootstrapMetrics(labels, all[name].scores, { numBootstrap: 60 });
  return {
    n: N,
    prevalence: labels.filter((y) => y === 1).length / N,
    auroc: auroc.value,
    auroc_lower: auroc.lower,
    auroc_upper: auroc.upper,
    auprc: auprc.value,
    auprc_lower: auprc.lower,
    auprc_upper: auprc.upper,
    brier: brier.value,
    jaccard: jaccards[name] ?? null,
    parse_failure_rate: name in jaccards ? 0.004 : null,
  };
}

function paired(better: EvalName, than: EvalName) {
  const { value, lower, upper } = pairedBootstrap(labels, all[better].scores, all[than].scores, { numBootstrap: 60 }).auroc;
  return { better, than, metric: 'auroc', difference: value, lower, upper } as const;
}

const step = (question: string, answer: string): string => `<Subquestion>${question}</Subquestion> <Answer>${answer}</Answer>\n`;
const final = (names: string, p: string): string =>
  `<Final subquestion>How likely is death in hospital?</Final subquestion>\n<Important Features> ${names}</Important Features>\n<Final answer>${p}</Final answer>`;

const features = [
  'Lactate',
  'Creatinine',
  'Platelet count',
  'D-dimer',
  'Albumin',
  'Respiratory rate',
  'SpO2',
  'Heart rate',
  'C-reactive protein',
  'White blood cell count',
  'Systolic blood pressure',
  'Temperature',
  'Glucose',
  'Potassium',
  'Sodium',
  'Hemoglobin',
  'Bilirubin',
];

const node = (parent: number, text: string, visits: number, maxValue: number, reward: number, terminal = false): TreeNode => ({
  parent,
  text,
  visits,
  maxValue,
  reward,
  terminal,
});
const tree: TreeNode[] = [
  node(-1, '', 8, 0.21, 0),
  node(0, step('Which values are abnormal?', 'Lactate HH, SpO2 L.'), 5, 0.21, 0.62),
  node(0, step('Is the potassium normal?', 'Yes.'), 2, -0.35, 0.4),
  node(0, step('What do the high values suggest about the organs?', 'Poor perfusion.'), 1, -0.1, 0.57),
  node(1, step('Which organ systems are affected?', 'Lungs, circulation.'), 3, 0.21, 0.66),
  node(1, step('How severe is the picture overall?', 'Severe.'), 2, 0.05, 0.6),
  node(4, final('Lactate, SpO2, Platelet count', '0.86'), 2, 0.21, 0.21, true),
  node(4, final('Lactate, Sodium', '0.64'), 1, -0.18, -0.18, true),
  node(5, final('Lactate, SpO2, Temperature', '0.78'), 2, 0.05, 0.05, true),
  node(2, final('Potassium, Sodium', '0.31'), 2, -0.69, -0.69, true),
  node(3, final('Lactate, Creatinine', '0.55'), 1, -0.27, -0.27, true),
  node(1, step('Is the temperature trend falling?', 'No.'), 0, 0, 0.5),
  node(4, final('SpO2', '0.5'), 0, 0, -0.5, true),
];

const data: ReportData = {
  runName: 'demo',
  dataset: 'synthetic',
  task: 'in-hospital mortality',
  synthetic: true,
  predictions: all,
  summary: {
    device: 'wasm',
    adapter: '2 threads, SIMD, FMA',
    config_hash: 'ab12'.repeat(16),
    commit: null,
    seconds: { total: 533, data: 2, expert: 41, zero_shot: 38, mcts: 97, sft: 61, rl: 231, eval: 63 },
    peak_rss_bytes: 1.83e9,
    eval: Object.fromEntries(EVAL_NAMES.map((name) => [name, row(name)])),
    paired: [paired('stage1', 'zero_shot'), paired('stage2', 'stage1')],
  },
  metrics: Array.from({ length: 60 }, (_, i) => ({
    phase: 'rl',
    step: i + 1,
    reward: -0.72 + 0.5 * (1 - Math.exp(-i / 22)) + 0.08 * (weyl(i, 3) - 0.5),
    entropy: 1.3 * Math.exp(-i / 50) + 0.1 * weyl(i, 4),
    'eagrl/jaccard/mean': 0.3 + 0.22 * (1 - Math.exp(-i / 30)) + 0.04 * (weyl(i, 5) - 0.5),
    'eagrl/epsilon_high/mean': 0.27 + 0.03 * weyl(i, 6),
    'eagrl/epsilon_high/min': 0.2,
    'eagrl/epsilon_high/max': 0.4 - 0.02 * weyl(i, 8),
  })),
  featureFrequency: features.map((name, i) => ({
    name,
    expert: Math.max(0.02, 0.92 - 0.09 * i),
    zero_shot: 0.15 + 0.2 * weyl(i, 2),
    stage2: Math.max(0.01, 0.85 - 0.08 * i + 0.1 * (weyl(i, 9) - 0.5)),
  })),
  reasoning: {
    prompt:
      'male, 71 years, 4 visits. In-hospital mortality?\nLactate 2.1 4.6 HH\nSpO2 93 L 88 L\nPlatelet count 140 L 96 L\nTemperature 37.9 H\nPotassium 4.1',
    label: 1,
    expertFeatures: ['Lactate', 'SpO2', 'Platelet count', 'Creatinine', 'Respiratory rate'],
    causalFeatures: ['Lactate', 'SpO2', 'Platelet count'],
    before: step('Is the temperature abnormal?', 'Temperature is high (H).') + final('Temperature, Potassium, SpO2', '0.41'),
    after:
      step('Which values are abnormal?', 'Lactate HH, SpO2 L, Platelet count L, Temperature H.') +
      step('Which organ systems are affected?', 'Lungs, circulation and coagulation.') +
      final('Lactate, SpO2, Platelet count, Respiratory rate', '0.88'),
  },
  tree,
  configYaml: configToYaml(resolveConfig({ run_name: 'demo' })),
  environment: { eagrl: '0.1.0', node: '20.20.2', platform: 'linux-x64', cpu: 'a processor', cores: 2, memory_bytes: 8e9, commit: null },
};

describe('renderReport', () => {
  const html = renderReport(data);
  if (process.env.EAGRL_REPORT_OUT) writeFileSync(process.env.EAGRL_REPORT_OUT, html);

  it('is one self-contained file under 1 MB that says what it is not for', () => {
    expect(html).not.toMatch(/<(script|link|img|iframe)\b|@import|url\(\s*['"]?https?:|\b(href|src)=/i);
    expect(html.length).toBeLessThan(1e6);
    expect(html).toContain('Not for clinical use');
    expect(html).not.toMatch(/NaN|undefined|\[object/);
  });
  it.each(['Result', 'Curves', 'Stage 2 over its steps', 'One patient, before and after', 'One search tree of Stage 1', 'How it was run'])(
    'has the section %s',
    (title) => expect(html).toContain(`<h2>${title}</h2>`),
  );
  it.each([
    'ROC',
    'Precision and recall',
    'Calibration',
    'What is held important',
    'Reward',
    'Agreement with the expert',
    'Entropy',
    'Adaptive upper clip',
  ])('has the figure %s', (title) => expect(html).toContain(`<h3>${title}</h3><svg`));
  it('every number of the table is the one of the summary', () => {
    for (const name of EVAL_NAMES) {
      const found = data.summary.eval[name];
      expect(html).toContain(
        `<td>${found?.auroc.toFixed(3)}<small>${found?.auroc_lower.toFixed(3)} to ${found?.auroc_upper.toFixed(3)}</small>`,
      );
    }
  });
  it('ticks differ, also over two steps and a narrow range', () => {
    const records = [1, 2].map((step) => ({ phase: 'rl', step, entropy: 0.53 + 0.004 * step }));
    const svg = stepChart(records, 'entropy', 'nats per token') as string;
    const labels = [...svg.matchAll(/<text[^>]*>([\d.]+)<\/text>/g)].map(([, label]) => label);
    expect(labels.filter((label) => !label.includes('.'))).toEqual(['1', '2']);
    expect(new Set(labels).size).toBe(labels.length);
    expect(labels.length).toBeGreaterThan(4);
  });
  it('the tree draws visited nodes only, terminal ones round', () => {
    const svg = /<svg[^>]*aria-label="Search tree".*?<\/svg>/s.exec(html)?.[0] ?? '';
    expect(svg.match(/<rect/g)).toHaveLength(tree.filter((n) => n.visits > 0).length);
    expect(svg.match(/rx="14"/g)).toHaveLength(tree.filter((n) => n.visits > 0 && n.terminal).length);
  });
  it('leaves out what a run did not do', () => {
    const { reasoning, tree: _tree, featureFrequency, ...rest } = data;
    const sparse = renderReport({ ...rest, metrics: [], predictions: {} });
    for (const title of ['Curves', 'Stage 2 over its steps', 'One patient', 'One search tree'])
      expect(sparse).not.toContain(`<h2>${title}`);
    expect(() => renderReport({ ...data, summary: { ...data.summary, eval: {} } })).toThrow('no evaluated row');
  });
  it('shows no text of a real patient, and promises none', () => {
    const real = { ...data, synthetic: false };
    expect(renderReport(real)).not.toContain('71 years');
    expect(renderReport(real)).not.toContain('Search tree');
    expect(renderReport(real)).not.toContain('--show-patient-text');
    expect(renderReport(real)).not.toContain('<h2>One ');
  });
  it('escapes hostile text everywhere it can come in', () => {
    const evil = '<script>alert("x")</script>';
    const hostile = renderReport({
      ...data,
      dataset: evil,
      featureFrequency: [{ name: evil, expert: 1, stage2: 1 }],
      reasoning: { ...data.reasoning!, prompt: evil, after: evil, before: final(evil, '0.5'), expertFeatures: [evil] },
      tree: [tree[0], node(0, step(evil, 'x'), 1, 0, 0)],
      configYaml: evil,
    });
    expect(hostile).not.toContain('<script');
  });
});

describe('renderTable', () => {
  const lines = renderTable(data.summary, 'demo').split('\n');
  it('has a line per predictor with its interval, the differences, and fits 120 columns', () => {
    for (const name of EVAL_NAMES) {
      const auroc = data.summary.eval[name]?.auroc.toFixed(3) ?? '';
      expect(lines.filter((line) => line.includes(`${auroc} [`)).length).toBeGreaterThan(0);
    }
    expect(lines.find((line) => line.startsWith('Policy after Stage 2 - Policy after Stage 1: AUROC +'))).toBeDefined();
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(120);
    expect(lines.at(-1)).toContain('Not for clinical use');
  });
});

describe('collectReport', () => {
  it('reads back what a run wrote, and names what is missing', () => {
    const folder = join(mkdtempSync(join(tmpdir(), 'eagrl-report-')), 'demo');
    mkdirSync(join(folder, 'configs'), { recursive: true });
    const { runName, summary, metrics, configYaml, environment, ...parts } = data;
    expect(() => collectReport(folder)).toThrow(ConfigError);
    expect(() => collectReport(folder)).toThrow('has no summary.json');
    writeFileSync(join(folder, 'summary.json'), JSON.stringify(summary));
    writeFileSync(join(folder, 'report_data.json'), JSON.stringify(parts));
    writeFileSync(join(folder, 'configs', 'resolved.yaml'), configYaml);
    writeFileSync(join(folder, 'env.json'), JSON.stringify(environment));
    writeFileSync(join(folder, 'metrics.jsonl'), metrics.map((record) => `${JSON.stringify(record)}\n`).join(''));
    expect(collectReport(folder)).toEqual(JSON.parse(JSON.stringify(data)));
    rmSync(join(folder, '..'), { recursive: true });
  });
});
