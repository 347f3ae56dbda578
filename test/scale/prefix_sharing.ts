/**
 * What one copy of the prompt is worth: loss and gradients of one group, G = 8 completions of 150 tokens on a prompt of 700, against the same
 * completions with a prompt each, in packs of 2,048 tokens and all in one. The shipped policy on wasm; medians of interleaved rounds.
 *
 *     npm run --silent gen && node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/scale/prefix_sharing.ts [rounds]
 *
 * Wall time and processor time, which a busy machine disturbs less.
 */
import { Context, openDevice, type PromptGroup } from '@eagrl/runtime';
import { Random, relRms } from '@eagrl/testing';
import { BASE_POLICY, loadPolicy, readModelFolder } from '../../trainer/src/run/model_folder.ts';
import { sftGradients } from '../../trainer/src/train/sft_step.ts';

/** One more goes before them, to warm up. */
const rounds = Number(process.argv[2] ?? 5);
const backend = await openDevice({ device: 'wasm' });
const policy = loadPolicy(new Context(backend), readModelFolder(BASE_POLICY));
policy.model.params.enableGrad();
const random = new Random('prefix sharing');
const vocab = policy.model.config.vocab_size;
const prompt = random.ints(700, vocab);
const completions = Array.from({ length: 8 }, () => random.ints(150, vocab));
const apart: PromptGroup[] = completions.map((c) => ({ prompt, completions: [c] }));
const variants = {
  shared: { groups: [{ prompt, completions }], maxTokens: 2048 },
  'apart, packs of 2048': { groups: apart, maxTokens: 2048 },
  'apart, one pack': { groups: apart, maxTokens: 8 * 850 },
} as const;

const columns = () => Object.fromEntries(Object.keys(variants).map((name) => [name, [] as number[]]));
const [wall, cpu] = [columns(), columns()];
const losses: Record<string, number> = {};
const grads: Record<string, Map<string, Float32Array>> = {};
for (let round = 0; round <= rounds; round++) {
  for (const [name, { groups, maxTokens }] of Object.entries(variants)) {
    const [started, used] = [performance.now(), process.cpuUsage()];
    const { loss } = await sftGradients(policy, groups, { maxTokens });
    await backend.sync();
    const { user, system } = process.cpuUsage(used);
    if (round > 0) {
      wall[name].push((performance.now() - started) / 1000);
      cpu[name].push((user + system) / 1e6);
    }
    losses[name] = loss;
    grads[name] = await policy.model.params.readGrads();
  }
}
const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];
const against = (column: Record<string, number[]>, name: string): string =>
  `${median(column[name]).toFixed(2)} s, ${(median(column[name]) / median(column['shared'])).toFixed(2)}x the shared`;
for (const name of Object.keys(variants)) {
  const worst = Math.max(
    ...[...grads['shared']].filter(([p]) => !p.endsWith('k_proj.bias')).map(([p, g]) => relRms(grads[name].get(p) as Float32Array, g)),
  );
  process.stdout.write(
    `${name.padEnd(22)} wall ${against(wall, name)}; processor ${against(cpu, name)}; ` +
      `loss off by ${Math.abs(losses[name] / losses['shared'] - 1).toExponential(1)}, gradients by ${worst.toExponential(1)} relative RMS\n`,
  );
}
await backend.destroy();
