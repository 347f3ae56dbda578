/** A peer as a provider: requests go to its process one at a time, the clock runs there. */
import { type ChildProcess, fork } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { HostArray } from '@eagrl/kernels';
import { repository, withoutRoot } from '../lib/machine.ts';
import type { Lane, Provider } from '../lib/provider.ts';
import type { Budget, Samples } from '../lib/time.ts';
import { type Job, type Kind, type Opened, type OpenOptions, outputOf } from './job.ts';
import { spawnPeer } from './lines.ts';
import type { PeerName } from './names.ts';

export type Request =
  | { readonly what: 'open'; readonly library: string; readonly options: OpenOptions }
  | { readonly what: 'place'; readonly lane: number; readonly job: Job }
  | { readonly what: 'prepare'; readonly lane: number; readonly budget: Budget }
  | { readonly what: 'output' | 'round' | 'free'; readonly lane: number };

export interface Reply {
  readonly value?: unknown;
  readonly error?: string;
}

/** A peer's process, and how it is talked to. */
export interface PeerChild {
  readonly child: ChildProcess;
  send(request: Request): void;
  onReply(listener: (reply: Reply) => void): void;
}

/** A library of JavaScript, loaded by host.ts. */
function forkHost(): PeerChild {
  // The suffix is that of this file: sources under vitest, dist otherwise.
  const host = new URL(import.meta.url.endsWith('.ts') ? './host.ts' : './host.js', import.meta.url);
  const child = fork(fileURLToPath(host), {
    serialization: 'advanced',
    execArgv: [...process.execArgv.filter((a) => !a.startsWith('--inspect')), '--experimental-wasm-relaxed-simd'],
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    detached: true, // a group of its own: what Ctrl-C and `timeout` send to ours is for the bench
  });
  return { child, send: (request) => child.send(request), onReply: (listener) => child.on('message', listener) };
}

/** PyTorch, where python3 has it; on the CPU for tests alone. */
export const spawnTorch = (device: 'cuda' | 'cpu'): PeerChild =>
  spawnPeer('python3', [fileURLToPath(new URL('bench/src/peers/torch_peer.py', repository)), device]);

/** Longest answer waited for: a large product on a software adapter, warm-up and samples included. */
const TIMEOUT_MS = 180_000;

/** None of these outlives us, however we end. */
const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export class PeerProcess {
  readonly #child: ChildProcess;
  readonly #send: (request: Request) => void;
  #settle: ((reply: Reply) => void) | undefined;
  #dead: string | undefined;
  #stderr = '';

  constructor({ child, send, onReply }: PeerChild) {
    this.#child = child;
    this.#send = send;
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stderr?.on('data', (text: Buffer) => {
      this.#stderr = (this.#stderr + text.toString()).slice(-2_000);
    });
    onReply((reply) => this.#settle?.(reply));
    child.on('error', (error) => this.#die(error.message));
    child.on('exit', (code, signal) => this.#die(`its process ended with ${signal ?? `code ${code}`}: ${this.#lastWords()}`));
  }

  #lastWords(): string {
    return this.#stderr.trim().split('\n').slice(-3).join(' | ') || 'it printed nothing';
  }

  #die(reason: string): void {
    this.#dead ??= withoutRoot(reason);
    this.#settle?.({ error: this.#dead });
  }

  /** @throws Error with the peer's words, or how its process ended. */
  ask<T>(request: Request): Promise<T> {
    if (this.#dead !== undefined) return Promise.reject(new Error(this.#dead));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#die(`no answer to '${request.what}' in ${TIMEOUT_MS / 1000} s`);
        this.#child.kill('SIGKILL');
      }, TIMEOUT_MS);
      this.#settle = ({ value, error }) => {
        clearTimeout(timer);
        this.#settle = undefined;
        if (error === undefined) resolve(value as T);
        else reject(new Error(withoutRoot(error)));
      };
      this.#send(request);
    });
  }

  async close(): Promise<void> {
    if (this.#dead !== undefined) return;
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()));
    this.#child.kill('SIGKILL'); // ours to end: some of them keep threads that no polite word stops
    await ended;
  }
}

