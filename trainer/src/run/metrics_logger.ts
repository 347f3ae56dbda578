/**
 * metrics.jsonl and TensorBoard events of a run. One line per record: {"phase":"rl","step":12,"reward":-0.31,...}; one step axis,
 * the optimiser step of the phase. NaN and infinity become null and are counted in nan_count, so that they poison no average.
 * Lines hold nothing but what was logged: a resumed run cuts what the dead one wrote after its checkpoint, and ends with the
 * file of an unbroken run.
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { asStorageError, writeFileAtomic } from '../util/atomic.ts';
import { isMetricKey } from './metric_keys.ts';
import { fileVersionRecord, lengthUpToStep, scalarsRecord } from './tensorboard.ts';

export interface MetricRecord {
  readonly phase: string;
  readonly step: number;
  readonly [key: string]: number | string | null;
}

export interface MetricsLoggerOptions {
  /** The run folder. */
  readonly folder: string;
  /** Phases of the run in their order, e.g. expert, sft, rl: what comes after the resumed phase is cut. */
  readonly phases: readonly string[];
  /** Keep records up to and including this one; without it the file begins anew. */
  readonly resumeAt?: { readonly phase: string; readonly step: number };
  readonly onWarning?: (message: string) => void;
}

interface Rule {
  readonly key: string;
  readonly bad: (value: number) => boolean;
  readonly says: string;
}

/** Each speaks once per phase. Thresholds: design, ecosystem.md. */
const rules: readonly Rule[] = [
  {
    key: 'frac_reward_zero_std',
    bad: (v) => v > 0.8,
    says: 'most groups have equal rewards and teach nothing; raise temperature or num_generations',
  },
  { key: 'entropy', bad: (v) => v < 0.01, says: 'the policy has collapsed onto one answer; lower the learning rate or raise epsilon_high' },
  { key: 'grad_norm', bad: (v) => v > 10, says: 'gradients are large; lower the learning rate' },
  {
    key: 'clip_ratio/region_mean',
    bad: (v) => v > 0.3,
    says: 'many tokens are clipped; use fewer updates per batch or a lower learning rate',
  },
  { key: 'completions/clipped_ratio', bad: (v) => v > 0.8, says: 'most completions are cut off; raise max_completion_length' },
];

export class MetricsLogger {
  readonly #path: string;
  readonly #tensorboard: string;
  readonly #phases: readonly string[];
  readonly #onWarning: (message: string) => void;
  readonly #warned = new Set<string>();
  readonly #lastStep = new Map<string, number>();

  /** @throws RangeError on a resumeAt phase that is not listed; StorageError when the disk refuses. */
  constructor(options: MetricsLoggerOptions) {
    this.#path = join(options.folder, 'metrics.jsonl');
    this.#tensorboard = join(options.folder, 'tensorboard');
    this.#phases = options.phases;
    this.#onWarning = options.onWarning ?? (() => {});
    const { resumeAt } = options;
    if (resumeAt === undefined) {
      rmSync(this.#tensorboard, { recursive: true, force: true });
      writeFileAtomic(this.#path, '');
    } else {
      this.#cutAfter(this.#phaseIndex(resumeAt.phase), resumeAt.step);
    }
  }

  /**
   * Appends one record. Steps of a phase never go back.
   * @throws RangeError on a key that METRICS.md does not list, an unknown phase, or a step before the last one of the phase.
   */
  log(phase: string, step: number, values: Readonly<Record<string, number>>): void {
    this.#phaseIndex(phase);
    const last = this.#lastStep.get(phase) ?? 0;
    if (!Number.isInteger(step) || step < last) throw new RangeError(`metrics: ${phase} step ${step} after step ${last}; steps only rise`);
    const line: Record<string, number | string | null> = { phase, step };
    const finite: Record<string, number> = {};
    let nanCount = 0;
    for (const [key, value] of Object.entries(values)) {
      if (!isMetricKey(key)) throw new RangeError(`metrics: ${key} is not in METRICS.md; add it to METRIC_KEYS with its formula`);
      if (Number.isFinite(value)) finite[key] = value;
      else nanCount++;
      line[key] = Number.isFinite(value) ? value : null;
    }
    if (nanCount > 0) {
      line.nan_count = nanCount;
      finite.nan_count = nanCount;
      const broken = Object.keys(values).filter((key) => line[key] === null);
      this.#warnOnce(`${phase}/nan`, `${phase} step ${step}: ${broken.join(', ')} is not a finite number`);
    }
    this.#lastStep.set(phase, step);
    this.#append(this.#path, `${JSON.stringify(line)}\n`);
    this.#appendEvents(phase, step, finite);
    for (const rule of rules) {
      const value = finite[rule.key];
      if (value !== undefined && rule.bad(value)) {
        this.#warnOnce(`${phase}/${rule.key}`, `${phase} step ${step}: ${rule.key} is ${Number(value.toPrecision(3))}: ${rule.says}`);
      }
    }
  }

  #phaseIndex(phase: string): number {
    const index = this.#phases.indexOf(phase);
    if (index < 0) throw new RangeError(`metrics: unknown phase ${phase}; expected one of ${this.#phases.join(', ')}`);
    return index;
  }

  #warnOnce(id: string, message: string): void {
    if (this.#warned.has(id)) return;
    this.#warned.add(id);
    this.#onWarning(message);
  }

  #append(path: string, content: string | Uint8Array): void {
    try {
      appendFileSync(path, content);
    } catch (error) {
      throw asStorageError(error, path);
    }
  }

  #eventFile(phase: string): string | null {
    const folder = join(this.#tensorboard, phase);
    const name = existsSync(folder) ? readdirSync(folder).find((file) => file.startsWith('events.out.tfevents.')) : undefined;
    return name === undefined ? null : join(folder, name);
  }

  #appendEvents(phase: string, step: number, scalars: Readonly<Record<string, number>>): void {
    const now = Date.now() / 1000;
    let path = this.#eventFile(phase);
    if (path === null) {
      mkdirSync(join(this.#tensorboard, phase), { recursive: true });
      path = join(this.#tensorboard, phase, `events.out.tfevents.${Math.floor(now)}.eagrl`);
      this.#append(path, fileVersionRecord(now));
    }
    this.#append(path, scalarsRecord(now, step, scalars));
  }

  /** Drops every record after (phase, step), whole lines only: a line torn by a kill has no newline. */
  #cutAfter(phaseIndex: number, step: number): void {
    const lines = existsSync(this.#path) ? readFileSync(this.#path, 'utf8').split('\n').slice(0, -1) : [];
    const kept = lines.filter((line) => {
      const record = JSON.parse(line) as MetricRecord;
      const index = this.#phaseIndex(record.phase);
      return index < phaseIndex || (index === phaseIndex && record.step <= step);
    });
    for (const line of kept) {
      const record = JSON.parse(line) as MetricRecord;
      this.#lastStep.set(record.phase, record.step);
    }
    writeFileAtomic(this.#path, kept.map((line) => `${line}\n`).join(''));
    for (const [index, phase] of this.#phases.entries()) {
      if (index > phaseIndex) rmSync(join(this.#tensorboard, phase), { recursive: true, force: true });
      const path = this.#eventFile(phase);
      if (path === null) continue;
      const length = lengthUpToStep(readFileSync(path), index === phaseIndex ? step : Number.POSITIVE_INFINITY);
      // Shorter than a version record: killed while the file was made.
      if (length === 0) rmSync(path);
      else truncateSync(path, length);
    }
  }
}

/** Whole records of a metrics.jsonl, in order. */
export function readMetrics(path: string): MetricRecord[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as MetricRecord);
}
