/**
 * Plan: what metrics.jsonl and the TensorBoard events hold.
 *   lines; NaN; keys against METRICS.md both ways; steps; warnings once;
 *   resume: killed between and within lines, in a later phase; equals the unbroken file byte for byte
 *   events: decoded by an independent reader in this test, CRC-32C against RFC 3720's vectors
 */
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EVAL_SUFFIXES, isMetricKey, METRIC_KEYS } from './metric_keys.ts';
import { MetricsLogger, readMetrics } from './metrics_logger.ts';
import { crc32c } from './tensorboard.ts';

const phases = ['expert', 'sft', 'rl'];
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'eagrl-metrics-'));
});
afterEach(() => rmSync(folder, { recursive: true }));
const text = (): string => readFileSync(join(folder, 'metrics.jsonl'), 'utf8');

function events(phase: string): { step: number; scalars: Record<string, number>; version: string }[] {
  const dir = join(folder, 'tensorboard', phase);
  const file = readFileSync(join(dir, readdirSync(dir)[0]));
  const decoded = [];
  for (let offset = 0; offset < file.length; ) {
    const length = Number(file.readBigUInt64LE(offset));
    const data = file.subarray(offset + 12, offset + 12 + length);
    for (const [at, bytes] of [
      [offset + 8, file.subarray(offset, offset + 8)],
      [offset + 12 + length, data],
    ] as const) {
      const crc = crc32c(bytes);
      expect(file.readUInt32LE(at)).toBe(((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) % 2 ** 32);
    }
    decoded.push(message(data));
    offset += 16 + length;
  }
  return decoded.map((event) => ({
    step: Number(event[2]?.[0] ?? 0),
    version: event[3] ? Buffer.from(event[3][0] as Uint8Array).toString() : '',
    scalars: Object.fromEntries(
      (event[5] ? (message(event[5][0] as Uint8Array)[1] as Uint8Array[]) : []).map((value) => {
        const parts = message(value);
        return [Buffer.from(parts[1][0] as Uint8Array).toString(), parts[2][0] as number];
      }),
    ),
  }));
}

/** Protobuf wire format: field -> values (varint as bigint, float and double as number, delimited as bytes). */
function message(bytes: Uint8Array): Record<number, (bigint | number | Uint8Array)[]> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fields: Record<number, (bigint | number | Uint8Array)[]> = {};
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    let value: bigint | number | Uint8Array;
    if (tag % 8 === 0) value = varint();
    else if (tag % 8 === 1) [value, at] = [view.getFloat64(at, true), at + 8];
    else if (tag % 8 === 5) [value, at] = [view.getFloat32(at, true), at + 4];
    else {
      const length = Number(varint());
      [value, at] = [bytes.subarray(at, at + length), at + length];
    }
    fields[tag >> 3] = [...(fields[tag >> 3] ?? []), value];
  }
  return fields;
}

describe('MetricsLogger', () => {
  it('writes one line per record; NaN and infinity become null and are counted', () => {
    const warnings: string[] = [];
    const logger = new MetricsLogger({ folder, phases, onWarning: (message) => warnings.push(message) });
    logger.log('sft', 1, { loss: 2.5 });
    logger.log('rl', 1, { loss: Number.NaN, reward: -0.5, kl: Number.POSITIVE_INFINITY });
    expect(text()).toBe('{"phase":"sft","step":1,"loss":2.5}\n{"phase":"rl","step":1,"loss":null,"reward":-0.5,"kl":null,"nan_count":2}\n');
    expect(readMetrics(join(folder, 'metrics.jsonl'))[1].nan_count).toBe(2);
    expect(warnings).toEqual(['rl step 1: loss, kl is not a finite number']);
  });

  it('refuses keys METRICS.md does not list, unknown phases and steps that go back', () => {
    const logger = new MetricsLogger({ folder, phases });
    expect(() => logger.log('rl', 1, { rewrad: 1 })).toThrow('rewrad is not in METRICS.md');
    expect(() => logger.log('dpo', 1, {})).toThrow('unknown phase dpo');
    logger.log('rl', 2, { reward: 1 });
    expect(() => logger.log('rl', 1, { reward: 1 })).toThrow('steps only rise');
  });

  it('warns once per phase, with a cure', () => {
    const warnings: string[] = [];
    const logger = new MetricsLogger({ folder, phases, onWarning: (message) => warnings.push(message) });
    for (let step = 1; step <= 3; step++) {
      logger.log('rl', step, {
        frac_reward_zero_std: 0.9,
        entropy: 0.001,
        grad_norm: 11,
        'clip_ratio/region_mean': 0.4,
        'completions/clipped_ratio': 0.9,
      });
    }
    expect(warnings).toHaveLength(5);
    expect(warnings[4]).toBe('rl step 1: completions/clipped_ratio is 0.9: most completions are cut off; raise max_completion_length');
  });
});

