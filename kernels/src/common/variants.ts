/** More than one way to compute an entry on WebGPU: what there is, what suits, what to take when nobody measured. */
import {
  type AdapterFacts,
  entryOf,
  type KernelEntry,
  type KernelSpec,
  type Params,
  type Rule,
  type SubgroupMatrix,
  type Variant,
} from './spec.ts';

/** Name of the WGSL that every entry has: the spec's own. */
export const DEFAULT_VARIANT = 'default';

/** The entry's own WGSL in the form of a variant. */
function ownVariant(spec: KernelSpec, name: string): Variant {
  const { grid, main = { entry: name } } = entryOf(spec, name);
  return { name: DEFAULT_VARIANT, applies: () => true, ordered: true, passes: [{ wgsl: spec.wgsl, ...main, grid }] };
}

/** @throws Error that names the variants there are. */
export function variantOf(spec: KernelSpec, name: string, variant: string): Variant {
  if (variant === DEFAULT_VARIANT) return ownVariant(spec, name);
  const { variants = [] } = entryOf(spec, name);
  const found = variants.find((v) => v.name === variant);
  if (!found) throw new Error(`${name}: no variant '${variant}'; it has ${[DEFAULT_VARIANT, ...variants.map((v) => v.name)].join(', ')}`);
  return found;
}

/** WebGPU's feature (experimental in Dawn and Chromium) that subgroup matrices come with. */
export const SUBGROUP_MATRIX = 'chromium-experimental-subgroup-matrix';

/** The part of GPUAdapterInfo that says it; `subgroupMatrixConfigs` comes with the feature. */
export interface MatrixInfo {
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  readonly subgroupMatrixConfigs?: Iterable<{
    readonly componentType: string;
    readonly resultComponentType: string;
    readonly M: number;
    readonly N: number;
    readonly K: number;
  }>;
}

/** The largest square f16 matrices with sums in f32, if subgroups have one size. */
export function subgroupMatrixOf({ subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs = [] }: MatrixInfo): SubgroupMatrix | undefined {
  if (subgroupMaxSize === undefined || subgroupMinSize !== subgroupMaxSize) return undefined;
  const sides = [...subgroupMatrixConfigs]
    .filter((c) => c.componentType === 'f16' && c.resultComponentType === 'f32' && c.M === c.N && c.N === c.K)
    .map((c) => c.M);
  return sides.length > 0 ? { side: Math.max(...sides), lanes: subgroupMaxSize } : undefined;
}

/** Workgroup memory and storage buffers that every WebGPU device has. */
const WORKGROUP_BYTES = 16_384;
const STORAGE_BUFFERS = 8;

/** Why an adapter cannot compile a variant; undefined: it can. */
export function lacks(
  { features = [], workgroupBytes = 0, storageBuffers = 0, matrix }: Variant,
  adapter: AdapterFacts,
): string | undefined {
  const missing = features.filter((f) => !adapter.features.has(f));
  if (missing.length > 0) return missing.join(', ');
  if (workgroupBytes > (adapter.workgroupBytes ?? WORKGROUP_BYTES)) return `${workgroupBytes} bytes of workgroup memory`;
  if (storageBuffers > (adapter.storageBuffers ?? STORAGE_BUFFERS)) return `${storageBuffers} storage buffers`;
  if (matrix === undefined || (adapter.matrix?.side === matrix.side && adapter.matrix.lanes === matrix.lanes)) return undefined;
  return `subgroup matrices of ${matrix.side} on ${matrix.lanes} threads`;
}

const compiles = (variant: Variant, adapter: AdapterFacts): boolean => lacks(variant, adapter) === undefined;

/** Names of the variants that can run these params on this adapter, the entry's own first; or of the one that bears no other. */
export function applicable(entry: KernelEntry, params: Params, adapter: AdapterFacts): string[] {
  const others = (entry.variants ?? []).filter((v) => compiles(v, adapter) && v.applies(params));
  const ruled = others.find((v) => v.name === pickVariant(entry, params, adapter));
  return ruled?.alone ? [ruled.name] : [DEFAULT_VARIANT, ...others.map((v) => v.name)];
}

interface Choice {
  readonly variant: Variant;
  readonly when: Rule['when'];
}

/** Rules of an entry whose variants compile on an adapter; asked for at every dispatch. */
const choices = new WeakMap<AdapterFacts, Map<KernelEntry, readonly Choice[]>>();

function choicesOf(entry: KernelEntry, adapter: AdapterFacts): readonly Choice[] {
  let known = choices.get(adapter);
  if (!known) choices.set(adapter, (known = new Map()));
  let list = known.get(entry);
  if (!list) {
    list = (entry.rules?.(adapter) ?? []).flatMap(({ variant: name, when }) => {
      const variant = entry.variants?.find((v) => v.name === name);
      return variant && compiles(variant, adapter) ? [{ variant, when }] : [];
    });
    known.set(entry, list);
  }
  return list;
}

/** The variant to run by the entry's rules: the first rule that holds and whose variant can run. */
export function pickVariant(entry: KernelEntry, params: Params, adapter: AdapterFacts): string {
  for (const { variant, when } of choicesOf(entry, adapter)) if (when(params) && variant.applies(params)) return variant.name;
  return DEFAULT_VARIANT;
}

/** Every variant that the rules may pick on this adapter: what to compile ahead of use. */
export function pickable(entry: KernelEntry, adapter: AdapterFacts): string[] {
  return [DEFAULT_VARIANT, ...new Set(choicesOf(entry, adapter).map(({ variant }) => variant.name))];
}
