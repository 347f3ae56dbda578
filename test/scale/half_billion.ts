/**
 * A model of the shape of Qwen2.5-0.5B with random weights: load it, generate 16 tokens, one LoRA SFT step and one RL step (4 completions of 64
 * tokens for a prompt of 512), and hold the device's peak against the plan. Not in the test suite: it takes minutes and, as f32, 4.5 GB.
 * FOLDER is outside of the repository; its 1 GB of bf16 weights are written when they are not there. Figures: runtime/README.md.
 *
 *     node --conditions=@eagrl/source --experimental-wasm-relaxed-simd --import ./test/e2e/typescript_loader.mjs \
 *       test/scale/half_billion.ts FOLDER [wasm | webgpu | webgpu-software] [f32 | f16 | int8 | int4]
 */
import {
  AdamW,
  Context,
  checkFits,
  type DeviceName,
  Engine,
  loadWeights,
  openDevice,
  planMemory,
  showBytes,
  Transformer,
  transformerParams,
  verdict,
  WEIGHT_TYPES,
} from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import type { Policy } from '../../trainer/src/policy.ts';
import { withWeights } from '../../trainer/src/run/weights.ts';
import { rlStep } from '../../trainer/src/train/rl_step.ts';
import { sftStep } from '../../trainer/src/train/sft_step.ts';
import { CONFIG as config, LORA as lora, writeHalfBillion } from './qwen_half_billion.ts';

const [folder, device = 'wasm', dtypeName = 'f32'] = process.argv.slice(2);
const dtype = WEIGHT_TYPES.find((t) => t === dtypeName);
if (!folder || !dtype) throw new Error('usage: see the head of this file');

const GROUP = 4;
const PROMPT = 512;
const COMPLETION = 64;

await writeHalfBillion(folder);

const backend = await openDevice({ device: device as DeviceName });
const plan = planMemory(config, {
  lora,
  dtype,
  packing: backend.kind === 'wasm',
  tokensPerPass: PROMPT + GROUP * COMPLETION,
  targetsPerPass: GROUP * COMPLETION,
  prompts: 1,
  numGenerations: GROUP,
  promptLength: PROMPT,
  completionLength: COMPLETION,
});
checkFits(plan, backend.info);
console.log(`${dtype} on ${backend.info.adapter}: ${verdict(plan, backend.info).text}`);

const rss = () => process.resourceUsage().maxRSS * 1024;
let started = performance.now();
function report(what: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const { liveBytes, peakBytes, pooledBytes } = backend.stats;
  const device = `${showBytes(liveBytes)} live, ${showBytes(pooledBytes)} pooled, ${showBytes(peakBytes)} peak`;
  console.log(`${what.padEnd(28)} ${seconds.padStart(7)} s  device ${device}; process ${showBytes(rss())} peak`);
  started = performance.now();
}

const ctx = new Context(backend);
const model = new Transformer(ctx, config, lora, dtype);
withWeights(folder, (tensors) => loadWeights(model, tensors));
model.initAdapter(1);
await backend.sync();
report('load');
const parts = transformerParams(config)
  .map(({ name }) => model.weight(name))
  .filter((m) => m.parts.length > 1);
if (parts.length > 0) console.log(`  in blocks of rows: ${parts.map((m) => `${m.name} in ${m.parts.length}`).join(', ')}`);

const engine = new Engine(ctx, model);
const optimizer = new AdamW(model.trainable);
const random = new Random('half a billion');
const prompt = random.ints(PROMPT, config.vocab_size);
const sample = async (seqs: ReturnType<Engine['open']>, maxTokens: number) => {
  const requests = seqs.map((seq, stream) => ({ seq, maxTokens, stopTokens: [], seed: 1, stream }));
  const done = await engine.sample(requests, { temperature: 1 });
  for (const seq of seqs) engine.release(seq);
  return done;
};
const [few] = await sample(engine.open([prompt.subarray(0, 32)]), 16);
report('generate 16 tokens');
console.log(`  ${few.tokens.join(' ')}`);

const policy = { ctx, model } as Policy;
const options = { learningRate: 1e-4, maxTokens: PROMPT + GROUP * COMPLETION };
const sft = await sftStep(policy, optimizer, [{ prompt, completions: [random.ints(COMPLETION, config.vocab_size)] }], options);
report('LoRA SFT step, 576 tokens');
console.log(
  `  loss ${sft.loss.toFixed(4)} (ln ${config.vocab_size} = ${Math.log(config.vocab_size).toFixed(4)}), gradient norm ${sft.gradNorm}`,
);

const [root] = engine.open([prompt]);
const completions = await sample([root, ...Array.from({ length: GROUP - 1 }, () => engine.fork(root))], COMPLETION);
report('RL: 4 completions of 64');
const rl = await rlStep(
  policy,
  optimizer,
  {
    groups: [{ prompt, completions: completions.map((c) => c.tokens) }],
    oldLogprobs: completions.map((c) => c.logprobs),
    advantages: Float32Array.of(1, -1, 0.5, -0.5),
    clipHigh: new Float32Array(GROUP).fill(0.2),
  },
  { ...options, clipLow: 0.2, klBeta: 0, lossType: 'dapo', temperature: 1 },
);
report('RL: step on 768 tokens');
console.log(`  |log p - log p at sampling| at most ${rl.logpDifferenceMax}, gradient norm ${rl.gradNorm}`);
const ratio = backend.stats.peakBytes / plan.bytes;
console.log(`peak ${showBytes(backend.stats.peakBytes)} is ${(100 * ratio).toFixed(1)} % of the plan's ${showBytes(plan.bytes)}`);
await backend.destroy();
process.exit(ratio <= 1.1 ? 0 : 1);
