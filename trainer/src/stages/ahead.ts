/**
 * What a phase will launch, compiled before its first step: on a GPU the driver works on all of it at once, where the step would wait for one kernel
 * after the other. The phase's own code runs for show, on a policy of the same shape that computes nothing and answers with zeros.
 */
import { type Backend, type Context, compileAhead, Engine, Transformer } from '@eagrl/runtime';
import { generate, type Policy } from '../policy.ts';
import { yieldToEvents } from '../util/event_loop.ts';

/** Another policy of the same shape and words, on another device. */
function shadowOf({ model, engine, backend: _, ctx: __, ...words }: Policy, ctx: Context): Policy {
  const shadow = new Transformer(ctx, model.config, model.lora, model.stored?.dtype);
  shadow.gradientCheckpointing = model.gradientCheckpointing;
  return { ...words, backend: ctx.backend, ctx, model: shadow, engine: new Engine(ctx, shadow, { maxCacheBytes: engine.maxCacheBytes }) };
}

/** Does `work` for show and compiles what it launched, where that pays: on a GPU. Elsewhere compiling takes the same cores whenever it is done. */
export async function aheadOn(backend: Backend, work: (ctx: Context) => Promise<unknown>): Promise<void> {
  if (backend.compilesAside) await compileAhead(backend, work);
}

/** The same of work with a policy. */
export const ahead = (policy: Policy, work: (shadow: Policy) => Promise<unknown>): Promise<void> =>
  aheadOn(policy.backend, (ctx) => work(shadowOf(policy, ctx)));

/** What is to be generated. */
interface Shown {
  /** Tokens of the prompts, and of their completions at the most. */
  readonly prompts: readonly number[];
  readonly maxTokens: number;
  readonly numGenerations: number;
  readonly sampling: { readonly temperature: number; readonly topK: number; readonly topP: number };
  /** The probability of a token is asked for too, as a search does. */
  readonly likelihood?: boolean;
}

/** Tokens of two launches of the engine's while it reads prompts: from there on they are the same. */
const READ_TOKENS = 1024;

/**
 * One token of all sequences, then of half as many, and so on, since a batch shrinks as its sequences end and other variants are picked; each time after
 * the prompts and after the longest text.
 */
export async function rehearseGeneration(
  shadow: Policy,
  { prompts, maxTokens, numGenerations, sampling, likelihood }: Shown,
): Promise<void> {
  const { engine, model } = shadow;
  let read = 0;
  const fresh = prompts.map((length) => {
    const tokens = read < READ_TOKENS ? length : 2;
    read += tokens;
    return new Uint32Array(tokens);
  });
  const longest = new Uint32Array(Math.min(Math.max(...prompts) + maxTokens, model.config.max_position_embeddings) - 1);
  const grown = fresh.map((_, i) => (i === 0 ? longest : new Uint32Array(2)));
  const options = { ...sampling, maxTokens: 1, stopTokens: [], stopStrings: [], seed: 0 };
  for (let left = prompts.length * numGenerations; left >= 1; left >>= 1) {
    await yieldToEvents();
    for (const texts of [fresh, grown]) {
      const some = texts.slice(0, Math.ceil(left / numGenerations));
      await generate(shadow, some, { ...options, numGenerations: Math.min(left, numGenerations), streams: some.map(() => 0) });
    }
    if (!likelihood) continue;
    // Two blocks each, of those that there are: a search goes in parts that fit.
    const fit = Math.min(left, engine.cacheUse.available >> 1);
    const seqs = engine.open(Array.from({ length: fit }, () => new Uint32Array(2)));
    await engine.probabilities(seqs, [0]);
    for (const seq of seqs) engine.release(seq);
  }
}
