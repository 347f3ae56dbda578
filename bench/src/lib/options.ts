/** Flags of `npm run bench`. */
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { PEERS, type PeerName } from '../peers/names.ts';
import { BENCH_DEVICES, type BenchDevice } from './provider.ts';

export type Extent = 'quick' | 'normal' | 'full';

export interface Options {
  /** Rows whose name has one of these in it: texts with commas between them. */
  readonly filter: string;
  readonly devices: readonly BenchDevice[];
  readonly extent: Extent;
  readonly peers: readonly PeerName[];
  readonly receipt: boolean;
  /** Receipt of an earlier run. */
  readonly compare: string | undefined;
  /** Where the HTML report goes. */
  readonly html: string | undefined;
  /** What a receipt says where there is no checkout to ask. */
  readonly commit: string | undefined;
  /** Seconds to measure kernel variants for; undefined: an ordinary run. */
  readonly tune: number | undefined;
  /** Minutes after which no case is begun; undefined: all are. */
  readonly minutes: number | undefined;
  readonly help: boolean;
}

export class UsageError extends Error {}

export const USAGE = `npm run bench -- [flags]      times every kernel, after checking its result

  --filter LIST     rows whose name has one of LIST in it, in its order: softmax, matmul/nt,attention, /wasm-1
  --device LIST     of ${BENCH_DEVICES.join(', ')}; default wasm,webgpu-software
  --quick           short samples, small shapes: under two minutes
  --full            long samples, shapes of real models, whole steps, every thread count, all peers
  --peers LIST      of ${PEERS.join(', ')}; all; none; default none, with --full all.
                    'npm run bench:peers' installs them
  --receipt         write the receipt to bench/results/<date>-<commit>.jsonl; --full does so by itself
  --html FILE       write a report with plots
  --compare FILE    a receipt: faster, same or slower than it beyond the noise
  --commit HASH     what the receipt says in a copy that is no checkout
  --tune SECONDS    instead of a run: measure the variants of the shapes on the WebGPU device, save the choice for loadTuning
  --minutes N       begin nothing new after N minutes: what was measured until then is the result
  --help            this text

The last line on stdout is the result as JSON. Exit code 1: a result of ours was wrong; 2: wrong flags, no such device, peers not
installed; 3: --compare found something slower or missing. Ctrl-C or SIGTERM leaves the case under way and ends the run with what
was measured, and exit code 130 or 143; a second one ends it at once.`;

const FLAGS = {
  filter: { type: 'string' },
  device: { type: 'string' },
  quick: { type: 'boolean' },
  full: { type: 'boolean' },
  peers: { type: 'string' },
  receipt: { type: 'boolean' },
  html: { type: 'string' },
  compare: { type: 'string' },
  commit: { type: 'string' },
  tune: { type: 'string' },
  minutes: { type: 'string' },
  help: { type: 'boolean' },
} as const;

/** Flags whose value is a file. */
const FILES: ReadonlySet<string> = new Set(['--html', '--compare']);

/** The command as a receipt and a report give it to others: files by their names, without the folders of this machine. */
export function commandOf(argv: readonly string[]): string {
  const named = argv.map((arg, i) => {
    const [, flag, value] = /^(--\w+)=(.*)$/s.exec(arg) ?? [arg, argv[i - 1], arg];
    return FILES.has(flag) ? `${arg.slice(0, arg.length - value.length)}${basename(value)}` : arg;
  });
  return ['npm run bench --', ...named].join(' ');
}

/** @throws UsageError for an unknown flag, a missing value, an unknown device or peer. */
export function parseOptions(argv: readonly string[]): Options {
  const flag = argv.find((a) => a.startsWith('-') && !(a.slice(2).split('=')[0] in FLAGS && a.startsWith('--')));
  if (flag) {
    const known = Object.keys(FLAGS).map((f) => `--${f}`);
    throw new UsageError(`unknown flag '${flag}'; flags are ${known.join(', ')}`);
  }
  const { filter = '', device = 'wasm,webgpu-software', quick = false, full = false, ...rest } = parsed(argv);
  if (quick && full) throw new UsageError('--quick and --full: one of them');
  return {
    filter,
    devices: parseDevices(device),
    extent: quick ? 'quick' : full ? 'full' : 'normal',
    peers: parsePeers(rest.peers ?? (full ? 'all' : 'none')),
    // So long a run is not to be lost for want of a flag.
    receipt: rest.receipt ?? full,
    compare: rest.compare,
    html: rest.html,
    commit: rest.commit,
    tune: rest.tune === undefined ? undefined : parseAmount('--tune', rest.tune, 'seconds'),
    minutes: rest.minutes === undefined ? undefined : parseAmount('--minutes', rest.minutes, 'minutes'),
    help: rest.help ?? false,
  };
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: FLAGS, allowPositionals: false }).values;
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}

function parseAmount(flag: string, text: string, unit: string): number {
  const amount = Number(text);
  if (!(amount > 0 && amount < Number.POSITIVE_INFINITY)) throw new UsageError(`${flag} ${text}: expected ${unit}, more than 0`);
  return amount;
}

function parseDevices(list: string): BenchDevice[] {
  const devices = list.split(',').map((name) => {
    const device = BENCH_DEVICES.find((d) => d === name);
    if (!device) throw new UsageError(`--device: '${name}' is none of ${BENCH_DEVICES.join(', ')}`);
    return device;
  });
  if (devices.filter((d) => d.startsWith('webgpu')).length > 1 || new Set(devices).size < devices.length) {
    throw new UsageError(`--device ${list}: at most one of webgpu and webgpu-software, and each name once`);
  }
  return devices;
}

function parsePeers(list: string): PeerName[] {
  if (list === 'none') return [];
  if (list === 'all') return [...PEERS];
  return list.split(',').map((name) => {
    const peer = PEERS.find((p) => p === name);
    if (!peer) throw new UsageError(`--peers: '${name}' is none of ${PEERS.join(', ')}, all, none`);
    return peer;
  });
}
