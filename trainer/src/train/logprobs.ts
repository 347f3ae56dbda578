/** Log-probs of given completions under the policy as it stands, without gradients: the frozen reference of the KL term. */
import { lmHeadLogprobs, type PromptGroup, splitPacks } from '@eagrl/runtime';
import type { Policy } from '../policy.ts';

/** One array per completion, over all groups in order. */
export async function completionLogprobs(
  { ctx, model }: Pick<Policy, 'ctx' | 'model'>,
  groups: readonly PromptGroup[],
  { temperature, maxTokens }: { readonly temperature: number; readonly maxTokens: number },
): Promise<Float32Array[]> {
  const lengths = groups.flatMap((g) => g.completions.map((c) => c.length));
  const out = lengths.map((n) => new Float32Array(n));
  const filled = new Uint32Array(lengths.length);
  for (const pack of splitPacks(groups, maxTokens)) {
    const values = await ctx.scope(() => {
      const hidden = model.forward(pack);
      return ctx.read(lmHeadLogprobs(ctx, hidden, model.headWeight, pack.targets, { temperature }).logprobs);
    });
    pack.completionOf.forEach((c, n) => {
      out[c][filled[c]++] = values[n];
    });
  }
  return out;
}
