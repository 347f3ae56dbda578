/**
 * Reverse-mode differentiation with exact lifetimes. Each op records its outputs, what it saved and a backward closure.
 * Backward runs in reverse; once an op's closure has run, its outputs, their gradients and its saved tensors are freed.
 * Activation gradients: the first contribution is taken over, later ones are added in place, in tape order, so the result is
 * deterministic. Parameter gradients are not here: ops add them (`+=`) to the parameter's own gradient.
 * `checkpoint` trades memory for a second forward pass (Chen et al. 2016, arXiv 1604.06174).
 */
import { elementwise } from '@eagrl/kernels';
import type { Context } from './context.ts';
import { describe, sizeOf, type Tensor } from './tensor.ts';

interface Node {
  readonly outputs: readonly Tensor[];
  readonly saved: readonly Tensor[];
  readonly backward: () => void;
}

/** A gradient and how many activations use it as theirs: `y = a + b` gives dy to both without a copy. */
interface Gradient {
  readonly tensor: Tensor;
  users: number;
}

export class Tape {
  readonly #ctx: Context;
  #nodes: Node[] = [];
  #kept: Tensor[] = [];
  #tracked = new Set<Tensor>();
  #watched = new Set<Tensor>();
  #gradients = new Map<Tensor, Gradient>();

  /** Starts recording on `ctx`. @throws Error when a tape is recording already. */
  constructor(ctx: Context) {
    if (ctx.tape) throw new Error('tape: another tape is recording on this context; call its backward or discard first');
    this.#ctx = ctx;
    ctx.tape = this;
  }

  /**
   * Called by an op after its forward. The tape takes over `outputs` and `saved`. `backward` runs if any output has a gradient then.
   */
  record(outputs: readonly Tensor[], saved: readonly Tensor[], backward: () => void): void {
    for (const t of [...outputs, ...saved]) this.#ctx.persist(t);
    for (const t of outputs) this.#tracked.add(t);
    this.#nodes.push({ outputs, saved, backward });
  }

