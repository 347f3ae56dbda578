/** Entries that take n elements one by one, every binding n long. */
import { type Binding, ceilDiv, type DType, grid1d, type KernelEntry, type Pass, type Variant } from './spec.ts';

interface Shape {
  n: number;
}

interface PerElement {
  /** Per element. */
  readonly flops: number;
  /** Elements per workgroup on WebGPU, and per work item on WebAssembly. */
  readonly group: number;
  readonly block: number;
  /** Params beside n. */
  readonly params?: Readonly<Record<string, DType>>;
}

export function perElement(bindings: readonly Binding[], { flops, group, block, params }: PerElement): KernelEntry {
  const names = bindings.map((b) => b.name);
  const moved = bindings.reduce((sum, { access }) => sum + (access === 'read_write' ? 8 : 4), 0);
  return {
    bindings,
    params: { n: 'u32', ...params },
    size: ({ n }: Shape) => {
      const need: Record<string, number> = {};
      for (const name of names) need[name] = n;
      return need;
    },
    grid: ({ n }: Shape) => grid1d(ceilDiv(n, group)),
    work: ({ n }: Shape) => ceilDiv(n, block),
    flops: ({ n }: Shape) => flops * n,
    bytes: ({ n }: Shape) => moved * n,
  };
}

/** Four elements to a load, for hardware, where the shape allows it: the entry's own arithmetic, so the same bits. */
export function vec4ForHardware(
  pass: Pass,
  applies: Variant['applies'],
  shape: (p: any) => string,
): Required<Pick<KernelEntry, 'variants' | 'rules' | 'shape'>> {
  const variant: Variant = { name: 'vec4', applies, ordered: true, passes: [pass] };
  return { variants: [variant], rules: ({ software }) => (software ? [] : [{ variant: variant.name, when: () => true }]), shape };
}
