/** Starts the peers that a run asked for, each in a process of its own: none can disturb the others or take the run down. */
import { existsSync } from 'node:fs';
import { repository } from '../lib/machine.ts';
import type { BenchDevice } from '../lib/provider.ts';
import type { PeerStatus } from '../lib/receipt.ts';
import type { Stop } from '../lib/stop.ts';
import type { PeerName } from './names.ts';
import { type PeerProvider, startPeer } from './process.ts';

export class PeersMissing extends Error {}

export interface OpenPeers {
  readonly providers: readonly PeerProvider[];
  readonly status: readonly PeerStatus[];
  /** The run was over before they were. */
  readonly notStarted: readonly PeerName[];
}

/**
 * Peers on the devices of the run: on WebGPU the same adapter, CUDA beside the machine's own, on WebAssembly one thread and, where the peer has threads in Node,
 * all cores. One that does not load is reported and takes no part; once the run is over none is started.
 * @throws PeersMissing when their packages are not installed.
 */
export async function openPeers(
  names: readonly PeerName[],
  devices: readonly BenchDevice[],
  print: (line: string) => void,
  stop: Stop,
): Promise<OpenPeers> {
  const gpu = devices.find((d) => d.startsWith('webgpu'));
  const runs: Readonly<Record<string, boolean>> = { webgpu: gpu !== undefined, cuda: gpu === 'webgpu' };
  const chosen = names.filter((name) => runs[name.slice(name.lastIndexOf('-') + 1)] ?? devices.includes('wasm'));
  if (chosen.some((name) => name !== 'torch-cuda') && !existsSync(new URL('bench/peers/node_modules/', repository))) {
    throw new PeersMissing('the peers are not installed; run npm run bench:peers, or use --peers none');
  }
  const providers: PeerProvider[] = [];
  const status: PeerStatus[] = [];
  const notStarted: PeerName[] = [];
  for (const name of chosen) {
    try {
      const started = await stop.begin(() => startPeer(name, gpu === 'webgpu-software'));
      if (!started) {
        notStarted.push(name);
        continue;
      }
      providers.push(...started.providers);
      status.push({ name, version: started.version, failed: null });
      print(`peer ${name} ${started.version}: ${started.providers.map((p) => `${p.name} on ${p.adapter}`).join(', ')}`);
    } catch (error) {
      const failed = (error as Error).message.split('\n')[0];
      status.push({ name, version: null, failed });
      print(`peer ${name}: does not load: ${failed}`);
    }
  }
  return { providers, status, notStarted };
}
