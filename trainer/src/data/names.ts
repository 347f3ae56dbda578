/**
 * A name without case, spacing, punctuation and compatibility forms: two spellings of one lab fold to the same string.
 * `D-D dimer` and `DD dimer` both give `dddimer`. Letters and digits of every script stay.
 */
export function foldName(name: string): string {
  return name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, '');
}
