/**
 * jax-js, its functions compiled with jit. In Node its WebAssembly backend has one thread. Attention is composed: its own
 * dotProductAttention goes through einsum, which calls iterator helpers that Node has from version 22 on.
 */
import { decoderStep } from './jax_decoder.ts';
import { type Job, type Opened, type OpenOptions, type Peer, type Placed, plainAttention, tokensFirst } from './job.ts';
import { peerImport, provideWebgpu, versionOf } from './packages.ts';

/** Arrays move into the function that takes them; `ref` keeps one more use. */
export interface JaxArray {
  readonly ref: JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  mul(x: JaxArray | number): JaxArray;
  add(x: JaxArray | number): JaxArray;
  sub(x: JaxArray): JaxArray;
  data(): Promise<Float32Array>;
  blockUntilReady(): Promise<JaxArray>;
  dispose(): void;
}

/** What is used of the package. */
export interface Jax {
  init(...devices: string[]): Promise<string[]>;
  defaultDevice(device: string): string;
  jit<A extends unknown[], R>(f: (...args: A) => R): (...args: A) => R;
  valueAndGrad<A extends unknown[]>(f: (...args: A) => JaxArray): (...args: A) => [value: JaxArray, gradient: A[0]];
  blockUntilReady(x: unknown): Promise<unknown>;
  readonly tree: {
    /** One more use of every array in it. */
    ref<T>(tree: T): T;
    dispose(tree: unknown): void;
  };
  readonly numpy: {
    array(values: Float32Array | number): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    transpose(a: JaxArray, axes?: readonly number[]): JaxArray;
    split(a: JaxArray, parts: number, axis: number): JaxArray[];
    concatenate(parts: readonly JaxArray[], axis: number): JaxArray;
    sum(a: JaxArray): JaxArray;
    mean(a: JaxArray, axis: number, options: { keepdims: boolean }): JaxArray;
    sqrt(a: JaxArray): JaxArray;
    reciprocal(a: JaxArray): JaxArray;
  };
  readonly nn: {
    softmax(x: JaxArray, axis: number): JaxArray;
    logSoftmax(x: JaxArray, axis: number): JaxArray;
    silu(x: JaxArray): JaxArray;
  };
}

let jax: Jax;

async function open({ kind, software }: OpenOptions): Promise<Opened> {
  const adapter = kind === 'webgpu' ? await provideWebgpu(software) : 'WebAssembly SIMD (its own code generator)';
  jax = await peerImport<Jax>('@jax-js/jax', 'dist/index.js');
  const got = await jax.init(kind);
  if (!got.includes(kind)) throw new Error(`jax-js: device ${kind} did not start; it has ${got.join(', ') || 'none'}`);
  jax.defaultDevice(kind);
  return { version: versionOf('@jax-js/jax'), adapter };
}

async function place(job: Job): Promise<Placed | undefined> {
  const { entry, params: p, inputs } = job;
  const { numpy: np, nn } = jax;
  const array = (name: string, ...shape: number[]) => np.array(inputs[name] as Float32Array).reshape(shape);
  switch (entry) {
    case 'matmul_nn':
      return launching([array('a', p.m, p.k), array('b', p.k, p.n)], (a, b) => np.matmul(a, b));
    case 'matmul_nt':
      return launching([array('a', p.m, p.k), array('b', p.n, p.k)], (a, b) => np.matmul(a, np.transpose(b)));
    case 'matmul_tn':
      return launching([array('a', p.k, p.m), array('b', p.k, p.n)], (a, b) => np.matmul(np.transpose(a), b));
    case 'softmax_fwd':
      return launching([array('x', p.rows, p.cols)], (x) => nn.softmax(x, -1));
    case 'rmsnorm_fwd':
      return launching([array('x', p.rows, p.cols), array('weight', p.cols)], (x, weight) => {
        const square = np.mean(x.ref.mul(x.ref), -1, { keepdims: true });
        return x.mul(np.reciprocal(np.sqrt(square.add(p.eps)))).mul(weight);
      });
    case 'attention_fwd': {
      const plain = plainAttention(job);
      const { tokens, heads, headDim, scale } = plain;
      const of = (values: Float32Array, ...shape: number[]) => np.array(values).reshape(shape);
      const held = [
        of(plain.q, heads, tokens, headDim),
        of(plain.kt, heads, headDim, tokens),
        of(plain.v, heads, tokens, headDim),
        of(plain.mask, 1, tokens, tokens),
      ];
      const attend = (q: JaxArray, kt: JaxArray, v: JaxArray, mask: JaxArray) =>
        np.matmul(nn.softmax(np.matmul(q, kt).mul(scale).add(mask), -1), v);
      return launching(held, attend, (o) => tokensFirst(o, plain));
    }
    case 'decoder_step':
      return decoderStep(jax, job);
    default:
      return undefined;
  }
}

/** Every result is kept until it is computed: jax-js works when it must, and never on a result that is disposed of before. */
function launching(held: readonly JaxArray[], f: (...args: JaxArray[]) => JaxArray, layout = (y: Float32Array) => y): Placed {
  const compiled = jax.jit(f);
  let results: JaxArray[] = [];
  const drop = (from: number) => {
    for (const result of results.slice(0, from)) result.dispose();
    results = results.slice(from);
  };
  return {
    run() {
      results.push(compiled(...held.map((a) => a.ref)));
    },
    async sync() {
      await jax.blockUntilReady(results);
      drop(results.length - 1);
    },
    async output() {
      const last = results.at(-1);
      if (!last) throw new Error('output before run');
      return layout(await last.ref.data());
    },
    free() {
      drop(results.length);
      for (const a of held) a.dispose();
    },
  };
}

export const peer: Peer = { open, place };
