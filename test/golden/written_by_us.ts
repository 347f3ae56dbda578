/**
 * Half of a proof that what the trainer writes loads elsewhere; written_by_us.py is the other half. Writes into the given folder:
 * `adapter` (PEFT's layout, on the base policy), `merged` (a plain folder, sharded), and `logits.json` of a prompt, with the adapter and merged.
 *
 *     node --conditions=@eagrl/source --import ./test/e2e/typescript_loader.mjs test/golden/written_by_us.ts FOLDER
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Context, matmul, openDevice, type Parameter, packGroups } from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import type { Policy } from '../../trainer/src/policy.ts';
import { writeTrained } from '../../trainer/src/run/adapter_folder.ts';
import { BASE_POLICY, loadPolicy, readModelFolder } from '../../trainer/src/run/model_folder.ts';
import { mergeLora } from '../../trainer/src/stages/merge.ts';

const out = process.argv[2];
const ctx = new Context(await openDevice({ device: 'wasm', threads: 1 }));
const source = readModelFolder(BASE_POLICY);
const random = new Random('written by us');
const ids = random.ints(20, 1000);

function logits({ model }: Policy): Promise<Float32Array> {
  const pack = packGroups([{ prompt: ids, completions: [] }]);
  return ctx.scope(() => {
    const hidden = model.forward(pack);
    const [rows, dim] = hidden.shape;
    const result = ctx.tensor([rows, model.config.vocab_size]);
    matmul(ctx, 'nt', result, hidden, (model.headWeight as Parameter).value, { m: rows, n: model.config.vocab_size, k: dim });
    return ctx.read(result);
  });
}

const policy = loadPolicy(ctx, source, { r: 4, alpha: 8, dropout: 0, target_modules: ['q_proj', 'v_proj', 'down_proj'] });
for (const p of policy.model.trainable.list) policy.model.trainable.write(p.name, random.normals(p.value.slice.length, 0.05));
await writeTrained(join(out, 'adapter'), policy, source, BASE_POLICY);
const adapted = await logits(policy);
await mergeLora({ adapter: join(out, 'adapter'), model: null, out: join(out, 'merged'), device: 'wasm', maxShardBytes: 2e6 });
const merged = await logits(loadPolicy(ctx, readModelFolder(join(out, 'merged'))));
writeFileSync(join(out, 'logits.json'), JSON.stringify({ ids: [...ids], base: BASE_POLICY, adapted: [...adapted], merged: [...merged] }));
await ctx.backend.destroy();
