/** Flags of `npm run bench`. */
import { parseArgs } from 'node:util';
import { BENCH_DEVICES, type BenchDevice } from './providers.ts';

export interface Options {
  /** Rows whose name has this in it. */
  readonly filter: string;
  readonly devices: readonly BenchDevice[];
  readonly quick: boolean;
  readonly save: boolean;
  readonly help: boolean;
}

export class UsageError extends Error {}

export const USAGE = `npm run bench -- [flags]      times every kernel, after checking its result

  --filter TEXT     rows whose name has TEXT in it: softmax, matmul/nt, /wasm-1
  --device LIST     of ${BENCH_DEVICES.join(', ')}; default wasm,webgpu-software
  --quick           short samples, no large shapes: under two minutes
  --save            append the receipt to bench/results/<date>.jsonl
  --help            this text

The last line on stdout is the receipt as JSON. Exit code 1: a result was wrong; 2: wrong flags or no such device.`;

const FLAGS = {
  filter: { type: 'string', default: '' },
  device: { type: 'string', default: 'wasm,webgpu-software' },
  quick: { type: 'boolean', default: false },
  save: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** @throws UsageError for an unknown flag, a missing value, an unknown device. */
export function parseOptions(argv: readonly string[]): Options {
  const flag = argv.find((a) => a.startsWith('-') && !(a.slice(2).split('=')[0] in FLAGS && a.startsWith('--')));
  if (flag)
    throw new UsageError(
      `unknown flag '${flag}'; flags are ${Object.keys(FLAGS)
        .map((f) => `--${f}`)
        .join(', ')}`,
    );
  let values: { filter: string; device: string; quick: boolean; save: boolean; help: boolean };
  try {
    ({ values } = parseArgs({ args: [...argv], options: FLAGS, allowPositionals: false }));
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
  const devices = values.device.split(',');
  for (const d of devices) {
    if (!BENCH_DEVICES.includes(d as BenchDevice)) throw new UsageError(`--device: '${d}' is none of ${BENCH_DEVICES.join(', ')}`);
  }
  if (devices.filter((d) => d.startsWith('webgpu')).length > 1 || new Set(devices).size < devices.length) {
    throw new UsageError(`--device ${values.device}: at most one of webgpu and webgpu-software, and each name once`);
  }
  const { filter, quick, save, help } = values;
  return { filter, devices: devices as BenchDevice[], quick, save, help };
}
