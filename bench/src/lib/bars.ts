/** The bars of the project, each a ratio of two figures of one run on one machine. A bar whose rows are not in the run is left out. */
import { copyLike, fmaCases } from '../floor/floor.ts';
import { type BenchCase, passOf, titleOf } from './case.ts';
import type { Provider } from './provider.ts';
import type { Row } from './report.ts';

export interface Bar {
  readonly name: string;
  readonly ratio: number;
  readonly bar: number;
  /** `>=`: the ratio must reach the bar; `<=`: it may not exceed it. */
  readonly rule: '>=' | '<=';
  readonly pass: boolean;
}

export interface Evidence {
  readonly rows: readonly Row[];
  readonly counts: readonly StepCounts[];
}

/** Of one warm training step on a WebGPU device. */
export interface StepCounts {
  readonly name: string;
  readonly submits: number;
  readonly buffersCreated: number;
  /** On a GPU: what share of the step's time the host needs to queue it. */
  readonly hostShare?: number;
}

const make = (name: string, ratio: number, rule: Bar['rule'], bar: number): Bar => ({
  name,
  ratio: Number(ratio.toPrecision(4)),
  rule,
  bar,
  pass: rule === '>=' ? ratio >= bar : ratio <= bar,
});

const SQUARE = '512x512x512';
const SWIFTSHADER = /swiftshader/i;
const LAVAPIPE = /llvmpipe|lavapipe/i;

const timed = (rows: readonly Row[], kernel: string, pass: string, shape: string) =>
  rows.filter((r) => r.kernel === kernel && r.pass === pass && r.shape === shape && r.median_ms !== null);

const time = (row: Row | undefined): number | undefined => row?.median_ms ?? undefined;

/** What a training step may cost the queue, by the workload's own counters. */
function stepBars({ counts }: Evidence): Bar[] {
  return counts.flatMap(({ name, submits, buffersCreated, hostShare }) => [
    make(`${name}: submits per step`, submits, '<=', 4),
    make(`${name}: buffers created after the second step`, buffersCreated, '<=', 0),
    ...(hostShare === undefined ? [] : [make(`${name}: encoding share of a step`, hostShare, '<=', 0.1)]),
  ]);
}

/** Of the rate that the row's probe had in the same rounds. */
const share = (name: string, { floor_ms, median_ms }: Row, bar: number): Bar[] =>
  floor_ms === null || median_ms === null ? [] : [make(name, floor_ms / median_ms, '>=', bar)];

/** Peers by the part of the provider's name before the backend. */
const isPeer = (r: Row, peer: string, backend: string) => r.provider.startsWith(`${peer}-${backend}`);

function matmulBars({ rows }: Evidence): Bar[] {
  const square = timed(rows, 'matmul', 'nn', SQUARE);
  const by = (provider: string) => square.find((r) => r.provider === provider);
  const bars: Bar[] = [];
  const against = (name: string, other: Row | undefined, ours: Row | undefined, bar: number) => {
    const [a, b] = [time(other), time(ours)];
    if (a !== undefined && b !== undefined) bars.push(make(name, a / b, '>=', bar));
  };
  const gpu = by('webgpu');
  const gpuPeers = square.filter((r) => r.backend === 'webgpu' && r.provider !== 'webgpu');
  if (gpu && SWIFTSHADER.test(gpu.adapter)) {
    against('matmul 512^3, SwiftShader: over jax-js', by('jax-js-webgpu'), gpu, 3);
    against('matmul 512^3, SwiftShader: over onnxruntime-node', by('ort-node-webgpu'), gpu, 6);
  }
  if (gpu && LAVAPIPE.test(gpu.adapter)) {
    const best = gpuPeers.reduce<Row | undefined>((a, r) => ((time(a) ?? Infinity) <= (time(r) ?? Infinity) ? a : r), undefined);
    against(`matmul 512^3, lavapipe: over the best peer (${best?.provider})`, best, gpu, 2);
  }
  const one = by('wasm-1') ?? square.find((r) => r.provider === 'wasm' && r.threads === 1);
  const two = by('wasm-2') ?? square.find((r) => r.provider === 'wasm' && r.threads === 2);
  for (const peer of ['tfjs', 'ort-web']) {
    const other = square.find((r) => isPeer(r, peer, 'wasm') && r.threads === 1);
    against(`matmul 512^3, WebAssembly on one thread: over ${peer}`, other, one, 1.6);
  }
  against('matmul 512^3, WebAssembly: two threads over one', one, two, 1.8);
  if (one) bars.push(...share('matmul 512^3, WebAssembly on one thread: share of the multiply-add rate', one, 0.85));
  return bars;
}

/** Losses of about 4 that agree in five digits differ by at most 5e-5. */
const FIVE_DIGITS = 1e-5;

