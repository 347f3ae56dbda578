/** eagrl data prepare | validate | inspect: the cohort and the prompts, before any model is touched. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Config } from '../config/schema.ts';
import { LABS } from '../data/lab_dictionary.ts';
import { SPLIT_NAMES, subjectsOf } from '../data/splits.ts';
import type { FlowRow } from '../data/tjh.ts';
import { readWords } from '../model_source.ts';
import type { Policy } from '../policy.ts';
import { collectEnvironment } from '../run/environment.ts';
import { configuredModel } from '../run/model_folder.ts';
import { taskOf } from '../tasks/configured.ts';
import { generateDocument } from '../text/corpus.ts';
import type { Cohort, SplitName } from '../types.ts';
import { writeFileAtomic } from '../util/atomic.ts';
import { ConfigError } from '../util/errors.ts';
import { type LoadedCohort, loadCohort } from './cohort.ts';
import { checkContext, promptLengths } from './lengths.ts';

/** Longest prompt plus completion against the model's context. @throws ConfigError when one does not fit, before any work. */
export function checkLengths(
  cohort: Cohort,
  config: Config,
  words: Pick<Policy, 'tokenizer' | 'chat'>,
  context: number,
): { longest: number; median: number } {
  const lengths = promptLengths(taskOf(cohort, config), words);
  const longest = lengths[lengths.length - 1];
  checkContext(config, longest, context);
  return { longest, median: lengths[lengths.length >> 1] };
}

/** `140 patients`, or where a sample is an ICU stay `600 ICU stays of 512 patients`. */
function describeSamples(cohort: Cohort, ids: readonly string[]): string {
  if (cohort.patients.every(({ subject }) => subject === undefined)) return `${ids.length} patients`;
  return `${ids.length} ICU stays of ${new Set(subjectsOf(cohort, ids)).size} patients`;
}

function describeSplit(cohort: Cohort, split: SplitName): string {
  const ids = cohort.splits[split];
  const labels = new Map(cohort.patients.map((p) => [p.id, p.label]));
  return `${split}: ${describeSamples(cohort, ids)}, ${ids.filter((id) => labels.get(id) === 1).length} positive`;
}

/** One line per rule: what it left, and what it took from the rule before it. */
function describeFlow(flow: readonly FlowRow[]): string[] {
  return flow.map(({ rule, unit = 'rows', rows, patients }, i) => {
    const before = flow[i - 1];
    const isStep = before !== undefined && before.unit === flow[i].unit && patients !== null && !rule.startsWith('split ');
    return `  ${rule}: ${rows} ${unit}${patients === null ? '' : `, ${patients} patients`}${isStep ? ` (${rows - before.rows})` : ''}`;
  });
}

/** What `eagrl data prepare` and `validate` say of a cohort, line by line. */
export function describe({ cohort, flow, audit, caveats }: LoadedCohort): string[] {
  const everyone = cohort.patients.map(({ id }) => id);
  return [
    `cohort ${cohort.name}, task ${cohort.task}: ${describeSamples(cohort, everyone)}, ${cohort.features.length} features`,
    ...describeFlow(flow ?? []),
    ...audit.map(({ check, rows }) => `  audit, ${check}: ${rows}`),
    ...SPLIT_NAMES.map((s) => describeSplit(cohort, s)),
    ...caveats.map((caveat) => `note: ${caveat}`),
  ];
}

export async function prepareData(config: Config): Promise<string[]> {
  const loaded = await loadCohort(config);
  const folder = join(config.output_dir, config.run_name, 'data');
  mkdirSync(folder, { recursive: true });
  const write = (name: string, value: unknown) => writeFileAtomic(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
  write('splits.json', loaded.cohort.splits);
  write('flow.json', loaded.flow ?? []);
  write('label_audit.json', loaded.audit);
  return [...describe(loaded), `wrote ${join(folder, 'splits.json')}, flow.json and label_audit.json`];
}

/** Writes the cohort as a MEDS folder; gives what was written, in words. @throws ConfigError when `out` exists */
export async function exportData(config: Config, out: string): Promise<string[]> {
  const { writeMeds } = await import('../data/meds.ts');
  const { cohort, caveats } = await loadCohort(config);
  const { subjects, events, codes } = await writeMeds(cohort, out, collectEnvironment().eagrl);
  return [...caveats.map((caveat) => `note: ${caveat}`), `wrote ${out}: ${subjects} subjects, ${events} events, ${codes} codes`];
}

export async function validateData(config: Config): Promise<string[]> {
  const loaded = await loadCohort(config);
  const words = readWords(configuredModel(config));
  const { longest, median } = checkLengths(loaded.cohort, config, words, words.config.max_position_embeddings);
  return [...describe(loaded), `prompts: ${median} tokens in the middle, ${longest} at most`, 'valid'];
}

/** The prompt of train example `index`, and a pretraining document with its trained part marked by >>> <<<. */
export async function inspectData(config: Config, index: number): Promise<string> {
  const { cohort } = await loadCohort(config);
  const task = taskOf(cohort, config);
  const n = task.numExamples('train');
  if (index >= n) throw new ConfigError(`--index: the train split has ${n} examples, got ${index}`);
  const { prompt } = task.getExample('train', index);
  const document = generateDocument(config.seed, index, LABS);
  return [
    `train example ${index}, as the policy reads it:`,
    readWords(configuredModel(config)).chat.prompt(prompt),
    '',
    `pretraining document ${index}, trained part between >>> and <<<:`,
    `${document.prompt}>>>${document.completion}<<<`,
  ].join('\n');
}
