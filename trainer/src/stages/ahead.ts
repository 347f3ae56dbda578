/**
 * What a phase will launch, compiled before its first step: on a GPU the driver works on all of it at once, where the step would wait for one kernel
 * after the other. The phase's own code runs for show, on a policy of the same shape that computes nothing and answers with zeros.
 */
import { type Backend, type Context, compileAhead, Engine, isSoftwareName, Transformer } from '@eagrl/runtime';
import { generate, type Policy } from '../policy.ts';

/** Another policy of the same shape and words, on another device. */
function shadowOf({ model, engine, backend: _, ctx: __, ...words }: Policy, ctx: Context): Policy {
  const shadow = new Transformer(ctx, model.config, model.lora, model.stored?.dtype);
  shadow.gradientCheckpointing = model.gradientCheckpointing;
  return { ...words, backend: ctx.backend, ctx, model: shadow, engine: new Engine(ctx, shadow, { maxCacheBytes: engine.maxCacheBytes }) };
}

/**
 * Does `work` for show and compiles what it launched, where it pays: WebAssembly's modules take milliseconds, and what compiles for an adapter on the
 * CPU takes its cores whenever it does.
 */
export async function aheadOn(backend: Backend, work: (ctx: Context) => Promise<unknown>): Promise<void> {
  if (backend.kind === 'webgpu' && !isSoftwareName(backend.info.adapter)) await compileAhead(backend, work);
}

/** The same of work with a policy. */
export const ahead = (policy: Policy, work: (shadow: Policy) => Promise<unknown>): Promise<void> =>
  aheadOn(policy.backend, (ctx) => work(shadowOf(policy, ctx)));

/** Tokens of two launches of the engine's while it reads prompts. */
const READ_TOKENS = 1024;

/**
 * One token of `numGenerations` sequences for each prompt, then of half as many sequences, and so on: as sequences end, a batch shrinks, and
 * other variants are picked. `likelihood`: asks for the probability of a token too, as a search does. Prompts are of `lengths` tokens.
 */
export async function rehearseGeneration(
  shadow: Policy,
  lengths: readonly number[],
  numGenerations: number,
  sampling: { readonly temperature: number; readonly topK: number; readonly topP: number },
  likelihood = false,
): Promise<void> {
  let read = 0;
  // Reading is the same for all of them after two launches.
  const prompts = lengths.map((length) => {
    const tokens = read < READ_TOKENS ? length : 2;
    read += tokens;
    return new Uint32Array(tokens);
  });
  const options = { ...sampling, maxTokens: 1, stopTokens: [], stopStrings: [], seed: 0 };
  for (let left = prompts.length * numGenerations; left >= 1; left >>= 1) {
    const some = prompts.slice(0, Math.ceil(left / numGenerations));
    await generate(shadow, some, { ...options, numGenerations: Math.min(left, numGenerations), streams: some.map(() => 0) });
    if (!likelihood) continue;
    // Two blocks each, of those that there are: a search goes in parts that fit.
    const fit = Math.min(left, shadow.engine.cacheUse.available >> 1);
    const seqs = shadow.engine.open(Array.from({ length: fit }, () => prompts[0].subarray(0, 2)));
    await shadow.engine.probabilities(seqs, [0]);
    for (const seq of seqs) shadow.engine.release(seq);
  }
}
