/** What a host needs to know to run a kernel: pure data and pure functions of the params. */

/** Every element is 4 bytes wide; a buffer is an array of one of these. */
export type DType = 'f32' | 'u32' | 'i32';

/** `write`: every element in range is assigned. `read_write`: read first, then changed in place. */
export type Access = 'read' | 'write' | 'read_write';

export interface Binding {
  readonly name: string;
  readonly dtype: DType;
  readonly access: Access;
}

/** Values of an entry point's params, by name. */
export type Params = Readonly<Record<string, number>>;

/** Arguments of a reference: one f64 array per binding, by binding name (integers are exact in f64). */
export type RefBuffers = Record<string, Float64Array>;
export type RefFn = (buffers: any, params: any) => void;

/** One pass of the WebAssembly side: `export(bindings…, params…, [scratch], constants…, lo, hi)` over `work` items. */
export interface Phase {
  readonly export: string;
  /** What tells this entry from others that the export serves. */
  readonly constants?: readonly number[];
  readonly work: (p: any) => number;
  /** Work items that one thread takes at a time; default: work / (4 · threads). */
  readonly grain?: (p: any) => number;
}

/** What variants are chosen by. */
export interface AdapterFacts {
  /** WebGPU features the device was opened with. */
  readonly features: { has(feature: string): boolean };
  /** Computes on the CPU: SwiftShader, lavapipe. */
  readonly software: boolean;
  /** Bytes of workgroup memory that the device was opened with; not given: what WebGPU guarantees, 16 KiB. */
  readonly workgroupBytes?: number;
  /** Storage buffers that a pass can have; not given: what WebGPU guarantees, 8. */
  readonly storageBuffers?: number;
  /** Its subgroup matrices, where the device was opened with them. */
  readonly matrix?: SubgroupMatrix;
}

/** Matrices of side x side f16 that a subgroup of `lanes` threads multiplies and adds up in f32. */
export interface SubgroupMatrix {
  readonly side: number;
  readonly lanes: number;
}

/** One dispatch of a variant. */
export interface Pass {
  readonly wgsl: string;
  /** Entry point in `wgsl`. */
  readonly entry: string;
  /** Values of its `override`s. */
  readonly constants?: Readonly<Record<string, number>>;
  /** Workgroups, as `KernelEntry.grid`. */
  readonly grid: (p: any) => readonly [number, number, number];
}

/** Another way to compute an entry on WebGPU; bindings, params, reference and tests are the entry's. */
export interface Variant {
  readonly name: string;
  /** WebGPU features that its WGSL enables. */
  readonly features?: readonly string[];
  /** Bytes of workgroup memory that it needs, where they are more than WebGPU guarantees. */
  readonly workgroupBytes?: number;
  /** Storage buffers that its passes have, where they are more than WebGPU guarantees. */
  readonly storageBuffers?: number;
  /** Subgroup matrices that its WGSL is written for. */
  readonly matrix?: SubgroupMatrix;
  /** Whether it can compute these params at all. */
  readonly applies: (p: any) => boolean;
  /** Run one after the other. */
  readonly passes: readonly Pass[];
  /** f32 elements that the passes hand on; bound read_write after the params block. */
  readonly scratch?: (p: any) => number;
  /** Adds in the order of the entry's own WGSL: a choice between the two does not show in the bits. */
  readonly ordered: boolean;
  /** Where the rules pick it no measured choice may replace it: another order of sums for some shapes alone would show. */
  readonly alone?: boolean;
}

/** Takes `variant` where `when` holds. */
export interface Rule {
  readonly variant: string;
  readonly when: (p: any) => boolean;
}

/** One entry point. The name is the default WGSL entry point, the default wasm export and the reference's key. */
export interface KernelEntry {
  /** In binding order 0, 1, …; outputs first. The params block is the binding after the last. At most 8. */
  readonly bindings: readonly Binding[];
  /** In the order of the WGSL struct and of the wasm arguments. */
  readonly params: Readonly<Record<string, DType>>;
  /** Elements each binding must have at least, for the checks before a launch. */
  readonly size: (p: any) => Readonly<Record<string, number>>;
  /** WebGPU: entry point and values of its `override`s, where one serves several entries; default: the entry's name, none. */
  readonly main?: Pick<Pass, 'entry' | 'constants'>;
  /** Workgroups to dispatch; each dimension at most 65,535 (see `grid1d`). */
  readonly grid: (p: any) => readonly [number, number, number];
  /** WebAssembly: independent items, split over threads; the result must not depend on the split. */
  readonly work?: (p: any) => number;
  /** WebAssembly with more than one pass; instead of `work`. */
  readonly phases?: readonly Phase[];
  /** WebAssembly: elements of shared scratch that all phases of one launch see. */
  readonly scratch?: (p: any) => number;
  /** WebGPU: other ways to compute it. */
  readonly variants?: readonly Variant[];
  /** WebGPU: which variant to take when nobody measured; the first rule that holds. None holds: the entry's own WGSL. */
  readonly rules?: (adapter: AdapterFacts) => readonly Rule[];
  /** What a measured choice of variant holds for: `512x704x256x1`. Entries with variants have it. */
  readonly shape?: (p: any) => string;
  /** Floating-point operations, and bytes that must move at least once. */
  readonly flops: (p: any) => number;
  readonly bytes: (p: any) => number;
}

export interface KernelSpec {
  readonly name: string;
  readonly wgsl: string;
  /** Base64 of the module. `relaxed` uses fused multiply-add where the kernel profits from it. */
  readonly wasm: { readonly simd: string; readonly relaxed?: string };
  readonly ref: Readonly<Record<string, RefFn>>;
  readonly entries: Readonly<Record<string, KernelEntry>>;
}

/** The entry point, or an error that names those there are. */
export function entryOf(spec: KernelSpec, name: string): KernelEntry {
  const entry = spec.entries[name];
  if (!entry) throw new Error(`${spec.name}: no entry '${name}'; it has ${Object.keys(spec.entries).join(', ')}`);
  return entry;
}

export const f32 = (name: string, access: Access = 'read'): Binding => ({ name, dtype: 'f32', access });
export const u32 = (name: string, access: Access = 'read'): Binding => ({ name, dtype: 'u32', access });

const MAX_DIM = 65_535;

/** Spreads `n` workgroups over x and y; WGSL recovers the index as `wid.x + wid.y * num_workgroups.x`. */
export function grid1d(n: number): readonly [number, number, number] {
  if (n <= MAX_DIM) return [Math.max(n, 1), 1, 1];
  const y = Math.ceil(n / MAX_DIM);
  return [Math.ceil(n / y), y, 1];
}

export const ceilDiv = (a: number, b: number): number => Math.ceil(a / b);
