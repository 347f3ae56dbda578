/** Conversions between f32 and the 16-bit formats, on bits. Rounding is to nearest, ties to even. */

/** IEEE binary16 to f32, exact. */
export function f16ToF32(bits: Uint16Array): Float32Array {
  const out = new Float32Array(bits.length);
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const sign = (bits[i] & 0x8000) << 16;
    const exponent = (bits[i] >> 10) & 0x1f;
    const mantissa = bits[i] & 0x3ff;
    if (exponent === 0) {
      out[i] = mantissa * 2 ** -24;
      words[i] |= sign;
    } else {
      words[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (mantissa << 13);
    }
  }
  return out;
}

/** f32 to IEEE binary16; beyond 65,504 gives infinity. */
export function f32ToF16(values: Float32Array): Uint16Array {
  const out = new Uint16Array(values.length);
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const sign = (words[i] >>> 16) & 0x8000;
    const magnitude = words[i] & 0x7fffffff;
    if (magnitude >= 0x7f800000) out[i] = sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
    // Below 2^-14: subnormal steps of 2^-24. The product is exact, adding 2^23 would round it the same way.
    else if (magnitude < 0x38800000) out[i] = sign | roundEven(Math.abs(values[i]) * 2 ** 24);
    else {
      const rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
      out[i] = sign | Math.min(0x7c00, (rounded - 0x38000000) >> 13);
    }
  }
  return out;
}

function roundEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  return rest > 0.5 || (rest === 0.5 && down % 2 === 1) ? down + 1 : down;
}

/** bfloat16 to f32, exact. Plain loops: `from` with a function holds all numbers in a list first, and is 20 times slower. */
export function bf16ToF32(bits: Uint16Array): Float32Array {
  const words = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  return new Float32Array(words.buffer);
}

/** f32 to bfloat16. */
export function f32ToBf16(values: Float32Array): Uint16Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const out = new Uint16Array(values.length);
  for (let i = 0; i < words.length; i++) {
    const w = words[i];
    out[i] = (w & 0x7fffffff) > 0x7f800000 ? (w >>> 16) | 0x40 : (w + 0x7fff + ((w >>> 16) & 1)) >>> 16;
  }
  return out;
}
