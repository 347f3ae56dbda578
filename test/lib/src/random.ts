/** Test data from a seed that is a hash of the test's title: the same title always gives the same numbers. */

/** FNV-1a, 32 bits. */
export function seedOf(title: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < title.length; i++) h = Math.imul(h ^ title.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** Small seeded generator (mulberry32) with the fills that kernel tests need. */
export class Random {
  #state: number;
  constructor(seed: number | string) {
    this.#state = typeof seed === 'string' ? seedOf(seed) : seed >>> 0;
  }
  /** Uniform in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  /** Integer in [0, n). */
  int(n: number): number {
    return Math.floor(this.next() * n);
  }
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next());
  }
  normals(n: number, scale = 1): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: n }, () => this.normal() * scale);
  }
  uniforms(n: number, lo = 0, hi = 1): Float32Array<ArrayBuffer> {
    return Float32Array.from({ length: n }, () => lo + (hi - lo) * this.next());
  }
  ints(n: number, below: number): Uint32Array<ArrayBuffer> {
    return Uint32Array.from({ length: n }, () => this.int(below));
  }
}
