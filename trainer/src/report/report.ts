/** report.html: one file, no network, readable on screen (light, dark), on paper and without colour. */
import { formatSeconds } from '../util/seconds.ts';
import { bandChart, calibrationChart, featureChart, prChart, present, rocChart, stepChart } from './charts.ts';
import { headlineTable } from './headline.ts';
import { escapeHtml, percent } from './html.ts';
import { legend } from './marker.ts';
import { reasoningSection } from './reasoning.ts';
import type { ReportData } from './report_data.ts';
import { EVAL_NAMES, testedOn } from './summary.ts';
import { CSS } from './theme.ts';
import { treeSvg } from './tree_svg.ts';

function figure(chart: string | null, title: string, caption: string): string {
  if (chart === null) return '';
  return `<figure><h3>${title}</h3>${chart}<figcaption>${caption}</figcaption></figure>`;
}

function section(title: string, body: string, lead = ''): string {
  if (body === '') return '';
  return `<section><h2>${title}</h2>${lead === '' ? '' : `<p class="soft">${lead}</p>`}${body}</section>`;
}

function facts(rows: readonly (readonly [string, string])[]): string {
  return `<dl class="facts">${rows.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(value)}</dd>`).join('')}</dl>`;
}

function trainingSection(data: ReportData): string {
  const records = data.metrics.filter((record) => record.phase === 'rl');
  const figures = [
    figure(stepChart(records, 'reward', 'mean reward'), 'Reward', 'Mean over the completions of a step; bold: mean of 5 steps.'),
    figure(
      stepChart(records, 'eagrl/jaccard/mean', 'Jaccard'),
      'Agreement with the expert',
      'Jaccard of the named features with the expert&#39;s top K.',
    ),
    figure(stepChart(records, 'entropy', 'nats per token'), 'Entropy', 'Mean token entropy of the policy.'),
    figure(
      bandChart(records, 'eagrl/epsilon_high', 'upper clip'),
      'Adaptive upper clip',
      'Line: mean over completions; band: smallest to largest of the step.',
    ),
  ].join('');
  return figures === '' ? '' : `<div class="grid">${figures}</div>`;
}

function patientSections(data: ReportData): string {
  if (!data.synthetic) return '';
  const tree = data.tree === undefined ? '' : treeSvg(data.tree);
  return (
    section('One patient, before and after', data.reasoning === undefined ? '' : reasoningSection(data.reasoning)) +
    section(
      'One search tree of Stage 1',
      tree,
      'A training patient. Square: sub-question; round: final answer. n visits, V largest value passed up, r own reward, +k children never visited. Bold: the best path.',
    )
  );
}

function curvesSection(data: ReportData): string {
  const first = EVAL_NAMES.map((name) => data.predictions[name]).find((predictions) => predictions !== undefined);
  if (first === undefined) return '';
  const prevalence = first.labels.reduce((sum, y) => sum + y, 0) / first.labels.length;
  return `${legend(present(data.predictions).map(([name]) => name))}<div class="grid">${figure(rocChart(data.predictions), 'ROC', 'Dotted: chance.')}${figure(
    prChart(data.predictions, prevalence),
    'Precision and recall',
    `Dotted: chance, the prevalence of ${percent(prevalence)}.`,
  )}${figure(calibrationChart(data.predictions), 'Calibration', 'Ten equal-width bins; area of a point: patients in it. Dotted: perfect.')}${
    data.featureFrequency === undefined || data.featureFrequency.length === 0
      ? ''
      : figure(
          featureChart(data.featureFrequency),
          'What is held important',
          'Share of test patients with the feature in the expert&#39;s top K, or named by the policy.',
        )
  }</div>`;
}

/**
 * The whole page. Text of real patients is left out.
 * @throws RangeError when the summary holds no evaluated row.
 */
export function renderReport(data: ReportData): string {
  const { summary, environment } = data;
  const row = EVAL_NAMES.map((name) => summary.eval[name]).find((found) => found !== undefined);
  if (row === undefined) throw new RangeError('report: the summary has no evaluated row; run eagrl eval first');
  const phases = Object.entries(summary.seconds)
    .filter(([phase]) => phase !== 'total')
    .map(([phase, seconds]) => `${phase} ${formatSeconds(seconds)}`)
    .join(', ');
  const title = `EAG-RL on ${data.dataset}: ${data.task}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${CSS}</style></head><body>
<header><h1>${escapeHtml(title)}</h1>
<p class="soft">${testedOn(row)}${data.synthetic ? ', generated' : ''}, ${percent(row.prevalence)} positive.
Run ${escapeHtml(data.runName)}, ${formatSeconds(summary.seconds.total)} on ${escapeHtml(summary.device)}.</p>
<p><span class="notice">Research software. Not for clinical use.</span></p></header>
${section('Result', headlineTable(summary), "Lines: 95 % intervals of the patient-level bootstrap. Jaccard: named features against the expert's top K. Unread: answers without a readable probability.")}
${section('Curves', curvesSection(data))}
${section('Stage 2 over its steps', trainingSection(data))}
${patientSections(data)}
${section(
  'How it was run',
  `${facts([
    ['device', `${summary.device} (${summary.adapter})`],
    [
      'machine',
      `${environment.cpu}, ${environment.cores} cores, ${(environment.memory_bytes / 1e9).toFixed(1)} GB, ${environment.platform}`,
    ],
    ['software', `eagrl ${environment.eagrl}, Node ${environment.node}, commit ${summary.commit ?? 'unknown'}`],
    ['time', `${formatSeconds(summary.seconds.total)} in all: ${phases}`],
    ['peak memory', `${(summary.peak_rss_bytes / 1e9).toFixed(2)} GB`],
    ['config hash', summary.config_hash],
  ])}<h3 style="margin-top:14px">Config</h3><pre class="config">${escapeHtml(data.configYaml)}</pre>`,
)}
<footer>Method: EAG-RL, arXiv 2508.13579. Research software, not for clinical use: no figure here has been validated for the care of any patient.</footer>
</body></html>
`;
}
