/**
 * Threefry-2x32-20: a counter-based generator, 20 rounds on two 32-bit words (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011). A draw is a pure function of (key, counter), so any element can be drawn alone, on any backend,
 * in any order. The same bits come from threefry.wgsl and threefry.as.ts.
 */
const PARITY = 0x1bd11bda;
const ROTATIONS = [
  [13, 15, 26, 6],
  [17, 29, 16, 24],
] as const;

/** The two output words, each in [0, 2^32), of a 64-bit key and a 64-bit counter given as 32-bit words. */
export function threefry2x32(key0: number, key1: number, ctr0: number, ctr1: number): [number, number] {
  const key = [key0, key1, PARITY ^ key0 ^ key1];
  let x0 = (ctr0 + key0) | 0;
  let x1 = (ctr1 + key1) | 0;
  for (let group = 0; group < 5; group++) {
    for (const r of ROTATIONS[group & 1]) {
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + key[(group + 1) % 3]) | 0;
    x1 = (x1 + key[(group + 2) % 3] + group + 1) | 0;
  }
  return [x0 >>> 0, x1 >>> 0];
}

/** The top 24 bits as a number in [0, 1): exact in f32, so that a comparison falls the same way on every backend. */
export const uniform01 = (bits: number): number => (bits >>> 8) * 2 ** -24;
