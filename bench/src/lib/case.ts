/** One row of the bench table, and the seeded numbers it is fed with. */
import type { HostArray, HostBuffers, KernelSpec, Params } from '@eagrl/kernels';
import { normals, streamOf, uniforms } from '@eagrl/runtime';

type F32 = Float32Array<ArrayBuffer>;

export interface BenchCase {
  readonly spec: KernelSpec;
  readonly entry: string;
  /** Of the numbers that make the case what it is, where its entry's name ends with it; else f32. */
  readonly dtype?: string;
  /** As it stands in the row's name: `512x704x256`. */
  readonly shape: string;
  readonly params: Params;
  /** Every `read` and `read_write` binding. */
  readonly inputs: (draw: Draw) => HostBuffers;
  /**
   * What in-place bindings (and what drives them) hold while the clock runs, for entries whose own output, fed back a hundred times,
   * would leave the range of normal f32 numbers. Arithmetic on zeros takes as long as on any other normal number.
   */
  readonly steady?: readonly string[];
  /** Too large for the reference as a whole: it computes some rows of the output, all by the case made of them. */
  readonly sample?: RowSample;
  /** Left out on what is no GPU. */
  readonly hardwareOnly?: boolean;
  /** `normal`: left out by --quick; `full`: only with --full. Default: always. */
  readonly from?: 'normal' | 'full';
}

/** Some rows of the output, and the entry's params and inputs that give them alone. */
export interface RowSample {
  readonly output: string;
  /** Elements of a row. */
  readonly width: number;
  readonly rows: readonly number[];
  readonly params: Params;
  readonly inputs: (all: HostBuffers) => HostBuffers;
}

/** Rows of a flat matrix, one after the other. */
export function rowsOf<T extends HostArray>(matrix: T, rows: readonly number[], width: number): T {
  const out = matrix.slice(0, rows.length * width) as T;
  rows.forEach((row, i) => {
    out.set(matrix.subarray(row * width, (row + 1) * width), i * width);
  });
  return out;
}

/**
 * `softmax_fwd` of softmax is the pass `fwd`, `qmatmul_nt_int8` of dtype int8 the pass `nt`; an entry that does not begin with its kernel's
 * name is a pass by its full name.
 */
export function passOf({ spec, entry, dtype }: Pick<BenchCase, 'spec' | 'entry' | 'dtype'>): string {
  const whole = dtype && entry.endsWith(`_${dtype}`) ? entry.slice(0, -dtype.length - 1) : entry;
  return whole.startsWith(`${spec.name}_`) ? whole.slice(spec.name.length + 1) : whole;
}

/** `softmax/fwd/f32/512x1408`; a provider's name makes it a row's. */
export const titleOf = (c: BenchCase): string => `${c.spec.name}/${passOf(c)}/${c.dtype ?? 'f32'}/${c.shape}`;

/** Numbers that depend on the title and on the order of the calls only. */
export class Draw {
  readonly #title: string;
  #calls = 0;

  constructor(title: string) {
    this.#title = title;
  }

  #stream(): number {
    return streamOf(`${this.#title} ${this.#calls++}`);
  }

  normals(n: number, std = 1): F32 {
    return normals(0, this.#stream(), n, std) as F32;
  }

  uniforms(n: number, lo = 0, hi = 1): F32 {
    return uniforms(0, this.#stream(), n, lo, hi) as F32;
  }

  /** Whole numbers below `below`. */
  ints(n: number, below: number): Uint32Array<ArrayBuffer> {
    return Uint32Array.from(this.uniforms(n), (u) => Math.floor(u * below));
  }
}

/** Whether a row's name has one of the texts in it that a filter lists with commas; an empty one is in all. */
export const suits = (filter: string, name: string): boolean => filter.split(',').some((text) => name.includes(text));
