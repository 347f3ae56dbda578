/**
 * onnxruntime, in both its builds. On WebGPU onnxruntime-web keeps inputs and outputs on the device; onnxruntime-node's binding cannot,
 * so each of its launches uploads and reads back, and its row says so in the adapter's name.
 */
import { useSoftwareAdapter } from '@eagrl/runtime/node';
import type { Job, Opened, OpenOptions, Peer, Placed } from './job.ts';
import { type Graph, graphOf } from './onnx.ts';
import { folderOf, join, pathToFileURL, peerImport, peerRequire, provideWebgpu, versionOf } from './packages.ts';

interface OrtTensor {
  readonly data: Float32Array;
  getData(): Promise<Float32Array>;
  dispose(): void;
}
interface Session {
  run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}
interface Ort {
  readonly Tensor: {
    new (type: 'float32', data: Float32Array, shape: readonly number[]): OrtTensor;
    fromGpuBuffer(buffer: GPUBuffer, options: { dataType: 'float32'; dims: readonly number[] }): OrtTensor;
  };
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<Session> };
  readonly env: {
    logLevel: string;
    readonly wasm: { numThreads: number; wasmPaths: string | object; proxy: boolean };
    readonly webgpu: { readonly device: Promise<GPUDevice> | GPUDevice };
  };
}

function ort(library: 'onnxruntime-web' | 'onnxruntime-node'): Peer {
  let runtime: Ort;
  let options: OpenOptions;

  const open = async (asked: OpenOptions): Promise<Opened> => {
    options = asked;
    const { kind, threads, software } = asked;
    const version = versionOf(library);
    if (library === 'onnxruntime-node') {
      // Its own Dawn reads the driver list that this sets.
      if (kind === 'webgpu' && software) await useSoftwareAdapter();
      runtime = peerRequire(library) as Ort;
      await smoke();
      return {
        version,
        adapter:
          kind === 'webgpu' ? `${software ? 'SwiftShader' : 'system'} by its own Dawn, with upload and read-back` : 'native CPU (MLAS)',
      };
    }
    const adapter = kind === 'webgpu' ? await provideWebgpu(software) : 'WebAssembly SIMD (MLAS)';
    runtime = await peerImport<Ort>(library, kind === 'webgpu' ? 'dist/ort.webgpu.min.mjs' : 'dist/ort.node.min.mjs');
    runtime.env.wasm.numThreads = threads;
    runtime.env.wasm.wasmPaths = pathToFileURL(join(folderOf(library), 'dist/')).href;
    await smoke();
    return { version, adapter };
  };

  const create = (graph: Graph): Promise<Session> => {
    const { kind, threads } = options;
    return runtime.InferenceSession.create(graph.model, {
      executionProviders: [kind],
      graphOptimizationLevel: 'all',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      logSeverityLevel: 3,
      ...(kind === 'webgpu' && library === 'onnxruntime-web' ? { preferredOutputLocation: 'gpu-buffer' } : {}),
    });
  };

  /** Opening a session is what loads the library's binary; better here, where a failure is reported as one to load. */
  const smoke = async (): Promise<void> => {
    const graph = graphOf({ entry: 'softmax_fwd', params: { rows: 1, cols: 4 }, inputs: { x: Float32Array.of(0, 0, 0, 0) } });
    if (graph) await (await create(graph)).release();
  };

  const place = async (job: Job): Promise<Placed | undefined> => {
    const graph = graphOf(job);
    if (!graph) return undefined;
    const session = await create(graph);
    return options.kind === 'webgpu' && library === 'onnxruntime-web'
      ? onDevice(runtime, session, graph, await runtime.env.webgpu.device)
      : onHost(runtime, session, graph);
  };

  return { open, place };
}

function onHost({ Tensor }: Ort, session: Session, { feeds, layout }: Graph): Placed {
  const inputs = Object.fromEntries(Object.entries(feeds).map(([name, f]) => [name, new Tensor('float32', f.data, f.shape)]));
  let last: OrtTensor | undefined;
  return {
    async run() {
      last = (await session.run(inputs)).y;
    },
    async sync() {},
    async output() {
      if (!last) throw new Error('output before run');
      return layout(last.data.slice());
    },
    free: () => session.release(),
  };
}

function onDevice({ Tensor }: Ort, session: Session, { feeds, shape, layout }: Graph, device: GPUDevice): Placed {
  const buffers: GPUBuffer[] = [];
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
  /** onnxruntime binds whole multiples of 16 bytes. */
  const tensor = (elements: number, dims: readonly number[], data?: Float32Array) => {
    const buffer = device.createBuffer({ size: Math.ceil((elements * 4) / 16) * 16, usage });
    if (data) device.queue.writeBuffer(buffer, 0, data as Float32Array<ArrayBuffer>);
    buffers.push(buffer);
    return Tensor.fromGpuBuffer(buffer, { dataType: 'float32', dims });
  };
  const inputs = Object.fromEntries(Object.entries(feeds).map(([name, f]) => [name, tensor(f.data.length, f.shape, f.data)]));
  let last: OrtTensor | undefined;
  return {
    async run() {
      last?.dispose();
      last = (await session.run(inputs)).y;
    },
    sync: () => device.queue.onSubmittedWorkDone(),
    async output() {
      if (!last) throw new Error('output before run');
      return layout(
        (await last.getData()).slice(
          0,
          shape.reduce((a, b) => a * b),
        ),
      );
    },
    async free() {
      last?.dispose();
      await session.release();
      for (const b of buffers) b.destroy();
    },
  };
}

export const web = ort('onnxruntime-web');
export const node = ort('onnxruntime-node');
