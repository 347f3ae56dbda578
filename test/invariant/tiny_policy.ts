/** The tiny transformer on a device, as the trainer's steps see it, with weights large enough that no softmax is flat. */
import { Context, type DeviceName, Engine, Transformer } from '@eagrl/runtime';
import { Random } from '@eagrl/testing';
import { sharedDevices } from '../../runtime/src/devices.fixture.ts';
import { tinyConfig } from '../../runtime/src/model/tiny.fixture.ts';
import type { Policy } from '../../trainer/src/policy.ts';

const sharedDevice = sharedDevices(2);

export const VOCAB = tinyConfig().vocab_size;

/** Weights are the same on every device. The steps use no words, so there is no tokenizer. */
export async function tinyPolicy(device: DeviceName): Promise<Policy> {
  const ctx = new Context(await sharedDevice(device));
  const model = new Transformer(ctx, tinyConfig());
  const random = new Random('tiny policy');
  for (const { name, value } of model.params.list) {
    const values = random.normals(value.slice.length, 0.3);
    model.params.write(name, name.includes('norm') ? values.map((v) => 1 + v) : values);
  }
  model.params.enableGrad();
  return { backend: ctx.backend, ctx, model, engine: new Engine(ctx, model) } as unknown as Policy;
}