  /**
   * y = compute(), a function of the activation `x` and of parameters, as one op that keeps nothing but y: backward computes it again, on a
   * tape of its own, in the order of the first time, so gradients have the same bits. Whatever else `compute` draws on must still be there.
   */
  checkpoint(x: Tensor, compute: () => Tensor): Tensor {
    const ctx = this.#ctx;
    ctx.tape = undefined;
    const y = ctx.scope(compute);
    ctx.tape = this;
    this.record([y], [], () => {
      const inner = new Tape(ctx);
      inner.watch(x);
      const again = compute();
      inner.backward(again, this.#take(y));
      this.give(x, inner.takeGrad(x));
    });
    return y;
  }

  /** Takes over a tensor that several ops use: freed when the tape ends. */
  keep(t: Tensor): void {
    this.#kept.push(this.#ctx.persist(t));
  }

  /** Asks for the gradient of a leaf, to be had from `takeGrad` after backward. The leaf stays the caller's. */
  watch(t: Tensor): void {
    this.#tracked.add(t);
    this.#watched.add(t);
  }

  /** The gradient of a watched leaf; the caller frees it. */
  takeGrad(t: Tensor): Tensor {
    const g = this.#gradients.get(t);
    if (!g) throw new Error(`takeGrad: ${describe(t)} was not watched, or the root does not depend on it`);
    this.#gradients.delete(t);
    return g.tensor;
  }

  /** Whether a gradient for `t` is of use. */
  wants(t: Tensor): boolean {
    return this.#tracked.has(t);
  }

  /** Gradient of an output, inside its op's backward. @throws Error when nothing came. */
  grad(output: Tensor): Tensor {
    const g = this.#gradients.get(output);
    if (!g) throw new Error(`tape: no gradient for output ${describe(output)}`);
    return g.tensor;
  }

  /** Where an op with an `accumulate` param may put its gradient for `x`; undefined when nobody wants it. */
  gradInto(x: Tensor): { dx: Tensor; accumulate: 0 | 1 } | undefined {
    if (!this.wants(x)) return undefined;
    const g = this.#gradients.get(x);
    if (!g) {
      const dx = this.#fresh(x);
      this.#gradients.set(x, { tensor: dx, users: 1 });
      return { dx, accumulate: 0 };
    }
    if (g.users === 1) return { dx: g.tensor, accumulate: 1 };
    const dx = this.#fresh(x);
    this.#ctx.backend.copy(dx.slice, g.tensor.slice);
    g.users--;
    this.#gradients.set(x, { tensor: dx, users: 1 });
    return { dx, accumulate: 1 };
  }

  /** Hands a gradient of `x` over; the tape frees it. */
  give(x: Tensor, dx: Tensor): void {
    this.#ctx.persist(dx);
    if (!this.wants(x)) {
      this.#ctx.free(dx);
      return;
    }
    const g = this.#gradients.get(x);
    if (!g) {
      this.#gradients.set(x, { tensor: dx, users: 1 });
    } else if (g.users === 1) {
      this.#add(g.tensor, dx);
      this.#ctx.free(dx);
    } else {
      this.#add(dx, g.tensor);
      g.users--;
      this.#gradients.set(x, { tensor: dx, users: 1 });
    }
  }

  /** The gradient of `output` is also a contribution to that of `x`, unchanged (residual adds). */
  share(x: Tensor, output: Tensor): void {
    if (!this.wants(x)) return;
    const from = this.#gradients.get(output);
    if (!from) throw new Error(`tape: no gradient for output ${describe(output)}`);
    if (!this.#gradients.has(x)) {
      from.users++;
      this.#gradients.set(x, from);
      return;
    }
    const into = this.gradInto(x);
    if (into) this.#add(into.dx, from.tensor);
  }

  /**
   * Runs all closures in reverse and frees everything the tape owns. `seed`: dL/droot, root's size, taken over. Without a root,
   * the gradients that ops handed over in their forward (lmHeadCrossEntropy) are the start. Queue reads of outputs before this call.
   */
  backward(root?: Tensor, seed?: Tensor): void {
    const ctx = this.#ctx;
    ctx.tape = undefined;
    if (root && seed) {
      if (!this.wants(root)) throw new Error(`backward: root ${describe(root)} was not made by an op on this tape`);
      if (sizeOf(root.shape) !== sizeOf(seed.shape)) throw new Error(`backward: seed ${describe(seed)} for root ${describe(root)}`);
      this.give(root, seed);
    }
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) {
      if (node.outputs.some((t) => this.#gradients.has(t))) ctx.scope(node.backward);
      this.#release(node);
    }
    this.#end();
  }

  /** Frees everything without backward. */
  discard(): void {
    this.#ctx.tape = undefined;
    for (let node = this.#nodes.pop(); node; node = this.#nodes.pop()) this.#release(node);
    for (const leaf of this.#watched) if (this.#gradients.has(leaf)) this.#ctx.free(this.takeGrad(leaf));
    this.#end();
  }

  /** The gradient of `output`, from now on the caller's; a copy where others use it too. */
  #take(output: Tensor): Tensor {
    const tensor = this.grad(output);
    const g = this.#gradients.get(output) as Gradient;
    if (g.users > 1) {
      const copy = this.#fresh(output);
      this.#ctx.backend.copy(copy.slice, tensor.slice);
      return copy;
    }
    this.#gradients.delete(output);
    return tensor;
  }

  #release(node: Node): void {
    for (const t of node.outputs) {
      const g = this.#gradients.get(t);
      this.#gradients.delete(t);
      this.#tracked.delete(t);
      if (g && --g.users === 0) this.#ctx.free(g.tensor);
      this.#ctx.free(t);
    }
    for (const t of node.saved) this.#ctx.free(t);
  }

  #end(): void {
    for (const t of this.#kept) this.#ctx.free(t);
    this.#kept = [];
    this.#tracked.clear();
    this.#watched.clear();
  }

  #fresh(x: Tensor): Tensor {
    return this.#ctx.persist(this.#ctx.tensor(x.shape));
  }

  /** y += x. */
  #add(y: Tensor, x: Tensor): void {
    this.#ctx.run(elementwise, 'add_inplace', [y, x], { n: sizeOf(y.shape) });
  }
}
