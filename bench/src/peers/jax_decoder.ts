/**
 * The tiny decoder of workloads/decoder.ts in jax-js: forward, backward and Adam compiled into one function by jit, the loss read back
 * after each step. Tokens enter as one-hot rows, which is the fastest way that jax-js has to look up so few words and to take the gradient.
 */
import type { Jax, JaxArray } from './jax_js.ts';
import type { Job, Placed } from './job.ts';

type Constants = Record<'ids' | 'targets' | 'cos' | 'sin' | 'mask', JaxArray>;
type Scalars = Record<'lr' | 'unbias1' | 'unbias2', JaxArray>;

/** Weights of a layer, and what stands before and after the layers, in the order of the checkpoint. */
const PER_LAYER = 9;

export function decoderStep(jax: Jax, { params: p, inputs }: Job): Placed {
  const { numpy: np, nn, tree } = jax;
  const { batch, tokens, hidden, heads, vocab, layers } = p;
  const headDim = hidden / heads;
  const half = headDim / 2;
  const names = Object.keys(inputs).filter((name) => inputs[name] instanceof Float32Array);
  const of = (values: Float32Array, ...shape: number[]) => np.array(values).reshape(shape);
  const shapeOf = (name: string) => {
    const { length } = inputs[name];
    if (name.includes('norm')) return [length];
    return name.includes('down_proj') ? [hidden, length / hidden] : [length / hidden, hidden];
  };
  const oneHot = (ids: ArrayLike<number>) => {
    const rows = new Float32Array(ids.length * vocab);
    for (let i = 0; i < ids.length; i++) rows[i * vocab + ids[i]] = 1;
    return of(rows, ids.length, vocab);
  };
  const turns = (f: (x: number) => number) =>
    of(
      Float32Array.from({ length: tokens * half }, (_, i) => f(Math.floor(i / half) * p.rope_base ** (-(i % half) / half))),
      1,
      tokens,
      1,
      half,
    );
  const constants: Constants = {
    ids: oneHot(inputs.ids),
    targets: oneHot(inputs.targets),
    cos: turns(Math.cos),
    sin: turns(Math.sin),
    mask: of(
      Float32Array.from({ length: tokens * tokens }, (_, i) => (i % tokens > Math.floor(i / tokens) ? -1e9 : 0)),
      tokens,
      tokens,
    ),
  };

  const linear = (x: JaxArray, weight: JaxArray) => np.matmul(x, np.transpose(weight));
  const norm = (x: JaxArray, weight: JaxArray) => {
    const square = np.mean(x.ref.mul(x.ref), -1, { keepdims: true });
    return x.mul(np.reciprocal(np.sqrt(square.add(p.norm_eps)))).mul(weight);
  };
  const split = (x: JaxArray) => x.reshape([batch, tokens, heads, headDim]);
  const rope = (x: JaxArray, { cos, sin }: Constants) => {
    const [a, b] = np.split(x, 2, -1);
    const low = a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref));
    return np.concatenate([low, b.mul(cos.ref).add(a.mul(sin.ref))], -1);
  };
  const loss = (weights: readonly JaxArray[], c: Constants): JaxArray => {
    const [embedding] = weights;
    let x = np.matmul(c.ids, embedding.ref);
    for (let l = 0; l < layers; l++) {
      const from = 1 + l * PER_LAYER;
      const [norm1, wq, wk, wv, wo, norm2, gate, up, down] = weights.slice(from, from + PER_LAYER);
      const h = norm(x.ref, norm1);
      const q = np.transpose(rope(split(linear(h.ref, wq)), c), [0, 2, 1, 3]);
      const kt = np.transpose(rope(split(linear(h.ref, wk)), c), [0, 2, 3, 1]);
      const v = np.transpose(split(linear(h, wv)), [0, 2, 1, 3]);
      const weight = nn.softmax(
        np
          .matmul(q, kt)
          .mul(1 / Math.sqrt(headDim))
          .add(c.mask.ref),
        -1,
      );
      const o = np.transpose(np.matmul(weight, v), [0, 2, 1, 3]).reshape([batch * tokens, hidden]);
      x = x.add(linear(o, wo));
      const g = norm(x.ref, norm2);
      x = x.add(linear(nn.silu(linear(g.ref, gate)).mul(linear(g, up)), down));
    }
    const logits = linear(norm(x, weights[1 + layers * PER_LAYER]), embedding);
    return np.sum(nn.logSoftmax(logits, -1).mul(c.targets)).mul(-1 / (batch * tokens));
  };
  type State = [loss: JaxArray, weights: JaxArray[], m: JaxArray[], v: JaxArray[]];
  const step = jax.jit((weights: JaxArray[], m: JaxArray[], v: JaxArray[], c: Constants, s: Scalars): State => {
    const [value, grads] = jax.valueAndGrad(loss)(tree.ref(weights), c);
    const next: State = [value, [], [], []];
    weights.forEach((w, i) => {
      const g = grads[i];
      const m1 = m[i].mul(p.beta1).add(g.ref.mul(1 - p.beta1));
      const v1 = v[i].mul(p.beta2).add(g.ref.mul(g).mul(1 - p.beta2));
      next[2].push(m1.ref);
      next[3].push(v1.ref);
      const root = np.sqrt(v1.mul(s.unbias2.ref)).add(p.eps);
      next[1].push(w.sub(m1.mul(s.unbias1.ref).mul(s.lr.ref).mul(np.reciprocal(root))));
    });
    return next;
  });

  let weights = names.map((name) => of(inputs[name] as Float32Array, ...shapeOf(name)));
  const zeros = () => names.map((name) => of(new Float32Array(inputs[name].length), ...shapeOf(name)));
  let [m, v] = [zeros(), zeros()];
  const losses: number[] = [];
  let count = 0;
  const run = async () => {
    count++;
    const scalars: Scalars = {
      lr: np.array(count <= p.steps ? p.lr : 0),
      unbias1: np.array(1 / (1 - p.beta1 ** count)),
      unbias2: np.array(1 / (1 - p.beta2 ** count)),
    };
    let value: JaxArray;
    [value, weights, m, v] = step(weights, m, v, tree.ref(constants), scalars);
    const [read] = await value.data();
    if (losses.length < p.steps) losses.push(read);
  };
  return {
    run,
    async sync() {
      await jax.blockUntilReady(weights);
    },
    async output() {
      while (losses.length < p.steps) await run();
      return Float32Array.from(losses);
    },
    free() {
      for (const held of [weights, m, v, constants]) tree.dispose(held);
    },
  };
}