describe('resume', () => {
  const run = (logger: MetricsLogger, from: readonly [string, number], to: readonly [string, number]): void => {
    for (const phase of phases) {
      for (let step = 1; step <= 4; step++) {
        const at = phases.indexOf(phase) * 10 + step;
        if (at > phases.indexOf(from[0]) * 10 + from[1] && at <= phases.indexOf(to[0]) * 10 + to[1]) {
          logger.log(phase, step, { loss: 1 / (at + 0.1) });
        }
      }
    }
  };
  it.each([
    ['between two lines', ['rl', 3], '', ['rl', 2]],
    ['within a line', ['rl', 3], '{"phase":"rl","st', ['rl', 2]],
    ['in a later phase than its checkpoint', ['rl', 1], '', ['sft', 3]],
    ['before the first step of a phase', ['sft', 4], '', ['rl', 0]],
    ['in its first phase', ['expert', 2], '', ['expert', 0]],
  ] as const)('killed %s: the files equal those of an unbroken run', (_title, killedAt, torn, resumeAt) => {
    run(new MetricsLogger({ folder, phases }), ['expert', 0], ['rl', 4]);
    const unbroken = text();
    const unbrokenEvents = phases.map(events);

    run(new MetricsLogger({ folder, phases }), ['expert', 0], killedAt);
    appendFileSync(join(folder, 'metrics.jsonl'), torn);
    const dir = join(folder, 'tensorboard', killedAt[0]);
    appendFileSync(join(dir, readdirSync(dir)[0]), Uint8Array.of(40, 0, 0)); // a torn event
    const logger = new MetricsLogger({ folder, phases, resumeAt: { phase: resumeAt[0], step: resumeAt[1] } });
    run(logger, resumeAt, ['rl', 4]);
    expect(text()).toBe(unbroken);
    expect(phases.map(events)).toEqual(unbrokenEvents);
  });
  it('begins anew without resumeAt', () => {
    new MetricsLogger({ folder, phases }).log('rl', 1, { loss: 1 });
    const fresh = new MetricsLogger({ folder, phases });
    expect(text()).toBe('');
    expect(existsSync(join(folder, 'tensorboard'))).toBe(false);
    fresh.log('rl', 1, { loss: 1 });
  });
});

describe('TensorBoard events', () => {
  it('decode to what was logged, as f32, steps beyond one varint byte', () => {
    const logger = new MetricsLogger({ folder, phases });
    logger.log('rl', 1, { reward: 0.1, 'rewards/attention/mean': 0.25, kl: Number.NaN });
    logger.log('rl', 70000, { reward: -3 });
    expect(events('rl')).toEqual([
      { step: 0, version: 'brain.Event:2', scalars: {} },
      { step: 1, version: '', scalars: { reward: Math.fround(0.1), 'rewards/attention/mean': 0.25, nan_count: 1 } },
      { step: 70000, version: '', scalars: { reward: -3 } },
    ]);
  });
  it('CRC-32C: RFC 3720 B.4 vectors', () => {
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(255))).toBe(0x62a8ab43);
    expect(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i))).toBe(0x46dd794e);
  });
});

describe('METRICS.md', () => {
  const document = readFileSync(new URL('../../METRICS.md', import.meta.url), 'utf8');
  const rows = [...document.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map(([, key, formula]) => [key, formula.replaceAll('\\|', '|')]);
  it('lists every key with its formula, and no other', () => {
    expect(Object.fromEntries(rows)).toEqual(METRIC_KEYS);
    expect(rows).toHaveLength(Object.keys(METRIC_KEYS).length);
  });
  it('names match whole keys only', () => {
    expect(isMetricKey('rewards/attention/mean')).toBe(true);
    for (const suffix of EVAL_SUFFIXES) expect(isMetricKey(`eval/tjh/mortality/auroc${suffix}`)).toBe(true);
    for (const key of ['rewards/a/b/mean', 'eval/tjh/auroc', 'loss_std', 'reward ', 'rewards//mean', 'toString']) {
      expect(isMetricKey(key), key).toBe(false);
    }
  });
});
