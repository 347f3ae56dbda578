/**
 * Plan. A residual as the product's epilogue: y and the gradients of x, aux, W, bias, A and B have the bits of add(aux, linear(x)), with and without
 * an adapter, where aux is used elsewhere too and where it is x itself, on wasm and webgpu. SwiGLU as an epilogue: the bits of swiglu, and refused
 * where a tape records. An aux of another shape is refused.
 */
import { Random } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { Context } from '../context.ts';
import type { DeviceName } from '../device.ts';
import { sharedDevices } from '../devices.fixture.ts';
import { ParamStore } from '../params.ts';
import { Tape } from '../tape.ts';
import type { Tensor } from '../tensor.ts';
import { add } from './add.ts';
import { linear } from './linear.ts';
import type { Epilogue } from './matmul.ts';
import { swiglu } from './swiglu.ts';

const device = sharedDevices(1);

const [ROWS, WIDTH, RANK] = [29, 44, 4];

async function setUp(name: DeviceName) {
  const ctx = new Context(await device(name));
  const random = new Random('linear');
  const store = new ParamStore(ctx, [
    { name: 'w', shape: [WIDTH, WIDTH], decay: true },
    { name: 'bias', shape: [WIDTH], decay: false },
    { name: 'a', shape: [RANK, WIDTH], decay: true },
    { name: 'b', shape: [WIDTH, RANK], decay: true },
  ]);
  for (const p of store.list) store.write(p.name, random.normals(p.value.slice.length, 0.3));
  store.enableGrad();
  const leaf = () => ctx.from(random.normals(ROWS * WIDTH), [ROWS, WIDTH]);
  const product = (x: Tensor, adapted: boolean, epilogue?: Epilogue) =>
    linear(ctx, x, store.get('w'), store.get('bias'), adapted ? { a: store.get('a'), b: store.get('b'), scale: 0.7 } : undefined, epilogue);
  return { ctx, store, x: leaf(), aux: leaf(), seed: random.normals(ROWS * WIDTH), product };
}

type Residual = (x: Tensor, aux: Tensor) => Tensor;
/** Where the residual comes from, and who else uses it. */
const graphs: Record<string, (ctx: Context, residual: Residual, x: Tensor, aux: Tensor) => Tensor> = {
  'a leaf': (_, residual, x, aux) => residual(x, aux),
  'x itself': (_, residual, x) => residual(x, x),
  'used before': (ctx, residual, x, aux) => residual(swiglu(ctx, aux, x), aux),
  'used afterwards': (ctx, residual, x, aux) => swiglu(ctx, aux, residual(x, aux)),
  'two in a row': (ctx, residual, x, aux) => {
    const mid = residual(x, aux);
    return residual(swiglu(ctx, mid, x), mid);
  },
};

for (const name of ['wasm', 'webgpu-software'] as const) {
  for (const adapted of [false, true]) {
    test.each(Object.entries(graphs))(`linear ${name}${adapted ? ' LoRA' : ''} residual, %s: the bits of add`, async (title, graph) => {
      const { ctx, store, x, aux, seed, product } = await setUp(name);
      const run = async (residual: Residual) => {
        store.zeroGrad();
        const tape = new Tape(ctx);
        for (const t of [x, aux]) tape.watch(t);
        const y = graph(ctx, residual, x, aux);
        const values = ctx.read(y);
        tape.backward(y, ctx.from(seed, [ROWS, WIDTH]));
        const leaves = title === 'x itself' ? [x] : [x, aux];
        const grads = leaves.map((t) => tape.takeGrad(t));
        const read = await Promise.all(grads.map((g) => ctx.read(g)));
        for (const g of grads) ctx.free(g);
        return { values: await values, read, params: await store.readGrads() };
      };
      const apart = await run((from, to) => add(ctx, to, product(from, adapted)));
      const live = ctx.backend.stats.liveBytes;
      expect(await run((from, to) => product(from, adapted, { kind: 'residual', aux: to }))).toEqual(apart);
      expect(ctx.backend.stats.liveBytes).toBe(live);
      expect(apart.read.every((g) => g.some((v) => v !== 0))).toBe(true);
    });

    test(`linear ${name}${adapted ? ' LoRA' : ''} swiglu: the bits of swiglu`, async () => {
      const { ctx, x, aux, product } = await setUp(name);
      const apart = await ctx.read(swiglu(ctx, aux, product(x, adapted)));
      expect(await ctx.read(product(x, adapted, { kind: 'swiglu', aux }))).toEqual(apart);
    });
  }
}

test('linear refuses swiglu while a tape records, and an aux of another shape', async () => {
  const { ctx, x, aux, product } = await setUp('wasm');
  const tape = new Tape(ctx);
  expect(() => product(x, false, { kind: 'swiglu', aux })).toThrow("the 'swiglu' epilogue has no backward");
  tape.discard();
  const half = ctx.tensor([ROWS, WIDTH / 2]);
  expect(() => product(x, false, { kind: 'residual', aux: half })).toThrow(/linear: expected aux \(29, 44\) f32, got \(29, 22\)/);
});
