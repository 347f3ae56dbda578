/**
 * Plan. Context: what a scope frees and keeps, double frees. Tape: an activation used several times in each order of shared, given and
 * accumulated contributions has the sum as its gradient; unused branches cost nothing; everything is freed.
 */
import { assertClose, Random } from '@eagrl/testing';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ReferenceBackend } from './backend/reference.ts';
import { Context } from './context.ts';
import { add } from './ops/add.ts';
import { dropout } from './ops/dropout.ts';
import { gatherRows } from './ops/embedding.ts';
import { linear } from './ops/linear.ts';
import { rmsnorm } from './ops/rmsnorm.ts';
import { swiglu } from './ops/swiglu.ts';
import { ParamStore } from './params.ts';
import { Tape } from './tape.ts';
import type { Tensor } from './tensor.ts';

let backend: ReferenceBackend;
let ctx: Context;
beforeEach(() => {
  backend = new ReferenceBackend(0);
  ctx = new Context(backend);
});
afterEach(() => expect(ctx.tape).toBeUndefined());

test('scope frees what is not returned, also when it throws; a tensor is freed once', () => {
  const kept = ctx.scope(() => {
    ctx.tensor([4]);
    const inner = ctx.scope(() => ({ a: ctx.tensor([8]), b: [1] }));
    ctx.free(ctx.tensor([2]));
    return [ctx.tensor([16]), inner.a];
  });
  expect(backend.stats.liveBytes).toBe(4 * (16 + 8));
  expect(() =>
    ctx.scope(() => {
      ctx.tensor([4]);
      throw new Error('inside');
    }),
  ).toThrow('inside');
  expect(backend.stats.liveBytes).toBe(4 * (16 + 8));
  for (const t of kept) ctx.free(t);
  expect(() => ctx.free(kept[0])).toThrow(/freed before/);
  expect(backend.stats.liveBytes).toBe(0);
});

/** aux + W x + b, by one product. */
const residual = (x: Tensor, aux: Tensor, s: ParamStore): Tensor =>
  linear(ctx, x, s.get('w'), s.get('b'), undefined, { kind: 'residual', aux });

/** Graphs over one leaf x (3, 4): every way in which gradients meet. */
const graphs: Record<string, (x: Tensor, store: ParamStore) => Tensor> = {
  'x + x': (x) => add(ctx, x, x),
  'residual: x + W x': (x, s) => add(ctx, x, linear(ctx, x, s.get('w'))),
  'residual reversed: W x + x': (x, s) => add(ctx, linear(ctx, x, s.get('w')), x),
  'one input of two linears': (x, s) => swiglu(ctx, linear(ctx, x, s.get('w')), linear(ctx, x, s.get('w'), s.get('b'))),
  'swiglu of x and x': (x) => swiglu(ctx, x, x),
  'two residuals': (x, s) => {
    const mid = add(ctx, x, linear(ctx, x, s.get('w')));
    return add(ctx, mid, swiglu(ctx, mid, linear(ctx, mid, s.get('w'))));
  },
  'residual as an epilogue: x + W x': (x, s) => residual(x, x, s),
  'two residuals as epilogues': (x, s) => {
    const mid = residual(x, x, s);
    return residual(swiglu(ctx, mid, linear(ctx, mid, s.get('w'))), mid, s);
  },
  'a residual used before and after its epilogue': (x, s) => {
    const aux = linear(ctx, x, s.get('w'));
    return swiglu(ctx, residual(swiglu(ctx, aux, x), aux, s), aux);
  },
  'shared, then gathered': (x) => add(ctx, gatherRows(ctx, add(ctx, x, x), Uint32Array.of(2, 2, 0)), x),
  'a norm beside its input': (x, s) => add(ctx, x, rmsnorm(ctx, x, s.get('b'), 0.1)),
  'a norm inside a residual': (x, s) => {
    const mid = add(ctx, x, x);
    return residual(rmsnorm(ctx, mid, s.get('b'), 0.1), mid, s);
  },
  'an input with two dropouts': (x) => {
    const drop = (stream: number) => dropout(ctx, x, { rate: 0.5, seed: 1, stream });
    return swiglu(ctx, drop(1), drop(2));
  },
  'a branch without use': (x, s) => {
    linear(ctx, x, s.get('w'));
    return add(ctx, x, x);
  },
};

test.each(Object.entries(graphs))('tape: gradient of %s equals finite differences', (title, graph) => {
  const random = new Random(title);
  const store = new ParamStore(ctx, [
    { name: 'w', shape: [4, 4], decay: true },
    { name: 'b', shape: [4], decay: false },
  ]);
  for (const p of store.list) store.write(p.name, random.normals(p.value.slice.length));
  store.enableGrad();
  const x = ctx.from(random.normals(12), [3, 4]);
  const seed = random.normals(12);
  const start = backend.stats.liveBytes;
  const tape = new Tape(ctx);
  tape.watch(x);
  const y = graph(x, store);
  tape.backward(y, ctx.from(seed, [3, 4]));
  const dx = tape.takeGrad(x);
  const loss = () =>
    ctx.scope(() => {
      const values = backend.values(graph(x, store).slice);
      return values.reduce((s, v, i) => s + v * seed[i], 0);
    });
  for (const [values, grad, label] of [
    [backend.values(x.slice), backend.values(dx.slice), 'x'],
    ...store.list.map((p) => [backend.values(p.value.slice), backend.values((p.grad as Tensor).slice), p.name] as const),
  ] as const) {
    const slopes = values.map((v, i) => {
      const at = (h: number) => {
        values[i] = v + h;
        return loss();
      };
      const slope = (at(1e-5) - at(-1e-5)) / 2e-5;
      values[i] = v;
      return slope;
    });
    assertClose(grad, slopes, { rel: 1e-6, abs: 1e-7, label });
  }
  ctx.free(dx);
  expect(backend.stats.liveBytes).toBe(start);
});

test('tape: discard frees gradients handed over in forward and leaves watched leaves alone', () => {
  const x = ctx.from(new Float32Array(12), [3, 4]);
  const tape = new Tape(ctx);
  tape.watch(x);
  tape.give(x, ctx.tensor([3, 4]));
  add(ctx, x, x);
  tape.discard();
  expect(backend.stats.liveBytes).toBe(48);
});

test('tape: a root from elsewhere and a seed of another size are refused', () => {
  const x = ctx.from(new Float32Array(4), [4]);
  const tape = new Tape(ctx);
  expect(() => tape.backward(x, ctx.tensor([4]))).toThrow(/was not made by an op on this tape/);
  const second = new Tape(ctx);
  const y = add(ctx, x, x);
  expect(() => second.backward(y, ctx.tensor([5]))).toThrow(/seed \(5\) f32 for root \(4\) f32/);
  second.discard();
});
