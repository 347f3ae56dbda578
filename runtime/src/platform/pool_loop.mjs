// Body of a pool worker, the other end of backend/wasm_pool.ts. Plain JavaScript: the same file runs from sources and from dist.

/**
 * Serves jobs until told to quit. A job is a module (bytes in shared memory), an export, arguments, and `work` items handed out
 * `grain` at a time by an atomic counter. A worker that comes late finds the job closed or empty and goes back to waiting.
 * @param {import('./platform.ts').WorkerInit} init
 */
export function serve({ memory, control, args: argsAt, error, tls, words: W, errorBytes, spinMicroseconds }) {
  const ctl = new Int32Array(memory.buffer, control, Object.keys(W).length);
  const args = new Float64Array(memory.buffer, argsAt, (error - argsAt) / 8);
  const instances = new Map();

  /** Instance of the module at a byte range, compiled on first use (the engine shares code compiled from the same bytes). */
  const instanceAt = (at, length) => {
    let instance = instances.get(at);
    if (!instance) {
      const module = new WebAssembly.Module(new Uint8Array(memory.buffer, at, length).slice());
      instance = new WebAssembly.Instance(module, { env: { memory, tls: new WebAssembly.Global({ value: 'i32' }, tls) } });
      instances.set(at, instance);
    }
    return instance;
  };

  const work = () => {
    const total = ctl[W.WORK];
    const grain = ctl[W.GRAIN];
    let chunk = Atomics.add(ctl, W.NEXT, 1);
    if (chunk * grain >= total) return;
    const exported = Object.values(instanceAt(ctl[W.MODULE_AT], ctl[W.MODULE_BYTES]).exports)[ctl[W.EXPORT]];
    const n = ctl[W.ARGS];
    const argv = Array.from(args.subarray(0, n + 2));
    for (; chunk * grain < total; chunk = Atomics.add(ctl, W.NEXT, 1)) {
      argv[n] = chunk * grain;
      argv[n + 1] = Math.min(total, argv[n] + grain);
      exported(...argv);
    }
  };

  const fail = (reason) => {
    const text = new TextEncoder().encode(String(reason)).subarray(0, errorBytes);
    new Uint8Array(memory.buffer, error, text.length).set(text);
    Atomics.store(ctl, W.ERROR, text.length);
  };

  /** Counts itself in unless the job is closed (sign bit). */
  const join = () => {
    for (let state = Atomics.load(ctl, W.STATE); state >= 0; ) {
      const was = Atomics.compareExchange(ctl, W.STATE, state, state + 1);
      if (was === state) return true;
      state = was;
    }
    return false;
  };

  let seen = Atomics.load(ctl, W.GENERATION);
  while (Atomics.load(ctl, W.QUIT) === 0) {
    const until = performance.now() + spinMicroseconds / 1000;
    let generation = seen;
    do {
      for (let i = 0; i < 64 && generation === seen; i++) generation = Atomics.load(ctl, W.GENERATION);
    } while (generation === seen && performance.now() < until);
    if (generation === seen) {
      Atomics.add(ctl, W.SLEEPERS, 1);
      Atomics.wait(ctl, W.GENERATION, seen);
      Atomics.sub(ctl, W.SLEEPERS, 1);
      generation = Atomics.load(ctl, W.GENERATION);
    }
    seen = generation;
    if (!join()) continue;
    try {
      work();
    } catch (reason) {
      fail(reason);
    }
    Atomics.sub(ctl, W.STATE, 1);
    Atomics.notify(ctl, W.STATE);
  }
}
