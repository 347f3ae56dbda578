/** What every backend checks before it touches memory, so that a mistake has one message on all of them. */
import { checkSizes, entryOf, type KernelEntry, type KernelSpec, type Params } from '@eagrl/kernels';
import { type DeviceBuffer, type HostData, SLICE_ALIGN, type Slice } from '../backend.ts';
import { DeviceError } from '../errors.ts';

/** A buffer as its backend keeps it; `freed` catches use after free. */
export interface OwnedBuffer extends DeviceBuffer {
  readonly owner: object;
  freed: boolean;
}

/** The buffer behind a handle, if it is alive and belongs to `owner`. */
export function owned<B extends OwnedBuffer>(owner: object, buffer: DeviceBuffer, what: string, part?: string): B {
  const b = buffer as B;
  if (b.owner !== owner) {
    throw new DeviceError(`${label(what, part)}: buffer ${b.id} belongs to another device; write it there and read it here`);
  }
  if (b.freed) throw new DeviceError(`${label(what, part)}: buffer ${b.id} was freed; free it after its last use`);
  return b;
}

/** Joined only where something is wrong: a dispatch checks each of its slices. */
const label = (what: string, part: string | undefined): string => (part === undefined ? what : `${what}: '${part}'`);

export function checkLength(what: string, length: number): void {
  if (!Number.isSafeInteger(length) || length < 0) throw new DeviceError(`${what}: length ${length}; expected a whole number of elements`);
}

export function checkSlice<B extends OwnedBuffer>(owner: object, slice: Slice, what: string, part?: string): B {
  const b = owned<B>(owner, slice.buffer, what, part);
  const { offset, length } = slice;
  if (!(Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= b.length)) {
    throw new DeviceError(`${label(what, part)}: elements ${offset}..${offset + length} of buffer ${b.id}, which has ${b.length}`);
  }
  return b;
}

/** The data of a write fill the slice exactly. */
export function checkData(to: Slice, data: HostData): void {
  if (data.length !== to.length)
    throw new DeviceError(`write: ${data.length} values into a slice of ${to.length}; give slices of one length`);
}

/** Both slices of a copy: same length, no overlap. */
export function checkCopy<B extends OwnedBuffer>(owner: object, to: Slice, from: Slice): { to: B; from: B } {
  const pair = { to: checkSlice<B>(owner, to, 'copy to'), from: checkSlice<B>(owner, from, 'copy from') };
  if (to.length !== from.length) throw new DeviceError(`copy: ${from.length} elements into ${to.length}; give slices of one length`);
  if (overlap(to, from)) throw new DeviceError(`copy: both slices hold elements of buffer ${to.buffer.id}; they may not overlap`);
  return pair;
}

const overlap = (a: Slice, b: Slice): boolean => a.buffer === b.buffer && a.offset < b.offset + b.length && b.offset < a.offset + a.length;

/** Everything a launch needs: bindings there, aligned, large enough, params numbers, nothing written and bound twice. */
export function checkDispatch<B extends OwnedBuffer>(
  owner: object,
  spec: KernelSpec,
  name: string,
  slices: readonly Slice[],
  params: Params,
): { entry: KernelEntry; buffers: B[] } {
  const entry = entryOf(spec, name);
  const { bindings } = entry;
  if (slices.length !== bindings.length) {
    throw new DeviceError(`${name}: ${slices.length} slices; expected ${bindings.length}: ${bindings.map((b) => b.name).join(', ')}`);
  }
  for (const key in entry.params) {
    const value = params[key];
    if (typeof value !== 'number' || Number.isNaN(value)) throw new DeviceError(`${name}: param '${key}' is ${value}; expected a number`);
  }
  const buffers: B[] = [];
  for (let i = 0; i < slices.length; i++) {
    buffers.push(checkSlice<B>(owner, slices[i], name, bindings[i].name));
    if (slices[i].offset % SLICE_ALIGN !== 0) {
      throw new DeviceError(`${name}: '${bindings[i].name}' starts at element ${slices[i].offset}; expected a multiple of ${SLICE_ALIGN}`);
    }
  }
  checkSizes(spec, name, params, (_, i) => slices[i].length);
  checkAliases(name, entry, slices);
  return { entry, buffers };
}

/**
 * WebGPU tracks hazards per buffer: one that is written in a dispatch may not be bound read-only in it, not even another part,
 * and two written slices may not overlap (https://www.w3.org/TR/webgpu/#programming-model-resource-usages).
 */
function checkAliases(name: string, entry: KernelEntry, slices: readonly Slice[]): void {
  for (let i = 0; i < slices.length; i++) {
    if (entry.bindings[i].access === 'read' || slices[i].length === 0) continue;
    for (let j = 0; j < slices.length; j++) {
      if (i === j || slices[i].buffer !== slices[j].buffer || slices[j].length === 0) continue;
      if (entry.bindings[j].access !== 'read' && !overlap(slices[i], slices[j])) continue;
      throw new DeviceError(
        `${name}: '${entry.bindings[i].name}' is written and '${entry.bindings[j].name}' is the same buffer ${slices[i].buffer.id}; use two buffers`,
      );
    }
  }
}
