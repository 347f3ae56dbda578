/** ONNX graphs of the jobs, for both builds of onnxruntime. Attention is composed; RMSNorm is onnxruntime's SimplifiedLayerNormalization. */
import { type AttentionShape, type Job, plainAttention, tokensFirst } from './job.ts';
import { peerRequire } from './packages.ts';

interface Feed {
  readonly data: Float32Array;
  readonly shape: readonly number[];
}

export interface Graph {
  /** Serialised ModelProto. */
  readonly model: Uint8Array;
  readonly feeds: Readonly<Record<string, Feed>>;
  /** The output `y`. */
  readonly shape: readonly number[];
  readonly layout: (y: Float32Array) => Float32Array;
}

interface Node {
  readonly opType: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute?: readonly object[];
}

interface OnnxProto {
  readonly onnx: { readonly ModelProto: { encode(model: object): { finish(): Uint8Array } } };
}

// Numbers of onnx.proto: TensorProto.DataType.FLOAT, AttributeProto.AttributeType.
const FLOAT = 1;
const ATTRIBUTE_FLOAT = 1;
const ATTRIBUTE_INT = 2;
/** IR version 8 with opset 17: what onnxruntime has read since 1.12. */
const IR_VERSION = 8;
const OPSET = 17;

const int = (name: string, i: number) => ({ name, i, type: ATTRIBUTE_INT });
const float = (name: string, f: number) => ({ name, f, type: ATTRIBUTE_FLOAT });
const node = (opType: string, input: string, output: string, ...attribute: object[]): Node => ({
  opType,
  input: input.split(' '),
  output: [output],
  attribute,
});

function value(name: string, shape: readonly number[]): object {
  return { name, type: { tensorType: { elemType: FLOAT, shape: { dim: shape.map((dimValue) => ({ dimValue })) } } } };
}

function graph(
  nodes: readonly Node[],
  feeds: Readonly<Record<string, Feed>>,
  shape: readonly number[],
  layout = (y: Float32Array) => y,
): Graph {
  const { onnx } = peerRequire('onnx-proto') as OnnxProto;
  const model = onnx.ModelProto.encode({
    irVersion: IR_VERSION,
    producerName: 'eagrl-bench',
    opsetImport: [{ domain: '', version: OPSET }],
    graph: {
      name: 'job',
      node: nodes,
      input: Object.entries(feeds).map(([name, feed]) => value(name, feed.shape)),
      output: [value('y', shape)],
    },
  });
  return { model: model.finish(), feeds, shape, layout };
}

function attention(job: Job): Graph {
  const plain = plainAttention(job);
  const { tokens, heads, headDim, scale }: AttentionShape = plain;
  return graph(
    [
      node('MatMul', 'q kt', 'raw'),
      node('Mul', 'raw scale', 'scaled'),
      node('Add', 'scaled mask', 'masked'),
      node('Softmax', 'masked', 'p', int('axis', -1)),
      node('MatMul', 'p v', 'y'),
    ],
    {
      q: { data: plain.q, shape: [heads, tokens, headDim] },
      kt: { data: plain.kt, shape: [heads, headDim, tokens] },
      v: { data: plain.v, shape: [heads, tokens, headDim] },
      mask: { data: plain.mask, shape: [1, tokens, tokens] },
      scale: { data: Float32Array.of(scale), shape: [1] },
    },
    [heads, tokens, headDim],
    (o) => tokensFirst(o, plain),
  );
}

/** Undefined where ONNX has no such operation. */
export function graphOf(job: Job): Graph | undefined {
  const { entry, params: p, inputs } = job;
  const feed = (name: string, ...shape: number[]): Feed => ({ data: inputs[name] as Float32Array, shape });
  switch (entry) {
    case 'matmul_nn':
      return graph([node('MatMul', 'a b', 'y')], { a: feed('a', p.m, p.k), b: feed('b', p.k, p.n) }, [p.m, p.n]);
    case 'matmul_nt':
      return graph([node('Gemm', 'a b', 'y', int('transB', 1))], { a: feed('a', p.m, p.k), b: feed('b', p.n, p.k) }, [p.m, p.n]);
    case 'matmul_tn':
      return graph([node('Gemm', 'a b', 'y', int('transA', 1))], { a: feed('a', p.k, p.m), b: feed('b', p.k, p.n) }, [p.m, p.n]);
    case 'softmax_fwd':
      return graph([node('Softmax', 'x', 'y', int('axis', -1))], { x: feed('x', p.rows, p.cols) }, [p.rows, p.cols]);
    case 'rmsnorm_fwd':
      return graph(
        [node('SimplifiedLayerNormalization', 'x weight', 'y', int('axis', -1), float('epsilon', p.eps))],
        { x: feed('x', p.rows, p.cols), weight: feed('weight', p.cols) },
        [p.rows, p.cols],
      );
    case 'attention_fwd':
      return attention(job);
    default:
      return undefined;
  }
}
