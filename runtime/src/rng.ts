/** Counter-based random numbers for initialisation: a pure function of (seed, stream, counter), so order of use does not matter. */
import { threefry2x32, uniform01 } from '@eagrl/kernels';

/** FNV-1a of a name, 32 bits: the stream of what bears that name. */
export function streamOf(name: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** Standard normals by Box-Muller, two per Threefry draw: element i depends on (seed, stream, i) only. */
export function normals(seed: number, stream: number, length: number, std = 1): Float32Array {
  const out = new Float32Array(length);
  for (let i = 0; i < length; i += 2) {
    const [a, b] = threefry2x32(seed, stream, i >>> 1, 0);
    const radius = std * Math.sqrt(-2 * Math.log(1 - uniform01(a)));
    const angle = 2 * Math.PI * uniform01(b);
    out[i] = radius * Math.cos(angle);
    if (i + 1 < length) out[i + 1] = radius * Math.sin(angle);
  }
  return out;
}

/** Uniform in [lo, hi): element i depends on (seed, stream, i) only. */
export function uniforms(seed: number, stream: number, length: number, lo = 0, hi = 1): Float32Array {
  return Float32Array.from({ length }, (_, i) => lo + (hi - lo) * uniform01(threefry2x32(seed, stream, i, 1)[0]));
}
