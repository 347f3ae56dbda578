/** One patient's reasoning before and after training, side by side. */
import { foldName } from '../data/names.ts';
import { parseAnswer, parseSteps } from '../text/answer.ts';
import { escapeHtml } from './html.ts';
import type { ReasoningExample } from './report_data.ts';

function chips(names: readonly string[], hits: ReadonlySet<string>): string {
  if (names.length === 0) return '<p class="soft">none</p>';
  const items = names.map((name) => `<li${hits.has(foldName(name)) ? ' class="hit"' : ''}>${escapeHtml(name)}</li>`);
  return `<ul class="chips">${items.join('')}</ul>`;
}

function probabilityBar(probability: number, label: 0 | 1): string {
  const x = 4 + 292 * probability;
  const truth = 4 + 292 * label;
  return (
    `<svg width="300" height="26" viewBox="0 0 300 26" role="img" aria-label="probability ${probability.toFixed(2)}">` +
    `<path d="M4 13H296" stroke="var(--line)" stroke-width="6" stroke-linecap="round"/><path d="M150 5V21" stroke="var(--soft)"/>` +
    `<circle cx="${truth}" cy="13" r="4" fill="none" stroke="var(--ink)" stroke-width="1.5"/>` +
    `<circle cx="${x.toFixed(1)}" cy="13" r="7" fill="var(--ink)"/></svg>`
  );
}

function completion(text: string, example: ReasoningExample, expert: ReadonlySet<string>): string {
  const { probability, features } = parseAnswer(text);
  const steps = parseSteps(text)
    .map((step) => `<dt>${escapeHtml(step.question)}</dt><dd>${escapeHtml(step.answer)}</dd>`)
    .join('');
  if (probability === null) return `<p>No readable answer:</p><pre>${escapeHtml(text)}</pre>`;
  return (
    `<dl>${steps === '' ? '<dd class="soft">answered without a sub-question</dd>' : steps}</dl>` +
    `<h3>Important features</h3>${chips(features, expert)}` +
    `<h3>Probability ${probability.toFixed(2)}</h3>${probabilityBar(probability, example.label)}`
  );
}

export function reasoningSection(example: ReasoningExample): string {
  const expert = new Set(example.expertFeatures.map(foldName));
  const causal = example.causalFeatures ?? [];
  const side = (title: string, kind: string, text: string): string =>
    `<div class="side ${kind}"><h3>${title}</h3>${completion(text, example, expert)}</div>`;
  return [
    `<p>Outcome: <b>${example.label === 1 ? 'positive' : 'negative'}</b>. Filled labels are among the expert's most important features; `,
    'on the probability line the dot is the answer, the ring the outcome.</p>',
    `<pre>${escapeHtml(example.prompt)}</pre>`,
    `<h3 style="margin-top:12px">Expert's features</h3>${chips(example.expertFeatures, expert)}`,
    causal.length === 0 ? '' : `<h3>Features that drive the outcome in the generator</h3>${chips(causal, expert)}`,
    `<div class="grid">${side('Zero-shot', 'before', example.before)}${side('After Stage 2', 'after', example.after)}</div>`,
  ].join('');
}
