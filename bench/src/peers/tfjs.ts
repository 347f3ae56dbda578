/** TensorFlow.js. In Node its WebAssembly backend has one thread. No RMSNorm and no attention of its own: composed of its operations. */
import { type Job, type Opened, type OpenOptions, type Peer, type Placed, plainAttention, tokensFirst } from './job.ts';
import { folderOf, peerRequire, provideWebgpu, versionOf } from './packages.ts';

interface Tensor {
  data(): Promise<Float32Array>;
  dispose(): void;
  square(): Tensor;
  mean(axis: number, keepDims: boolean): Tensor;
  add(x: number | Tensor): Tensor;
  mul(x: number | Tensor): Tensor;
  rsqrt(): Tensor;
}

interface Tf {
  setBackend(name: string): Promise<boolean>;
  getBackend(): string;
  ready(): Promise<void>;
  backend(): { readonly queue?: GPUQueue; endComputePassEncoder?(): void; submitQueue?(): void };
  tensor(values: Float32Array, shape: readonly number[]): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA?: boolean, transposeB?: boolean): Tensor;
  softmax(x: Tensor): Tensor;
  tidy(f: () => Tensor): Tensor;
  enableProdMode(): void;
}

let tf: Tf;

async function open({ kind, software }: OpenOptions): Promise<Opened> {
  let adapter = 'WebAssembly SIMD (XNNPACK)';
  if (kind === 'webgpu') adapter = await provideWebgpu(software);
  tf = peerRequire('@tensorflow/tfjs') as Tf;
  if (kind === 'wasm') {
    const { setWasmPaths } = peerRequire('@tensorflow/tfjs-backend-wasm') as { setWasmPaths(prefix: string): void };
    setWasmPaths(`${folderOf('@tensorflow/tfjs-backend-wasm')}/dist/`);
  } else {
    peerRequire('@tensorflow/tfjs-backend-webgpu');
  }
  tf.enableProdMode();
  const set = await tf.setBackend(kind);
  await tf.ready();
  if (!set || tf.getBackend() !== kind) throw new Error(`tfjs: backend ${kind} did not start; it is on ${tf.getBackend()}`);
  return { version: versionOf('@tensorflow/tfjs'), adapter };
}

async function place(job: Job): Promise<Placed | undefined> {
  const { params: p, inputs } = job;
  const tensor = (name: string, ...shape: number[]) => tf.tensor(inputs[name] as Float32Array, shape);
  switch (job.entry) {
    case 'matmul_nn':
    case 'matmul_nt':
    case 'matmul_tn': {
      const [ta, tb] = [job.entry === 'matmul_tn', job.entry === 'matmul_nt'];
      const a = ta ? tensor('a', p.k, p.m) : tensor('a', p.m, p.k);
      const b = tb ? tensor('b', p.n, p.k) : tensor('b', p.k, p.n);
      return launching([a, b], () => tf.matMul(a, b, ta, tb));
    }
    case 'softmax_fwd': {
      const x = tensor('x', p.rows, p.cols);
      return launching([x], () => tf.softmax(x));
    }
    case 'rmsnorm_fwd': {
      const [x, weight] = [tensor('x', p.rows, p.cols), tensor('weight', p.cols)];
      return launching([x, weight], () => tf.tidy(() => x.mul(x.square().mean(-1, true).add(p.eps).rsqrt()).mul(weight)));
    }
    case 'attention_fwd': {
      const plain = plainAttention(job);
      const { tokens, heads, headDim, scale } = plain;
      const q = tf.tensor(plain.q, [heads, tokens, headDim]);
      const kt = tf.tensor(plain.kt, [heads, headDim, tokens]);
      const v = tf.tensor(plain.v, [heads, tokens, headDim]);
      const mask = tf.tensor(plain.mask, [1, tokens, tokens]);
      const attend = () => tf.tidy(() => tf.matMul(tf.softmax(tf.matMul(q, kt).mul(scale).add(mask)), v));
      return launching([q, kt, v, mask], attend, (o) => tokensFirst(o, plain));
    }
    default:
      return undefined;
  }
}

function launching(held: readonly Tensor[], compute: () => Tensor, layout = (x: Float32Array) => x): Placed {
  let last: Tensor | undefined;
  return {
    run() {
      last?.dispose();
      last = compute();
    },
    async sync() {
      const backend = tf.backend();
      // Only the WebGPU backend queues; a pass still open makes its submit invalid.
      backend.endComputePassEncoder?.();
      backend.submitQueue?.();
      await backend.queue?.onSubmittedWorkDone();
    },
    async output() {
      if (!last) throw new Error('output before run');
      return layout(await last.data());
    },
    free() {
      last?.dispose();
      for (const t of held) t.dispose();
    },
  };
}

export const peer: Peer = { open, place };
