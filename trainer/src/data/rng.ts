/**
 * Seeded random numbers for data generation: sfc32 (Chris Doty-Humphrey's PractRand, 128-bit state), one independent stream
 * per (seed, name). Rollouts do not use this: they need the counter-based generator that the kernels share.
 */

/** One step of splitmix32: a bijective avalanche of 32 bits (constants of MurmurHash3's finaliser). */
function mix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A stream of random numbers; the same (seed, name) always gives the same stream. */
export class Rng {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;
  private spare: number | null = null;

  /**
   * @param seed any safe integer
   * @param name what the stream is for, such as `patient 12`; different names give unrelated streams
   */
  constructor(seed: number, name: string) {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`Rng: expected an integer seed, got ${seed}`);
    }
    let h = mix(seed) ^ mix(Math.floor(seed / 2 ** 32) + 0x9e3779b9);
    for (let i = 0; i < name.length; i++) h = mix(h + name.charCodeAt(i) + 0x9e3779b9);
    this.a = mix(h + 1);
    this.b = mix(h + 2);
    this.c = mix(h ^ 0x5bf03635);
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** 32 random bits, as an unsigned integer. */
  private bits(): number {
    const t = (((this.a + this.b) | 0) + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + t) | 0;
    return t >>> 0;
  }

  /** Uniform in [low, high), 53 bits. */
  uniform(low = 0, high = 1): number {
    const u = ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53;
    return low + (high - low) * u;
  }

  /** Normal with the given mean and standard deviation (polar method). */
  normal(mean = 0, sd = 1): number {
    if (this.spare !== null) {
      const z = this.spare;
      this.spare = null;
      return mean + sd * z;
    }
    for (;;) {
      const u = this.uniform(-1, 1);
      const v = this.uniform(-1, 1);
      const s = u * u + v * v;
      if (s === 0 || s >= 1) continue;
      const f = Math.sqrt((-2 * Math.log(s)) / s);
      this.spare = v * f;
      return mean + sd * u * f;
    }
  }

  /** Integer in low..high, both ends included. */
  int(low: number, high: number): number {
    return low + Math.floor(this.uniform() * (high - low + 1));
  }

  /** True with probability p. */
  chance(p: number): boolean {
    return this.uniform() < p;
  }

  /** One element, each equally likely. Throws on an empty list. */
  choice<T>(items: readonly T[]): T {
    if (items.length === 0) throw new RangeError('Rng.choice: the list is empty');
    return items[this.int(0, items.length - 1)];
  }

  /** Index i with probability weights[i] / sum(weights). */
  weighted(weights: readonly number[]): number {
    let u = this.uniform() * weights.reduce((sum, w) => sum + w, 0);
    for (let i = 0; i < weights.length - 1; i++) {
      u -= weights[i];
      if (u < 0) return i;
    }
    return weights.length - 1;
  }

  /** A shuffled copy (Fisher-Yates). */
  shuffle<T>(items: readonly T[]): T[] {
    const out = items.slice();
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.int(0, i);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }

  /** `count` different elements in random order; all of them when fewer exist. */
  sample<T>(items: readonly T[], count: number): T[] {
    return this.shuffle(items).slice(0, count);
  }
}
