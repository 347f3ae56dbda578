// concat and split; see concat.wgsl. A work item is BLOCK elements of the long side.
const BLOCK: i32 = 4096;

/** Copies the part of [lo, hi) that lies in [start, start + n) of the long side; `into` the long side or out of it. */
// @ts-ignore: decorator
@inline
function copyPart(long: usize, short: usize, start: i32, n: i32, lo: i32, hi: i32, into: bool): void {
  const from = max(lo, start);
  const to = min(hi, start + n);
  if (to <= from) return;
  const l = long + ((<usize>from) << 2);
  const s = short + ((<usize>(from - start)) << 2);
  const bytes = (<usize>(to - from)) << 2;
  if (into) memory.copy(l, s, bytes);
  else memory.copy(s, l, bytes);
}

export function concat(y: usize, a: usize, b: usize, na: i32, nb: i32, lo: i32, hi: i32): void {
  copyPart(y, a, 0, na, lo * BLOCK, hi * BLOCK, true);
  copyPart(y, b, na, nb, lo * BLOCK, hi * BLOCK, true);
}

export function split(da: usize, db: usize, dy: usize, na: i32, nb: i32, lo: i32, hi: i32): void {
  copyPart(dy, da, 0, na, lo * BLOCK, hi * BLOCK, false);
  copyPart(dy, db, na, nb, lo * BLOCK, hi * BLOCK, false);
}
