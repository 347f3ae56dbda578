/** The method in a worker of its own: the page stays quick to answer, and WebAssembly may wait for its threads. */
import { Context, inMemory, openDevice, openSafetensors, saveParams, writeSafetensors } from '@eagrl/runtime';
import { parse } from 'yaml';
import templateText from '../assets/base-policy/chat_template.jinja?raw';
import configText from '../assets/base-policy/config.json?raw';
import generationText from '../assets/base-policy/generation_config.json?raw';
import weightsUrl from '../assets/base-policy/model.safetensors?url';
import tokenizerText from '../assets/base-policy/tokenizer.json?raw';
import demo from '../configs/demo.yaml?raw';
import smoke from '../configs/smoke.yaml?raw';
import { resolveConfig } from '../src/config/resolve.ts';
import { generateSyntheticCohort } from '../src/data/synthetic.ts';
import { destroyPolicy, type ModelSource, policyOf } from '../src/model_source.ts';
import { runInMemory } from '../src/stages/in_memory.ts';
import type { Event, Start } from './messages.ts';

const tell = (event: Event, transfer: Transferable[] = []) => postMessage(event, { transfer });

const source: ModelSource = {
  config: JSON.parse(configText),
  tokenizerJson: JSON.parse(tokenizerText),
  tokenizerConfig: null,
  generationConfig: JSON.parse(generationText),
  chatTemplate: templateText,
};

async function train({ preset, device }: Start): Promise<void> {
  const started = performance.now();
  const config = resolveConfig(parse({ demo, smoke }[preset]), `${preset}.yaml`);
  const { data } = config;
  const split = { train: data.num_train, val: data.num_val, test: data.num_test };
  const cohort = generateSyntheticCohort({ seed: data.seed, split, effects: data.effects });
  const response = await fetch(weightsUrl);
  if (!response.ok) throw new Error(`the base policy did not load: ${response.status} ${response.statusText}`);
  const bytes = new Uint8Array(await response.arrayBuffer());
  const { tensors } = openSafetensors({ size: bytes.length, read: (begin, end) => bytes.subarray(begin, end) });
  const backend = await openDevice({ device });
  try {
    const { info } = backend;
    tell({ kind: 'device', text: `${info.adapter} (${info.backend}, ${info.threads === 1 ? '1 thread' : `${info.threads} threads`})` });
    const ctx = new Context(backend);
    const result = await runInMemory({
      ctx,
      config,
      cohort,
      freshPolicy: () => policyOf(ctx, source, tensors),
      events: {
        progress: (phase, done, total, note = '') => tell({ kind: 'progress', phase, done, total, note }),
        log: (phase, step, metrics) => tell({ kind: 'metrics', phase, step, metrics }),
        warn: (message) => tell({ kind: 'warning', message }),
      },
    });
    const weights = Uint8Array.from(writeSafetensors(await inMemory(saveParams(result.policy.model.params, 'F16')), { format: 'pt' }));
    destroyPolicy(result.policy);
    const { eval: rows, paired, example } = result;
    const seconds = (performance.now() - started) / 1000;
    tell({ kind: 'done', eval: rows, paired, example, seconds, weights }, [weights.buffer]);
  } finally {
    await backend.destroy();
  }
}

addEventListener('message', ({ data }: MessageEvent<Start>) => {
  train(data).catch((error: Error) => tell({ kind: 'failed', message: error.message }));
});