class PeerLane implements Lane {
  readonly #process: PeerProcess;
  readonly #lane: number;
  readonly #output: string;

  constructor(process: PeerProcess, lane: number, output: string) {
    this.#process = process;
    this.#lane = lane;
    this.#output = output;
  }

  async outputs(): Promise<Record<string, HostArray>> {
    return { [this.#output]: await this.#process.ask<HostArray>({ what: 'output', lane: this.#lane }) };
  }

  prepare(budget: Budget): Promise<void> {
    return this.#process.ask({ what: 'prepare', lane: this.#lane, budget });
  }

  round(): Promise<Samples> {
    return this.#process.ask({ what: 'round', lane: this.#lane });
  }

  /** What was measured stands: a peer that fails here says so when it is given its next case. */
  async free(): Promise<void> {
    await this.#process.ask({ what: 'free', lane: this.#lane }).catch(() => {});
  }
}

/** A peer can also be given what is no kernel's case: a whole piece of work. */
export interface PeerProvider extends Provider {
  /** Undefined when the peer cannot do it. @throws Error with its words when it can, and does not run. */
  placeJob(job: Job): Promise<Lane | undefined>;
}

export interface StartedPeer {
  readonly version: string;
  readonly providers: readonly PeerProvider[];
}

/** Thread counts that a peer can be given in Node; others have one thread there, or the device's. */
function threadsOf(name: PeerName): readonly number[] {
  const cores = availableParallelism();
  if (name === 'ort-web-wasm' || name === 'ort-node-cpu') return cores > 1 ? [1, cores] : [1];
  return [1];
}

/**
 * Starts a peer once per thread count.
 * @throws Error with what the peer said when it does not load.
 */
export async function startPeer(name: PeerName, software: boolean): Promise<StartedPeer> {
  const kind = name.slice(name.lastIndexOf('-') + 1) as Kind;
  const library = name.slice(0, name.lastIndexOf('-'));
  const providers: PeerProvider[] = [];
  let version = '';
  try {
    for (const threads of threadsOf(name)) {
      const process = new PeerProcess(library === 'torch' ? spawnTorch('cuda') : forkHost());
      const opened = await process
        .ask<Opened>({ what: 'open', library, options: { kind, threads, software } })
        .catch(async (error: Error) => {
          await process.close();
          throw error;
        });
      version = opened.version;
      providers.push(providerOf(name, library, kind, threads, opened.adapter, process));
    }
  } catch (error) {
    for (const p of providers) await p.close();
    throw error;
  }
  return { version, providers };
}

/** A process that was opened, as a provider. */
export function providerOf(
  name: PeerName,
  library: string,
  kind: Kind,
  threads: number,
  adapter: string,
  process: PeerProcess,
): PeerProvider {
  const single = (kind === 'wasm' || kind === 'cpu') && threads === 1;
  const floors: Record<Kind, string | undefined> = {
    wasm: single && availableParallelism() > 1 ? 'wasm-1' : 'wasm',
    webgpu: 'webgpu',
    cuda: 'webgpu', // the same card
    cpu: undefined, // native code has wider vectors than WebAssembly
  };
  let lanes = 0;
  const placeJob = async (job: Job): Promise<Lane | undefined> => {
    const output = outputOf(job, library);
    if (output === undefined) return undefined;
    const lane = lanes++;
    const placed = await process.ask<boolean>({ what: 'place', lane, job });
    return placed ? new PeerLane(process, lane, output) : undefined;
  };
  return {
    name: single ? `${name}-1` : name,
    backend: kind,
    adapter,
    threads,
    floorOf: floors[kind],
    peer: true,
    place: ({ entry, params }, inputs) => placeJob({ entry, params, inputs }),
    placeJob,
    close: () => process.close(),
  };
}
