/** More than one way to compute an entry on WebGPU: what there is, what suits, what to take when nobody measured. */
import { type AdapterFacts, entryOf, type KernelEntry, type KernelSpec, type Params, type Variant } from './spec.ts';

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

const compiles = (variant: Variant, { features }: AdapterFacts): boolean => (variant.features ?? []).every((f) => features.has(f));

/** Names of the variants that can run these params on this adapter, the entry's own first. */
export function applicable(entry: KernelEntry, params: Params, adapter: AdapterFacts): string[] {
  const others = (entry.variants ?? []).filter((v) => compiles(v, adapter) && v.applies(params));
  return [DEFAULT_VARIANT, ...others.map((v) => v.name)];
}

/** The variant to run by the entry's rules: the first rule that holds and whose variant can run. */
export function pickVariant(entry: KernelEntry, params: Params, adapter: AdapterFacts): string {
  for (const { variant, when } of entry.rules?.(adapter) ?? []) {
    if (!when(params)) continue;
    const v = entry.variants?.find((x) => x.name === variant);
    if (v && compiles(v, adapter) && v.applies(params)) return variant;
  }
  return DEFAULT_VARIANT;
}

/** Every variant that the rules may pick on this adapter: what to compile ahead of use. */
export function pickable(entry: KernelEntry, adapter: AdapterFacts): string[] {
  const named = new Set(entry.rules?.(adapter).map((r) => r.variant));
  const usable = (entry.variants ?? []).filter((v) => named.has(v.name) && compiles(v, adapter));
  return [DEFAULT_VARIANT, ...usable.map((v) => v.name)];
}
