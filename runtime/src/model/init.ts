/** Initial weights of a transformer. */
import type { ParamSpec } from '../params.ts';
import { normals, streamOf } from '../rng.ts';
import { sizeOf } from '../tensor.ts';
import type { TransformerConfig } from './config.ts';

/**
 * `gpt2`: normal with deviation 0.02, those that end a residual branch smaller by sqrt(2 layers).
 * `mimetic`: for small models trained from scratch. Deviation 1 / sqrt(fan-in), and attention that starts out looking for its own token
 * and passing on what it finds: W_k = 0.7 W_q + noise, W_o = 0.3 W_v^T + noise, after Trockman and Kolter 2023 (arXiv 2305.09828), with the
 * sign that copies. Norms are 1 and biases 0 in both.
 */
export type InitScheme = 'gpt2' | 'mimetic';

const GPT2_STD = 0.02;
/** Shares of the mirrored weights, and of fresh noise beside them. */
const MIMETIC = { key: 0.7, keyNoise: 0.7, output: 0.3, outputNoise: 0.1, embeddingStd: 0.0625 } as const;

/** All parameters by name. */
export function initWeights(
  c: TransformerConfig,
  specs: readonly ParamSpec[],
  seed: number,
  scheme: InitScheme,
): Map<string, Float32Array> {
  const residual = 1 / Math.sqrt(2 * c.num_hidden_layers);
  const weights = new Map<string, Float32Array>();
  for (const { name, shape } of specs) {
    const length = sizeOf(shape);
    if (name.endsWith('norm.weight')) weights.set(name, new Float32Array(length).fill(1));
    else if (name.endsWith('bias')) weights.set(name, new Float32Array(length));
    else {
      const ends = name.endsWith('o_proj.weight') || name.endsWith('down_proj.weight');
      const fanIn = name.includes('embed_tokens') ? MIMETIC.embeddingStd : 1 / Math.sqrt(shape[1]);
      const std = (scheme === 'gpt2' ? GPT2_STD : fanIn) * (ends ? residual : 1);
      weights.set(name, normals(seed, streamOf(name), length, std));
    }
  }
  if (scheme === 'mimetic') for (let i = 0; i < c.num_hidden_layers; i++) mirrorAttention(c, weights, `model.layers.${i}.self_attn`);
  return weights;
}

/** Makes keys resemble the queries of their group's first head, and the output projection the transpose of the values'. */
function mirrorAttention(c: TransformerConfig, weights: Map<string, Float32Array>, at: string): void {
  const [q, k, v, o] = ['q', 'k', 'v', 'o'].map((p) => weights.get(`${at}.${p}_proj.weight`) as Float32Array);
  const { hidden_size: width, head_dim: dim, num_attention_heads: heads, num_key_value_heads: kvHeads } = c;
  const perGroup = heads / kvHeads;
  for (let g = 0; g < kvHeads; g++) {
    for (let i = 0; i < dim * width; i++) {
      const at = g * dim * width + i;
      k[at] = MIMETIC.key * q[g * perGroup * dim * width + i] + MIMETIC.keyNoise * k[at];
    }
  }
  for (let row = 0; row < width; row++) {
    for (let h = 0; h < heads; h++) {
      const g = Math.floor(h / perGroup);
      for (let d = 0; d < dim; d++) {
        const at = row * heads * dim + h * dim + d;
        o[at] = MIMETIC.output * v[(g * dim + d) * width + row] + MIMETIC.outputNoise * o[at];
      }
    }
  }
}
