/** Who computes: the runtime's backends, and the peers beside them. */
import { entryOf, type HostArray, type HostBuffers } from '@eagrl/kernels';
import { type Backend, isSoftwareName, openDevice } from '@eagrl/runtime';
import type { BenchCase } from './case.ts';
import { type Heater, heater } from './heat.ts';
import { Placed } from './placed.ts';
import { type Budget, prepare, type Samples } from './time.ts';

export const BENCH_DEVICES = ['wasm', 'webgpu-software', 'webgpu'] as const;
export type BenchDevice = (typeof BENCH_DEVICES)[number];

/** One case in the hands of one provider. */
export interface Lane {
  /** Launches once and reads back what the entry writes, by binding name; a peer gives its main output only. */
  outputs(): Promise<Readonly<Record<string, HostArray>>>;
  /** Warms up; once, after `outputs`. */
  prepare(budget: Budget): Promise<void>;
  round(): Promise<Samples>;
  free(): Promise<void>;
}

export interface Provider {
  /** End of a row's name: wasm-1 (one thread), wasm-2, wasm (all cores), webgpu; tfjs-wasm-1 and so on. */
  readonly name: string;
  readonly backend: string;
  readonly adapter: string;
  readonly threads: number;
  /** Name of the provider whose floor is this one's; a native CPU library has none. */
  readonly floorOf: string | undefined;
  /** Whether a wrong result is ours. */
  readonly peer: boolean;
  /** Undefined when the provider has no such operation. @throws Error when it has, and it does not run. */
  place(c: BenchCase, inputs: HostBuffers): Promise<Lane | undefined>;
  close(): Promise<void>;
}

/** Whether it computes on a GPU. */
export const isHardware = ({ backend, adapter }: Pick<Provider, 'backend' | 'adapter'>): boolean =>
  (backend === 'webgpu' || backend === 'cuda') && !isSoftwareName(adapter);

class OwnLane implements Lane {
  readonly #placed: Placed;
  #round: (() => Promise<Samples>) | undefined;

  constructor(placed: Placed) {
    this.#placed = placed;
  }

  async outputs(): Promise<Record<string, HostArray>> {
    this.#placed.launch.run();
    return this.#placed.outputs();
  }

  async prepare(budget: Budget): Promise<void> {
    this.#placed.steady();
    this.#round = await prepare(this.#placed.launch, budget);
  }

  round(): Promise<Samples> {
    if (!this.#round) throw new Error('round before prepare');
    return this.#round();
  }

  async free(): Promise<void> {
    this.#placed.free();
  }
}

/** The same, of a GPU at full clock: `heat` goes before whatever takes samples. */
function heated(provider: Provider, heat: () => Promise<void>): Provider {
  const place = async (c: BenchCase, inputs: HostBuffers): Promise<Lane | undefined> => {
    const lane = await provider.place(c, inputs);
    return (
      lane && {
        outputs: () => lane.outputs(),
        prepare: (budget) => heat().then(() => lane.prepare(budget)),
        round: () => heat().then(() => lane.round()),
        free: () => lane.free(),
      }
    );
  };
  return { ...provider, place };
}

/** The providers, those on hardware heated where there is a heater. */
export const atFullClock = (providers: readonly Provider[], heater: Heater | undefined): Provider[] =>
  providers.map((p) => (heater && isHardware(p) ? heated(p, heater.heat) : p));

/** Of the hardware among backends that wants it before samples. */
export function heaterOf(backends: OwnBackends): Heater | undefined {
  const gpu = [...backends.values()].find(({ info }) => isHardware(info));
  return gpu && heater(gpu);
}

/** The runtime's backend as a provider. */
export function own(name: string, backend: Backend): Provider {
  const { backend: kind, adapter, threads } = backend.info;
  return {
    name,
    backend: kind,
    adapter,
    threads,
    floorOf: name,
    peer: false,
    async place(c, inputs) {
      entryOf(c.spec, c.entry);
      await backend.prepare([c.spec]);
      return new OwnLane(new Placed(c, backend, inputs));
    },
    close: () => backend.destroy(),
  };
}

/** Thread counts below all `cores` to measure as well: one, and with `every` each power of two. */
export function threadCounts(cores: number, every: boolean): number[] {
  const counts: number[] = [];
  for (let n = 1; n < cores && (every || n === 1); n *= 2) counts.push(n);
  return counts;
}

/** Our backends by the name that their rows end in. */
export type OwnBackends = ReadonlyMap<string, Backend>;

/**
 * One backend per device, and for wasm one per thread count.
 * @throws DeviceError when a device does not exist here.
 */
export async function openBackends(devices: readonly BenchDevice[], everyThreadCount: boolean): Promise<OwnBackends> {
  const backends = new Map<string, Backend>();
  for (const device of devices) {
    const backend = await openDevice({ device });
    if (device === 'wasm') {
      for (const threads of threadCounts(backend.info.threads, everyThreadCount)) {
        backends.set(`wasm-${threads}`, await openDevice({ device, threads }));
      }
    }
    backends.set(backend.kind, backend);
  }
  return backends;
}
