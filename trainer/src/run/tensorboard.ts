/**
 * TensorBoard's scalar event files, written by hand. A file is a chain of TFRecords
 *
 *   u64 length | u32 masked crc32c(length) | data | u32 masked crc32c(data)        little endian
 *
 * each one an Event: 1 wall_time double, 2 step int64, 3 file_version string, 5 Summary { 1 Value { 1 tag, 2 simple_value float } }.
 * Sources: tensorflow/core/lib/io/record_writer, tensorflow/core/util/event.proto, summary.proto; CRC-32C: RFC 3720 appendix B.
 */

const crcTable = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

/** CRC-32C (Castagnoli), as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ crcTable[(crc ^ byte) & 0xff];
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord's mask: rotated by 15 bits, plus a constant, so that a CRC of data holding CRCs stays sound. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

function record(data: Uint8Array): Uint8Array {
  const out = new Uint8Array(16 + data.length);
  const view = new DataView(out.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(out.subarray(0, 8)), true);
  out.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return out;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return [...bytes, rest];
}

/** A length-delimited field (wire type 2). */
function delimited(field: number, bytes: Uint8Array | readonly number[]): number[] {
  return [field * 8 + 2, ...varint(bytes.length), ...bytes];
}

function fixed(field: number, value: number, type: 'double' | 'float'): number[] {
  const view = new DataView(new ArrayBuffer(type === 'double' ? 8 : 4));
  if (type === 'double') view.setFloat64(0, value, true);
  else view.setFloat32(0, value, true);
  return [field * 8 + (type === 'double' ? 1 : 5), ...new Uint8Array(view.buffer)];
}

const utf8 = new TextEncoder();

/** The record every event file begins with. */
export function fileVersionRecord(wallTime: number): Uint8Array {
  return record(Uint8Array.from([...fixed(1, wallTime, 'double'), ...delimited(3, utf8.encode('brain.Event:2'))]));
}

/** One step's scalars. wallTime: seconds since 1970; step: integer >= 0. */
export function scalarsRecord(wallTime: number, step: number, scalars: Readonly<Record<string, number>>): Uint8Array {
  const values = Object.entries(scalars).flatMap(([tag, value]) =>
    delimited(1, [...delimited(1, utf8.encode(tag)), ...fixed(2, value, 'float')]),
  );
  return record(Uint8Array.from([...fixed(1, wallTime, 'double'), 2 * 8, ...varint(step), ...delimited(5, values)]));
}

/** Byte length of the leading records whose step is <= lastStep; a torn or damaged record ends the file. */
export function lengthUpToStep(file: Uint8Array, lastStep: number): number {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let offset = 0;
  while (offset + 16 <= file.length) {
    const length = Number(view.getBigUint64(offset, true));
    const end = offset + 16 + length;
    if (end > file.length || view.getUint32(end - 4, true) !== maskedCrc(file.subarray(offset + 12, end - 4))) break;
    // Our events are wall_time (tag and 8 bytes), then the step or the file version.
    let step = 0;
    if (file[offset + 12 + 9] === 2 * 8) {
      for (let i = offset + 22, scale = 1; ; i++, scale *= 128) {
        step += (file[i] & 127) * scale;
        if (file[i] < 128) break;
      }
    }
    if (step > lastStep) break;
    offset = end;
  }
  return offset;
}
