/**
 * Plan: what is drawn from, against transformers' logits processors (sampling.py), on wasm and WebGPU: repetition penalty, temperature,
 * top-k, top-p, min-p, alone and together.
 *   the oracle's shares are the golden's; of 512 draws on wasm, 4 on WebGPU, each has the golden's log-probability and none was removed
 *   there; the 512 have nine tenths of the mass between them
 */
import { readFileSync } from 'node:fs';
import { type HostBuffers, launchWasm, launchWebgpu, type Params, sampling } from '@eagrl/kernels';
import { assertClose, TOLERANCE, testDevice } from '@eagrl/testing';
import { expect, test } from 'vitest';
import { kept, repetition_penalty } from '../../kernels/src/sampling/sampling.ref.ts';

interface Case {
  penalty: number;
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  /** What the sequence holds; the last is the one fed. */
  tokens: number[];
  logits: number[];
  logprobs: (number | null)[];
}

const { cases } = JSON.parse(readFileSync(new URL('sampling.json', import.meta.url), 'utf8')) as { cases: Case[] };
const DRAWS = { wasm: 512, webgpu: 4 } as const;

const bitsOf = (tokens: readonly number[]): number => tokens.reduce((bits, t) => bits | (1 << t), 0) >>> 0;

test.each(cases.map((c) => [`penalty ${c.penalty} T ${c.temperature} k ${c.top_k} p ${c.top_p} min-p ${c.min_p}`, c] as const))(
  '%s',
  async (_title, { tokens, logprobs, logits: row, penalty, ...filter }) => {
    const vocab = row.length;
    const last = tokens[tokens.length - 1];
    const wide = {
      logits: Float64Array.from(row),
      seen: Float64Array.of(bitsOf(tokens.slice(0, -1))),
      ids: Float64Array.of(last),
    };
    repetition_penalty(wide, { rows: 1, vocab, penalty });
    const want = logprobs.map((l) => (l === null ? 0 : Math.exp(l)));
    assertClose(kept(wide.logits, filter), want, { ...TOLERANCE.elementwise, label: 'shares' });

    for (const backend of ['wasm', 'webgpu'] as const) {
      const rows = DRAWS[backend];
      const inputs = {
        logits: Float32Array.from({ length: rows * vocab }, (_, i) => row[i % vocab]),
        seen: new Uint32Array(rows).fill(bitsOf(tokens.slice(0, -1))),
        ids: new Uint32Array(rows).fill(last),
      };
      const state = Uint32Array.from({ length: rows * 4 }, (_, i) => [1, i >> 2, 0, 1][i & 3]);
      const run = async (entry: string, given: HostBuffers, params: Params): Promise<HostBuffers> =>
        backend === 'wasm' ? launchWasm(sampling, entry, given, params) : launchWebgpu(await testDevice(), sampling, entry, given, params);
      const penalised = await run('repetition_penalty', inputs, { rows, vocab, penalty });
      expect([...new Set(penalised['seen'])]).toEqual([bitsOf(tokens)]);
      const drawn = await run('sample', { logits: penalised['logits'], state }, { rows, vocab, ...filter });
      const golden = Array.from(drawn['tokens'], (t) => logprobs[t]);
      expect(golden, `${backend}: a token was drawn that transformers removes`).not.toContain(null);
      assertClose(drawn['logprobs'], golden as number[], { ...TOLERANCE.transcendental, label: `${backend} logprobs` });
      const mass = [...new Set(drawn['tokens'])].reduce((sum, t) => sum + want[t], 0);
      if (backend === 'wasm') expect(mass).toBeGreaterThan(0.9);
    }
  },
);