/** A whole training step beside a peer's, from the same weights and tokens. */
function decoderBars({ rows }: Evidence): Bar[] {
  const steps = timed(rows, 'step', 'decoder', rows.find((r) => r.pass === 'decoder')?.shape ?? '');
  const by = (provider: string) => steps.find((r) => r.provider === provider);
  const gpu = by('webgpu');
  const pairs: [where: string, ours: Row | undefined, theirs: Row | undefined, bar: number][] = [
    ['WebAssembly on one thread', by('wasm-1') ?? steps.find((r) => r.provider === 'wasm' && r.threads === 1), by('jax-js-wasm-1'), 1.5],
    [
      gpu && SWIFTSHADER.test(gpu.adapter) ? 'SwiftShader' : gpu && LAVAPIPE.test(gpu.adapter) ? 'lavapipe' : 'WebGPU',
      gpu,
      by('jax-js-webgpu'),
      1,
    ],
  ];
  return pairs.flatMap(([where, ours, theirs, bar]) => {
    const [a, b] = [time(theirs), time(ours)];
    if (a === undefined || b === undefined) return [];
    const off = Math.max(ours?.rel_err ?? Number.NaN, theirs?.rel_err ?? Number.NaN);
    return [
      make(`tiny decoder step, ${where}: over jax-js`, a / b, '>=', bar),
      make(`tiny decoder step, ${where}: losses of both against f64`, off, '<=', FIVE_DIGITS),
    ];
  });
}

/** Below this a cache holds the case, and its time is mostly launch: 16 MiB. */
const LARGE_BYTES = 16 * 2 ** 20;

/** Kernels that only move memory. */
const MOVES_MEMORY = ['softmax/fwd', 'rmsnorm/fwd', 'adamw/adamw', 'cross_entropy/cross_entropy'];

const isSquare = (c: BenchCase) => titleOf(c) === `matmul/nn/f32/${SQUARE}`;
const movesMemory = (c: BenchCase) =>
  MOVES_MEMORY.includes(`${c.spec.name}/${passOf(c)}`) && c.spec.entries[c.entry].bytes(c.params) >= LARGE_BYTES;

/** Whether a bar is of how long the case takes. */
export const atStake = (c: BenchCase): boolean => isSquare(c) || movesMemory(c);

/**
 * What takes turns with a case because a bar is a share of its rate: copies of as much memory, or multiply-adds in registers. Several are forms of
 * the same, of which the faster counts; none: no such bar.
 */
export function probesOf(c: BenchCase, { peer, backend, threads }: Pick<Provider, 'peer' | 'backend' | 'threads'>): readonly BenchCase[] {
  if (peer) return [];
  if (isSquare(c)) return backend === 'wasm' && threads === 1 ? [fmaCases.plain] : [];
  if (!movesMemory(c)) return [];
  const { plain, wide } = copyLike(c);
  return backend === 'webgpu' ? [plain, wide] : [plain];
}

/** At the largest shape of the run. */
function bandwidthBars({ rows }: Evidence): Bar[] {
  const bytes = (r: Row) => (r.gbps ?? 0) * (r.median_ms ?? 0) * 1e6;
  return MOVES_MEMORY.flatMap((name) => {
    const own = rows.filter((r) => `${r.kernel}/${r.pass}` === name && r.floor_ms !== null);
    const providers = [...new Set(own.map((r) => r.provider))];
    return providers.flatMap((provider) => {
      const largest = own.filter((r) => r.provider === provider).reduce((a, r) => (bytes(r) > bytes(a) ? r : a));
      return share(`${largest.kernel} ${largest.shape}, ${provider}: share of the copy bandwidth`, largest, 0.8);
    });
  });
}

function attentionBars({ rows }: Evidence): Bar[] {
  const backward = rows.filter((r) => r.kernel === 'attention' && /^bwd_(dq|dkdv)$/.test(r.pass) && r.rel_err !== null);
  return [...new Set(backward.map((r) => r.provider))].map((provider) => {
    const errors = backward.filter((r) => r.provider === provider).map((r) => r.rel_err ?? Number.NaN);
    return make(`attention backward, ${provider}: relative RMS error`, Math.max(...errors), '<=', 2e-6);
  });
}

/** The largest product beside cuBLAS, f32 without tensor cores on both sides. */
function cublasBars({ rows }: Evidence): Bar[] {
  const large = timed(rows, 'matmul', 'nn', '4096x4096x4096');
  const [ours, theirs] = ['webgpu', 'torch-cuda'].map((provider) => large.find((r) => r.provider === provider));
  const [a, b] = [time(theirs), time(ours)];
  return ours && a !== undefined && b !== undefined ? [make(`matmul 4096^3, ${ours.adapter}: share of cuBLAS f32`, a / b, '>=', 0.7)] : [];
}

const GPT2_MEDIUM_MS = 190;

/** What torchlette says of a step of GPT-2-Medium on an A100. */
function largeStepBars({ rows }: Evidence): Bar[] {
  const steps = rows.filter((r) => r.pass === 'gpt2-medium' && r.provider === 'webgpu' && r.median_ms !== null);
  return steps.map(({ median_ms }) =>
    make('GPT-2-Medium shape, 512 tokens: milliseconds per step', median_ms ?? Number.NaN, '<=', GPT2_MEDIUM_MS),
  );
}

export const barsOf = (evidence: Evidence): Bar[] => [
  ...matmulBars(evidence),
  ...bandwidthBars(evidence),
  ...attentionBars(evidence),
  ...decoderBars(evidence),
  ...cublasBars(evidence),
  ...largeStepBars(evidence),
  ...stepBars(evidence),
];

export const barLine = ({ name, ratio, bar, rule, pass }: Bar): string =>
  `bar  ${name.padEnd(76)}${String(ratio).padStart(10)}  ${rule} ${bar < 1e-3 && bar > 0 ? bar.toExponential(0) : bar}  ${pass ? 'pass' : 'miss'}`;
